"""How the inner loops are compiled, and what the machine offers."""

"""How the language model and the SAEs that ship with saematch were made."""

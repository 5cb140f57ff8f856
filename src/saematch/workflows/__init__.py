"""What the commands do, as functions: one file each, of the function's name."""

"""What may be wrong with a file. Importing this registers all of it.

A mutation is one function of a target and random numbers: it rewrites `target.path` and returns
what it did in words, as a `Change` with `refuse` where no result can be right.
"""

from fire.mutations import files, headers, names, pickles, structured, tables, tensors

__all__ = ["files", "headers", "names", "pickles", "structured", "tables", "tensors"]

"""What may be wrong with a file. Importing this registers all of it.

A mutation is one function of a target and random numbers: it rewrites `target.path` and returns
what it did in words, as a `Change` with `refuse` where no result can be right.
"""

from fire.mutations import files, names, pickles, structured, tables, tensors, values, zips

__all__ = ["files", "names", "pickles", "structured", "tables", "tensors", "values", "zips"]

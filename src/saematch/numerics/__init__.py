"""Compiled loops, free memory, ranked lists: what computing rooms share."""

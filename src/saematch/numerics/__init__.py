"""Compiled loops, free memory and matrices larger than it, ranked lists: what rooms share."""

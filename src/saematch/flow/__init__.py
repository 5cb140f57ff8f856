"""Many layers: a run read as layers, and what becomes of its features along them."""

from saematch.flow.layers import Layers, Pair

__all__ = ["Layers", "Pair"]

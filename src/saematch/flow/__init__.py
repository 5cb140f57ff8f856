"""Many layers: a run read as layers, and what becomes of its features along them."""

from saematch.flow.communities import communities
from saematch.flow.exports import export
from saematch.flow.graph import FlowGraph
from saematch.flow.layers import Layers, Pair
from saematch.flow.trace import Trace, trace

__all__ = ["FlowGraph", "Layers", "Pair", "Trace", "communities", "export", "trace"]

"""Many layers: a run read as layers, and what becomes of its features along them."""

from saematch import lazy as _lazy
from saematch.flow.communities import find_communities
from saematch.flow.exports import export
from saematch.flow.graph import FlowGraph
from saematch.flow.layers import Layers, Pair
from saematch.flow.tracing import Trace, trace

__all__ = ["FlowGraph", "Layers", "Pair", "Trace", "export", "find_communities", "trace"]


def __getattr__(name: str):
    return _lazy.attribute(__name__, __path__, {}, name)

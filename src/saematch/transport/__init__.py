"""Activations of one SAE's features from those of another, with at most k edges a feature."""

from saematch import lazy as _lazy
from saematch.transport.downstream import Downstream
from saematch.transport.fitting import Schedule, fit_transport, fit_transports
from saematch.transport.reading import REACHES, Reach
from saematch.transport.sparse import SparseTransport

__all__ = [
    "REACHES",
    "Downstream",
    "Reach",
    "Schedule",
    "SparseTransport",
    "fit_transport",
    "fit_transports",
]


def __getattr__(name: str):
    return _lazy.attribute(__name__, __path__, {}, name)

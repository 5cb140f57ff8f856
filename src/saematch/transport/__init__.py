"""Activations of one SAE's features from those of another, with at most k edges a feature."""

from saematch.transport.fitting import Schedule, fit_transport, fit_transports
from saematch.transport.sparse import SparseTransport

__all__ = ["Schedule", "SparseTransport", "fit_transport", "fit_transports"]

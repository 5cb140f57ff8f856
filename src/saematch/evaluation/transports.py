"""Sparse transports fitted between the SAEs of a pair, as estimates of B's hidden state."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl
import scipy.sparse as sp
import torch
from numpy import ndarray

from saematch.activations.table import FeatureActivations
from saematch.evaluation.downstream import Predictions
from saematch.evaluation.estimates import Estimate, transported
from saematch.evaluation.fits import Fit
from saematch.evaluation.per_example import SplicedPair
from saematch.evaluation.splice import Model, PaddedBatch
from saematch.sae.sae import SAE
from saematch.transport import fit_transports

EDGES_SCHEMA = {
    "a": pl.String,
    "b": pl.String,
    "k": pl.Int64,
    "carried": pl.Boolean,  # fitted for use with A's error added
    "source": pl.Int32,
    "target": pl.Int32,
    "reach": pl.String,  # where the source is read: here, previous, recent, so far
    "weight": pl.Float32,
    "share": pl.Float32,
    "sufficient": pl.Boolean,
}


def estimate_name(k: int, with_error: bool) -> str:
    """The name of the estimate that a transport gives."""
    return f"transport{' + error' * with_error}, k = {k}"


class Transports:
    """Fits transports of several sparsities for each pair it is asked for, and keeps their edges.

    Args:
        model: the language model.
        examples: to fit on.
        ks: edges per feature of B, at most.
        seed: of the order of tokens.
    """

    def __init__(
        self, model: Model, examples: Sequence[ndarray], ks: Sequence[int], seed: int = 0
    ) -> None:
        order = np.random.default_rng(seed).permutation(len(examples))
        self._model, self._examples = model, [examples[place] for place in order]
        self._ks, self._seed = tuple(ks), seed
        self.edges = pl.DataFrame(schema=EDGES_SCHEMA)  # of the last pair, without its names

    def __call__(self, a: SAE, b: SAE, fit: Fit) -> list[Estimate]:
        """Two estimates for each k: of features alone, and with A's error added."""
        spliced = SplicedPair(self._model, a, b)
        downstream = Predictions(self._model, spliced.sites[1], self._examples)
        error, x_b, activations = fit_states(spliced, downstream.read)
        estimates, edges = [], []
        for with_error in (False, True):
            found = fit_transports(
                a,
                b,
                activations,
                x_b,
                ks=self._ks,
                error=error if with_error else None,
                downstream=downstream,
                seed=self._seed,
            )
            for k in self._ks:
                name = estimate_name(k, with_error)
                estimates.append(transported(found[k], name, with_error=with_error))
                named = {"k": pl.lit(k), "carried": pl.lit(with_error)}
                edges.append(found[k].edges().with_columns(**named))
        self.edges = pl.concat(edges)
        return estimates


@torch.no_grad()
def fit_states(
    spliced: SplicedPair, read: Sequence[PaddedBatch]
) -> tuple[torch.Tensor, torch.Tensor, FeatureActivations]:
    """A's error, x_b, and the activations of A's features, on the fit set."""
    error, x_b, features, example = [], [], [], []
    for batch in read:
        states = spliced.hidden_states(batch)
        error.append(states.error)
        x_b.append(states.x_b)
        features.append(sp.csr_array(states.f_a.float().cpu().numpy()))
        example.append(states.example.cpu().numpy())
    # numbered as they come: batches are of examples of about one length
    ids = np.concatenate(example)
    ids = np.concatenate([[0], np.cumsum(np.diff(ids) != 0)]).astype(np.int32)
    return (
        torch.cat(error),
        torch.cat(x_b),
        FeatureActivations(sp.csr_array(sp.vstack(features)), ids),
    )


def named_edges(edges: pl.DataFrame, a: str, b: str) -> pl.DataFrame:
    """Edges with the names of their pair, in the columns of `EDGES_SCHEMA`."""
    named = edges.with_columns(a=pl.lit(a), b=pl.lit(b))
    return named.select(pl.col(name).cast(kind) for name, kind in EDGES_SCHEMA.items())

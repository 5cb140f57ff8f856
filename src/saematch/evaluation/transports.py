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
from saematch.evaluation.per_example import Ends
from saematch.evaluation.splice import Batch, Model
from saematch.sae.sae import SAE
from saematch.transport import fit_transports

EDGES_SCHEMA = {
    "a": pl.String,
    "b": pl.String,
    "k": pl.Int64,
    "carried": pl.Boolean,  # fitted for use with A's error carried along
    "source": pl.Int32,
    "target": pl.Int32,
    "reach": pl.String,  # where the source is read: here, previous, recent, so far
    "weight": pl.Float32,
    "share": pl.Float32,
    "sufficient": pl.Boolean,
}


def name_of(k: int, carried: bool) -> str:
    """What the estimate by a transport is called."""
    return f"transport{' + error' * carried}, k = {k}"


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
        """Two estimates for each k: of features alone, and with A's error carried along."""
        ends = Ends(self._model, a, b)
        downstream = Predictions(self._model, ends.sites[1], self._examples)
        error, x_b, activations = seen_by(ends, downstream.read)
        estimates, edges = [], []
        for carried in (False, True):
            found = fit_transports(
                a,
                b,
                activations,
                x_b,
                ks=self._ks,
                carried=error if carried else None,
                downstream=downstream,
                seed=self._seed,
            )
            for k in self._ks:
                estimates.append(transported(found[k], name_of(k, carried), error=carried))
                named = {"k": pl.lit(k), "carried": pl.lit(carried)}
                edges.append(found[k].edges().with_columns(**named))
        self.edges = pl.concat(edges)
        return estimates


@torch.no_grad()
def seen_by(
    ends: Ends, read: Sequence[Batch]
) -> tuple[torch.Tensor, torch.Tensor, FeatureActivations]:
    """On the fit set: A's error, x_b, and what A's features do."""
    error, x_b, features, example = [], [], [], []
    for batch in read:
        seen = ends.seen(batch)
        error.append(seen.error)
        x_b.append(seen.x_b)
        features.append(sp.csr_array(seen.f_a.float().cpu().numpy()))
        example.append(seen.example.cpu().numpy())
    # numbered as they come: batches are of examples of about one length
    ids = np.concatenate(example)
    ids = np.concatenate([[0], np.cumsum(np.diff(ids) != 0)]).astype(np.int32)
    return (
        torch.cat(error),
        torch.cat(x_b),
        FeatureActivations(sp.csr_array(sp.vstack(features)), ids),
    )


def of_pair(edges: pl.DataFrame, a: str, b: str) -> pl.DataFrame:
    """Edges with the names of their pair, in the columns of `EDGES_SCHEMA`."""
    named = edges.with_columns(a=pl.lit(a), b=pl.lit(b))
    return named.select(pl.col(name).cast(kind) for name, kind in EDGES_SCHEMA.items())

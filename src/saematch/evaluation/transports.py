"""Sparse transports fitted between the SAEs of a pair, as estimates of B's hidden state."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl
import scipy.sparse as sp
import torch
from numpy import ndarray

from saematch.activations.feature_activations import FeatureActivations
from saematch.evaluation.estimates import Estimate, transported
from saematch.evaluation.fits import Fit
from saematch.evaluation.splice import Model, batches
from saematch.evaluation.tally import Ends
from saematch.sae import SAE
from saematch.transport import SparseTransport, fit_transports

EDGES_SCHEMA = {
    "a": pl.String,
    "b": pl.String,
    "k": pl.Int64,
    "carried": pl.Boolean,  # fitted for use with A's error carried along
    "source": pl.Int32,
    "target": pl.Int32,
    "weight": pl.Float32,
    "share": pl.Float32,
    "sufficient": pl.Boolean,
}


class Transports:
    """Fits transports of several sparsities for each pair it is asked for, and keeps their edges.

    Args:
        model: the language model.
        examples: to fit on.
        ks: edges per feature of B, at most.
        seed: of the order of tokens.
        batch_tokens: tokens that the model reads at a time.
    """

    def __init__(
        self,
        model: Model,
        examples: Sequence[ndarray],
        ks: Sequence[int],
        seed: int = 0,
        batch_tokens: int = 4096,
    ) -> None:
        self._model, self._examples, self._ks = model, examples, tuple(ks)
        self._seed, self._batch_tokens = seed, batch_tokens
        self.edges = pl.DataFrame(schema=EDGES_SCHEMA)  # of the last pair, without its names

    def __call__(self, a: SAE, b: SAE, fit: Fit) -> list[Estimate]:
        """Two estimates for each k: of features alone, and with A's error carried along."""
        error, x_b, activations = self._seen(a, b)
        estimates, edges = [], []
        for carried in (False, True):
            more = error if carried else None
            found = fit_transports(
                a, b, activations, x_b, ks=self._ks, carried=more, seed=self._seed
            )
            for k in self._ks:
                estimates.append(_estimate(found[k], k, carried))
                named = {"k": pl.lit(k), "carried": pl.lit(carried)}
                edges.append(found[k].edges().with_columns(**named))
        self.edges = pl.concat(edges)
        return estimates

    @torch.no_grad()
    def _seen(self, a: SAE, b: SAE) -> tuple[torch.Tensor, torch.Tensor, FeatureActivations]:
        """On the fit set: A's error, x_b, and what A's features do."""
        ends = Ends(self._model, a, b, self._batch_tokens)
        error, x_b, features = [], [], []
        for batch in batches(self._examples, a.device, self._batch_tokens):
            seen = ends.seen(batch)
            error.append(seen.error)
            x_b.append(seen.x_b)
            features.append(sp.csr_array(seen.f_a.float().cpu().numpy()))
        matrix = sp.csr_array(sp.vstack(features))
        # a fit takes tokens as they come, whichever example they are of
        example = np.zeros(len(matrix.indptr) - 1, np.int32)
        return torch.cat(error), torch.cat(x_b), FeatureActivations(matrix, example)


def of_pair(edges: pl.DataFrame, a: str, b: str) -> pl.DataFrame:
    """Edges with the names of their pair, in the columns of `EDGES_SCHEMA`."""
    named = edges.with_columns(a=pl.lit(a), b=pl.lit(b))
    return named.select(pl.col(name).cast(kind) for name, kind in EDGES_SCHEMA.items())


def _estimate(transport: SparseTransport, k: int, carried: bool) -> Estimate:
    if not carried:
        return transported(transport, f"transport, k = {k}")
    return Estimate(
        f"transport + error, k = {k}",
        lambda seen: seen.decoded(transport.apply(seen.f_a)) + seen.error,
    )

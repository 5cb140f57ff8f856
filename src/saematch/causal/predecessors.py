"""Which features of A a method says that a feature of B comes from.

By method `(d_sae_b, k)`: features of A, the best first, -1 for none. Those of a run are the source
that was assigned to it, where the method assigns one to one, or else the best by its score.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy import ndarray
from torch import Tensor

from saematch.causal.reading import Reading
from saematch.layers.layers import Pair
from saematch.sae.sae import SAE

Predecessors = Mapping[str, Int[ndarray, "d_sae_b k"]]
TOP = 5  # features that are removed together, where more than the best one is
LEAST = 5  # tokens on which a feature must fire for its correlations to mean something


def assigned(pair: Pair) -> Int[ndarray, "d_sae_b 1"]:
    """The source that a matching assigned to each feature of B; of several the best by score."""
    found = np.full((pair.sources.shape[0], 1), -1)
    order = np.argsort(pair.score, kind="stable")  # the best is written last
    order = order[pair.target[order] >= 0]
    found[pair.target[order], 0] = order
    return found


def by_cosine(a: SAE, b: SAE, k: int = TOP) -> Int[ndarray, "d_sae_b k"]:
    """The features of A whose decoder rows are most alike (Feature Flow)."""
    rows = [torch.nn.functional.normalize(sae.W_dec.float(), dim=-1) for sae in (b, a)]
    return _best(rows[0] @ rows[1].T, a, k)


def by_correlation(
    reading: Reading, a: str, b: str, k: int = TOP, least: int = LEAST
) -> Int[ndarray, "d_sae_b k"]:
    """The features of A that fire most alike on a text: Pearson correlation, zeros included."""
    one, other = (reading.active[name] for name in (a, b))
    products = np.asarray((other.matrix.T @ one.matrix).todense(), dtype=np.float64)
    (mean_a, spread_a), (mean_b, spread_b) = one.moments(), other.moments()
    covariance = products / max(1, reading.n_tokens) - np.outer(mean_b, mean_a)
    spread = np.outer(spread_b, spread_a)
    found = np.divide(covariance, spread, out=np.full_like(spread, -np.inf), where=spread > 0)
    found[:, one.counts() < least] = -np.inf
    found[other.counts() < least] = -np.inf
    return top(found, k)


def by_effect(
    effects: Float[Tensor, "d_sae_a d_sae_b"],
    spread: Float[ndarray, " d_sae_a"],
    k: int = TOP,
) -> Int[ndarray, "d_sae_b k"]:
    """The features of A from which most of what varies in a feature of B should come.

    Args:
        effects: as of `average_effects`.
        spread: the standard deviation of each feature of A on some text, zeros included.
        k: how many.
    """
    varied = effects * torch.from_numpy(spread).to(effects)[:, None]
    return top(varied.T.cpu().double().numpy(), k)


def _best(scores: Tensor, a: SAE, k: int) -> ndarray:
    scores = scores.masked_fill(a.excluded.to(scores.device), -torch.inf)
    return top(scores.cpu().double().numpy(), k)


def top(scores: ndarray, k: int) -> ndarray:
    """The columns of the k largest finite scores of each row, the largest first."""
    k = min(k, scores.shape[1])
    some = np.argpartition(-scores, k - 1, axis=1)[:, :k]
    values = np.take_along_axis(scores, some, 1)
    order = np.argsort(-values, axis=1, kind="stable")
    some, values = np.take_along_axis(some, order, 1), np.take_along_axis(values, order, 1)
    return np.where(np.isfinite(values), some, -1)

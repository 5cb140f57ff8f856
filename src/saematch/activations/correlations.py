"""Pearson correlations of chosen pairs of features."""

from __future__ import annotations

import numpy as np
from numpy import ndarray

from saematch.activations.sharded import Stream, together
from saematch.activations.table import FeatureActivations

Activations = FeatureActivations | Stream


def correlations(a: Activations, b: Activations, i: ndarray, j: ndarray) -> ndarray:
    """Pearson correlation of feature `i[p]` of A and `j[p]` of B over all tokens, for each p.

    Zeros count. 0 where one of the two never fires, or always alike.

    Args:
        a: activations of A; in memory or as a stream.
        b: of B, on the same tokens.
        i: int (pairs,), features of A.
        j: int (pairs,), features of B.

    Returns:
        float64 (pairs,).

    Raises:
        SaematchError: the two are of different tokens.
    """
    sums, tokens = np.zeros((5, len(i))), 0  # of x, y, x^2, y^2, xy
    for one, other in together(a, b):
        x, y = one.matrix.tocsc()[:, i], other.matrix.tocsc()[:, j]
        tokens += one.n_tokens
        products = (x, y, x.multiply(x), y.multiply(y), x.multiply(y))
        sums += [np.asarray(z.sum(0, dtype=np.float64)).ravel() for z in products]
    mean_x, mean_y, square_x, square_y, product = sums / max(1, tokens)
    spread = [
        np.sqrt(np.maximum(square - mean * mean, 0))
        for square, mean in ((square_x, mean_x), (square_y, mean_y))
    ]
    scale = spread[0] * spread[1]
    covariance = product - mean_x * mean_y
    return np.divide(covariance, scale, out=np.zeros_like(scale), where=scale > 0)

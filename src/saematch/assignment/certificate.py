"""Proof of how good an assignment is, from the assignment alone.

For `n <= m` rows that are all to be assigned, any column prices `p` (with `p >= 0` when `n < m`)
bound every assignment from above:

    sum_i s(i, pi(i))  <=  sum_i max_j (s_ij - p_j) + sum_j p_j

The bound is attained exactly when every row likes its own column best at those prices and every
unassigned column is free (Bertsekas, "Network Optimization", 1998, chapter 1).
"""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

BLOCK_ROWS = 32  # few, so that a risen price is seen by the rows scanned next
BLOCK_ENTRIES = 2**21
EAGER_SCANS = 24  # scans per row after which the order of scanning changes


def prices(
    scores: Float[Tensor, "n m"], target: Int64[Tensor, " n"], max_scans: int = 150
) -> Float[Tensor, " m"]:
    """Column prices at which every row likes its own column best, if `target` is optimal.

    The least fixed point `p >= 0` of `p_j = max_i (s_ij - s(i, target[i]) + p_target[i])`, to
    rounding: the longest paths in the graph of exchanges, found by label correction (Bellman-Ford
    that scans only rows whose own price has risen). Where `target` is not optimal there is a
    cycle of gain and no fixed point; the prices reached within the bound on work are returned,
    and leave an honest gap.

    **Arguments:** `scores` in float64, `n <= m`; `target`, a column for every row, none twice;
    `max_scans`, the bound on work: rows scanned, as a multiple of `n`.

    **Returns:** the prices, at least 0.
    """
    s, own_column = scores.numpy(), target.numpy()
    n, m = s.shape
    price = np.zeros(m)
    if n == 0:
        return torch.from_numpy(price)
    own, best = s[np.arange(n), own_column], s.max(1)
    # a row holds out for its rounding error: without it, cycles of equal scores would creep up
    rounding = 4 * np.finfo(np.float64).eps
    held = own + rounding * np.maximum(np.abs(best), np.abs(s.min(1)))
    scanned = np.full(n, -1.0)  # own price when the row was last scanned
    buffer = np.empty((min(n, BLOCK_ROWS), m))
    # only rises above `step` are followed at first: small ones are mostly overtaken by larger
    step, scans = float((best - own).max()), 0
    while scans < max_scans * n:
        eager = scans <= EAGER_SCANS * n
        rise = price[own_column] - scanned
        rows = np.flatnonzero(rise > (step if eager else 0.0)) if scans else np.arange(n)
        if len(rows) == 0:
            if step == 0 or not eager:
                break
            step = step / 4 if step > 1e-12 * price.max() else 0.0
            continue
        if not eager:
            # long chains (scores near rank one) settle in the order of their prices
            rows = rows[price[own_column[rows]].argsort(kind="stable")][:BLOCK_ROWS]
        scans += len(rows)
        for first in range(0, len(rows), BLOCK_ROWS):
            some = rows[first : first + BLOCK_ROWS]
            scanned[some] = price[own_column[some]]
            wanted = np.take(s, some, axis=0, out=buffer[: len(some)], mode="clip")
            wanted += (scanned[some] - held[some])[:, None]
            np.maximum(price, wanted.max(0), out=price)
    return torch.from_numpy(price)


def row_duals(scores: Float[Tensor, "n m"], price: Float[Tensor, " m"]) -> Float[Tensor, " n"]:
    """`max_j (s_ij - p_j)`: what each row gets at these prices."""
    block = max(1, BLOCK_ENTRIES // max(1, scores.shape[1]))
    parts = [(some - price).amax(1) for some in scores.split(block) if len(some)]
    return torch.cat(parts) if parts else scores.new_zeros(0)


def gap(
    scores: Float[Tensor, "n m"],
    target: Int64[Tensor, " n"],
    price: Float[Tensor, " m"],
    row_dual: Float[Tensor, " n"],
) -> float:
    """Dual value less the total of `target`, as a sum of terms of which none is negative.

    What each row misses by not having its best column, and the prices of unassigned columns:
    the same number as the plain difference, without its cancellation.
    """
    own = scores.gather(1, target[:, None])[:, 0]
    missed = (row_dual - (own - price[target])).sum()
    unsold = price.index_fill(0, target, 0.0).sum()
    return float(missed + unsold)

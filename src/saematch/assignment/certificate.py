"""Proof of how good an assignment is, from the assignment alone.

For `n <= m` rows that are all to be assigned, any column prices `p` (with `p >= 0` when `n < m`)
bound every assignment from above:

    sum_i s(i, pi(i))  <=  sum_i max_j (s_ij - p_j) + sum_j p_j

The bound is attained exactly when every row likes its own column best at those prices and every
unassigned column is free (Bertsekas, "Network Optimization", 1998, chapter 1).
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int64
from torch import Tensor

BLOCK_ENTRIES = 2**21  # scores read at once: small enough for the processor's cache to help


def prices(
    scores: Float[Tensor, "n m"], target: Int64[Tensor, " n"], max_scans: int = 64
) -> Float[Tensor, " m"]:
    """Column prices at which every row likes its own column best, if `target` is optimal.

    The least fixed point `p >= 0` of `p_j = max_i (s_ij - s(i, target[i]) + p_target[i])`: the
    longest paths in the graph of exchanges, found by label correction (Bellman-Ford, scanning
    only rows whose own price has risen). Where `target` is not optimal there is a cycle of gain
    and no fixed point; the prices reached within the bound on work are returned, and leave an
    honest gap.

    **Arguments:** `scores` in float64, `n <= m`; `target`, a column for every row, none twice;
    `max_scans`, the bound on work: rows scanned, as a multiple of `n`.

    **Returns:** the prices, at least 0.
    """
    n, m = scores.shape
    price = scores.new_zeros(m)
    if n == 0:
        return price
    own = scores.gather(1, target[:, None])[:, 0]
    tolerance = 4 * torch.finfo(scores.dtype).eps * float(scores.abs().max())
    block = max(1, BLOCK_ENTRIES // m)
    scanned = own.new_full((n,), -1.0)  # own price when the row was last scanned
    budget = max_scans * n
    while budget > 0:
        rows = (price[target] > scanned).nonzero()[:, 0]
        if len(rows) == 0:
            break
        budget -= len(rows)
        for some in rows.split(block):
            scanned[some] = price[target[some]]
            wanted = scores[some].add_((scanned[some] - own[some])[:, None]).amax(0)
            price = torch.where(wanted > price + tolerance, wanted, price)
    return price


def row_duals(scores: Float[Tensor, "n m"], price: Float[Tensor, " m"]) -> Float[Tensor, " n"]:
    """`max_j (s_ij - p_j)`: what each row gets at these prices."""
    block = max(1, BLOCK_ENTRIES // max(1, scores.shape[1]))
    parts = [(some - price).amax(1) for some in scores.split(block) if len(some)]
    return torch.cat(parts) if parts else scores.new_zeros(0)


def dual_value(scores: Float[Tensor, "n m"], price: Float[Tensor, " m"]) -> float:
    """`sum_i max_j (s_ij - p_j) + sum_j p_j`: no assignment of all rows totals more.

    `n <= m`; for `n < m` the prices must be at least 0.
    """
    return float(row_duals(scores, price).sum() + price.sum())


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

"""An exact solver that holds the whole matrix of scores, to compare with."""

from __future__ import annotations

import lap
import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor


def solve(scores: Float[Tensor, "n m"]) -> Int64[Tensor, " n"]:
    """The assignment of every row to its own column with the greatest total, for `n <= m`.

    Jonker and Volgenant, "A shortest augmenting path algorithm for dense and sparse linear
    assignment problems" (Computing 38, 1987), as implemented in lapx.
    """
    n, m = scores.shape
    if n == 0:
        return torch.zeros(0, dtype=torch.int64)
    # costs from 0 to 1 relative to the row's best: any scale of scores is the same problem.
    # Rows of zeros make it square; as every row is assigned, they only take what is left
    cost = torch.zeros(m, m, dtype=torch.float64)
    torch.sub(scores.amax(1, keepdim=True), scores, out=cost[:n])
    largest = float(cost.max())
    if largest > 0:
        cost /= largest
    column, _ = lap.lapjv(cost.numpy(), return_cost=False)
    return torch.from_numpy(np.asarray(column[:n], dtype=np.int64))

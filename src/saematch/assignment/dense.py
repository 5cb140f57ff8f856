"""The exact solver that holds the whole matrix of scores."""

from __future__ import annotations

import os

import lap
import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from saematch.errors import SaematchError

MEMORY_SHARE = 0.6  # of the memory that is free, unless the caller sets a limit


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


def check_memory(n: int, m: int, limit: int | None) -> None:
    """Raise if the scores and the solver's square costs need more than `limit` bytes."""
    wide = max(n, m)
    needed = 8 * (n * m + wide * wide)
    allowed = int(MEMORY_SHARE * _available_memory()) if limit is None else limit
    if needed > allowed:
        raise SaematchError(
            f"the dense solver needs {needed:,} bytes for {n:,} x {m:,} scores and {allowed:,} are "
            "allowed; match fewer features, or set memory_limit (bytes) if there is more"
        )


def _available_memory() -> int:
    try:
        with open("/proc/meminfo") as lines:
            for line in lines:
                if line.startswith("MemAvailable:"):
                    return int(line.split()[1]) * 1024
    except OSError:
        pass
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")

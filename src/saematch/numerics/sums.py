# pyright: strict, reportUnknownMemberType=false
"""Norms of rows, summed in float64."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

ROWS = 32  # brought to float64 at once: within the cache a copy takes less than mixed arithmetic


def norms(x: Float[Tensor, "n D"]) -> Float[Tensor, " n"]:
    """The Euclidean norm of each row in float64."""
    if x.device.type != "cpu" or x.dtype == torch.float64:
        return torch.linalg.vector_norm(x, dim=1, dtype=torch.float64)
    found = torch.empty(len(x), dtype=torch.float64)
    wide = torch.empty(min(ROWS, len(x)), x.shape[1], dtype=torch.float64)
    for start in range(0, len(x), ROWS):
        some = x[start : start + ROWS]
        found[start : start + ROWS] = wide[: len(some)].copy_(some).norm(dim=1)
    return found

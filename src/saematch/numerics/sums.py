# pyright: strict, reportUnknownMemberType=false
"""Sums and norms of rows in float64, a few rows at a time."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor

ROWS = 32  # brought to float64 at once: copied within the cache, they take less than mixed sums


def sums(x: Float[Tensor, "n D"]) -> Float[Tensor, " n"]:
    """The sum of each row in float64."""
    return _in_float64(x, _sum)


def norms(x: Float[Tensor, "n D"]) -> Float[Tensor, " n"]:
    """The Euclidean norm of each row in float64."""
    return _in_float64(x, _norm)


def _sum(rows: Tensor) -> Tensor:
    return rows.sum(dim=1)


def _norm(rows: Tensor) -> Tensor:
    return cast("Tensor", torch.linalg.vector_norm(rows, dim=1))


def _in_float64(x: Tensor, of: Callable[[Tensor], Tensor]) -> Tensor:
    step = ROWS if x.device.type == "cpu" else max(1, len(x))
    found = x.new_empty(len(x), dtype=torch.float64)
    wide = x.new_empty(min(step, len(x)), x.shape[1], dtype=torch.float64)
    for start in range(0, len(x), step):
        some = x[start : start + step]
        found[start : start + step] = of(wide[: len(some)].copy_(some))
    return found

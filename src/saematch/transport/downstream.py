"""What an estimate of a hidden state is for: losses that a transport is fitted by."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from jaxtyping import Float
from numpy import ndarray
from torch import Tensor


class Downstream(Protocol):
    """What a hidden state is for: a loss of what stands at B's site."""

    def batches(self, tokens: int, random: np.random.Generator) -> Sequence[ndarray]:
        """Every token once, in random groups of about so many that are read together."""
        ...

    def slope(
        self, rows: ndarray, x_hat: Float[Tensor, "rows d_out"]
    ) -> tuple[float, Float[Tensor, "rows d_out"]]:
        """The loss with `x_hat` on those tokens, summed over them, and its gradient."""
        ...


@dataclass(frozen=True, eq=False)
class HiddenState:
    """The squared error of the hidden state."""

    x_b: Float[Tensor, "tokens d_out"]

    def batches(self, tokens: int, random: np.random.Generator) -> Sequence[ndarray]:
        parts = -(-len(self.x_b) // tokens)
        return np.array_split(random.permutation(len(self.x_b)), parts)

    def slope(self, rows: ndarray, x_hat: Tensor) -> tuple[float, Tensor]:
        error = x_hat - self.x_b[rows]
        return float(error.square().sum()), 2 * error

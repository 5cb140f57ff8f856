"""Losses that transports are fitted by, as functions of the estimated hidden state."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from jaxtyping import Float
from numpy import ndarray
from torch import Tensor


class Downstream(Protocol):
    """A loss as a function of the hidden state at B's hook point."""

    def batches(self, tokens: int, random: np.random.Generator) -> Sequence[ndarray]:
        """Every token once, in random batches of about `tokens`."""
        ...

    def slope(
        self, rows: ndarray, x_hat: Float[Tensor, "rows d_out"]
    ) -> tuple[float, Float[Tensor, "rows d_out"]]:
        """The loss with `x_hat` at those tokens, summed, and its gradient."""
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

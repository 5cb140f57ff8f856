"""Adam (Kingma and Ba, arXiv 1412.6980) for gradients worked out by hand."""

from __future__ import annotations

import torch
from torch import Tensor


class Adam:
    """Adam for one tensor, changed in place; forgets sooner than is usual: there are few steps."""

    FIRST, SECOND = 0.9, 0.98

    def __init__(self, value: Tensor) -> None:
        self.value, self.steps = value, 0
        self.mean, self.square = torch.zeros_like(value), torch.zeros_like(value)

    def down(self, slope: Tensor, rate: float) -> None:
        self.steps += 1
        self.mean.mul_(self.FIRST).add_(slope, alpha=1 - self.FIRST)
        self.square.mul_(self.SECOND).addcmul_(slope, slope, value=1 - self.SECOND)
        size = self.square.div(1 - self.SECOND**self.steps).sqrt_().add_(1e-8)
        self.value.addcdiv_(self.mean, size, value=-rate / (1 - self.FIRST**self.steps))

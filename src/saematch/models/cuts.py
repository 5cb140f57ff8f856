# pyright: strict
"""One pass of a model in parts: what arrives at some hook points, and what goes on from there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from saematch.models.hook_points import Place


@dataclass(frozen=True, eq=False)
class Cut:
    """A pass in which the value at each point of a list starts anew.

    Each part of the model is differentiable by itself: what arrives at a point depends on what
    leaves those before it, by the paths that go through no other of the points. Points stand in the
    order in which the pass came to them.
    """

    arrived: Mapping[str, Float[Tensor, "batch seq _"]]
    leaving: Mapping[str, Float[Tensor, "batch seq _"]]  # leaves of autograd
    logits: Float[Tensor, "batch vocabulary"]  # at the last position


class Knife:
    """Makes a `Cut` of the passes that are made while it is attached.

    Args:
        values: what leaves a point in place of what arrived.
    """

    def __init__(self, values: Mapping[str, Tensor]) -> None:
        self.arrived: dict[str, Tensor] = {}
        self.leaving: dict[str, Tensor] = {}
        self._values = values

    def at(self, point: str, place: Place):
        """Cut at a place; of several points at one place, those attached first come first."""

        def visit(value: Tensor) -> Tensor:
            self.arrived[point] = value
            new = self._values.get(point, value)
            leaf = new.detach().to(value, copy=True).requires_grad_()
            self.leaving[point] = leaf
            return leaf

        return place.attach(visit)

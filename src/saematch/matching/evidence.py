# pyright: strict
"""What is known of two SAEs besides their weights: activations on text, and the model between them.

The model's mean Jacobian (`saematch.models.jacobian`) says how what is written at the earlier hook
point arrives at the later one, and what a reader at the later one reads of the earlier one. Views
that are `carried` are compared after that: the earlier SAE's decoder carried forward to the later
SAE, the later SAE's encoder pulled back to the earlier one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from saematch.activations.table import FeatureActivations
from saematch.errors import MatchError
from saematch.models.jacobian import Jacobian
from saematch.sae.sae import SAE

Activations = tuple[FeatureActivations | None, FeatureActivations | None]
Carry = Callable[[Tensor], Tensor]


@dataclass(frozen=True, eq=False)
class Evidence:
    """Of SAEs A and B: activations on the same tokens, and the Jacobian between the two."""

    activations: Activations = (None, None)
    jacobian: Jacobian | None = None
    back: bool = False  # the Jacobian leads from B to A

    @classmethod
    def of(
        cls,
        a: SAE,
        b: SAE,
        activations: Activations = (None, None),
        jacobian: Jacobian | None = None,
    ) -> Evidence:
        """The evidence on two SAEs, checked against them.

        Raises:
            MatchError: the Jacobian is one between other hook points or of other dimensions.
        """
        if jacobian is None:
            return cls(activations)
        here, there = (sae.conventions.site for sae in (a, b))
        ends = (jacobian.source, jacobian.target)
        given = (here and here.hook, there and there.hook)
        back = given == ends[::-1]
        if not back and None not in given and given != ends:
            raise MatchError(
                f"the Jacobian leads from {ends[0]} to {ends[1]}; {a.name} reads {given[0]}, "
                f"{b.name} {given[1]}"
            )
        first, last = (b, a) if back else (a, b)
        if jacobian.matrix.shape != (last.d_out, first.d_out):
            raise MatchError(
                f"the Jacobian from {ends[0]} to {ends[1]} is of shape "
                f"{tuple(jacobian.matrix.shape)}; between {first.name} and {last.name} it must be "
                f"({last.d_out}, {first.d_out})"
            )
        return cls(activations, jacobian, back)

    def carry(self, what: str | None, source: bool) -> Carry | None:
        """How `written` or `read` directions of A (`source`) or B are carried; None: not at all."""
        if self.jacobian is None or what is None:
            return None
        earlier = source != self.back
        if what == "written":
            return self.jacobian.carried if earlier else None
        return None if earlier else self.jacobian.pulled_back

    def turned(self) -> Evidence:
        """The same with A and B exchanged."""
        one, other = self.activations
        return Evidence((other, one), self.jacobian, not self.back)

    def then(self, other: Evidence) -> Evidence:
        """Of A and C, given this on A and B and the other on B and C."""
        ends = self.activations[0], other.activations[1]
        one, two = self.jacobian, other.jacobian
        if one is None or two is None or self.back != other.back:
            return Evidence(ends)
        both = two.then(one) if self.back else one.then(two)
        return Evidence(ends, both, self.back)


NONE = Evidence()

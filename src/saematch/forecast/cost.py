# pyright: strict
"""What one pair costs, from sizes alone: operations, scores compared, bytes held and written.

Every constant here was measured, as docs/measurements/forecast.md says; change them there and here
together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from saematch.checkpoints.sizes import Sizes
from saematch.forecast.machine import Machine
from saematch.matching.methods import Method
from saematch.matching.significance import BEST, DIRECTIONS, Significance
from saematch.matching.views import VIEWS, View

FILTERED = {"one-to-one": 1.15, "many-to-one": 1.0}  # rough products: rows are scored again
EXACT = 1.0  # float32 products for ranks and candidates
COMPARED = 3.2e-9  # core-seconds for each score that is looked at once
LOOKS = 3.0  # times that each score is: for lists, ranks of rows, ranks of columns
PER_FEATURE = 1.2e-4  # core-seconds for p-values, bidding, tables, for a feature of either side
PER_BYTE = 1.6e-9  # core-seconds to check, sum up and fold a byte of weights
LIST = 21 * 128  # bytes of a row's list while pairs are found
BASE = 600_000_000  # bytes of the process itself
WRITTEN = (330, 42)  # bytes in tables for a feature of either side, and for each candidate of it
OF_FLOW = (120, 2500)  # of each feature of a flow: bytes in its tables, bytes held to follow it


@dataclass(frozen=True)
class Cost:
    """What a pair takes, whatever the machine."""

    exact: float  # operations in float32
    rough: float  # operations in the faster precision
    core_seconds: float  # of one core, for what is no product
    read: int  # bytes of weights
    resident: int  # bytes that must be in memory at once
    matrices: int  # bytes of the matrices beside, in memory or in scratch files
    written: int  # bytes of tables

    @property
    def operations(self) -> float:
        """Of all products together."""
        return self.exact + self.rough

    def seconds(self, machine: Machine) -> float:
        """How long it takes, without reading the weights."""
        products = self.exact / machine.float32 + self.rough / machine.fastest
        return products + self.core_seconds / machine.cores


def cost_of_pair(
    a: Sizes, b: Sizes, method: Method, significance: Significance, candidates: int
) -> Cost:
    """What matching `a` with `b` takes. Views over tokens of text are not counted."""
    n, m = a.d_sae, b.d_sae
    width = _width(method.views, a)
    directions = _width([view for view in method.views if not VIEWS[view.vectors].single], a)
    confirm = _width(method.confirm, a)
    product = 2.0 * n * m
    rough = FILTERED[method.kind] * product * (width + confirm)
    exact = EXACT * product * directions
    compared = (LOOKS + (1 if method.confirm else 0)) * n * m
    if significance.null != "none":
        sides = 2 * (2 if significance.partial else 1)
        drawn = 2.0 * directions * (DIRECTIONS * max(n, m) + min(BEST, n, m) * max(n, m))
        exact += sides * (drawn + 8.0 * directions * max(n, m) ** 1.5)
    weights = 4 * (n * (a.d_in + a.d_out) + m * (b.d_in + b.d_out))
    side = 4 * max(n, m)
    folded = weights if method.fold != "none" else 0
    # rows of both sides, and of their directions; a null, what it is drawn from, and their product
    stacked = 2 * side * width * (2 if method.scores_lengths else 1)
    null = 3 * side * directions if significance.null != "none" else 0
    return Cost(
        exact,
        rough,
        COMPARED * compared + PER_FEATURE * (n + m) + PER_BYTE * weights,
        a.bytes + b.bytes,
        BASE + 2 * (n + m) * max(width, confirm) + LIST * n,
        weights + folded + stacked + null,
        (WRITTEN[0] + WRITTEN[1] * candidates) * (n + m) // 2,
    )


def _width(views: Sequence[View], sae: Sizes) -> int:
    """Dimensions of some views side by side."""
    return sum(_of_view(view, sae) for view in views)


def _of_view(view: View, sae: Sizes) -> int:
    vectors = VIEWS[view.vectors]
    if vectors.single:
        return 1
    if vectors.over_tokens:
        return 0
    return sae.d_out if "decoder" in view.vectors else sae.d_in

# pyright: strict
"""What one pair costs, from sizes alone: operations, scores compared, bytes held and written.

docs/measurements/forecast.md says where constants come from; change them there and here together.
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
RANKED = 1.0  # rough products for ranks and candidates
COMPARED = 8e-9  # core-seconds for a look at one score
LOOKS = 3  # at each score: for lists, for ranks in rows, for ranks in columns
HANDLED = 8e-9  # core-seconds for each byte of matrices: to fold, stack, draw, measure
LIST = 21 * 128  # bytes of a row's list while pairs are found
BASE = 600_000_000  # bytes of the process itself
OF_SIDE = 70, 30  # bytes of tables for a feature of A; for each candidate, and each source of B


@dataclass(frozen=True)
class Cost:
    """What a pair takes, whatever the machine."""

    exact: float  # operations in float32
    rough: float  # operations in the faster precision
    core_seconds: float  # of one core, for what is no product
    lists: int  # bytes that stay with the processor: of lists of candidates, and of the process
    copies: int  # bytes of rough copies of the matrices, where products are computed
    weights: int  # bytes of both SAEs as read, which stay in their files where memory is short
    matrices: int  # bytes of all that is made of them, in memory or in scratch files
    matrix: int  # bytes of the largest of them
    written: int  # bytes of tables

    @property
    def resident(self) -> int:
        """Bytes that must be in memory at once where there is no GPU."""
        return self.lists + self.copies

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
    most = max(n, m)
    width, confirm = _width(method.views, a), _width(method.confirm, a)
    turned = _width([view for view in method.views if not VIEWS[view.vectors].single], a)
    exact = 0.0
    weights = 4 * (n * (a.d_in + a.d_out) + m * (b.d_in + b.d_out))
    # beside the weights as read: folded, as rows, and where those have lengths as directions
    matrices = (weights if method.fold != "none" else 0) + 4 * (n + m) * width
    if method.scores_lengths and significance.test == "direction":
        matrices += 4 * (n + m) * turned
    if significance.null != "none":
        # of either side, twice where it decides who is paired at all: all rows with some null
        # directions, some rows with all, and the mixing that draws them
        sides = 4 if significance.partial else 2
        exact += sides * 2.0 * turned * most * (DIRECTIONS + min(BEST, most) + 4 * most**0.5)
        matrices += 3 * 4 * most * turned
    looks = LOOKS + (1 if method.confirm else 0)
    return Cost(
        exact,
        2.0 * n * m * (FILTERED[method.kind] * (width + confirm) + RANKED * turned),
        COMPARED * looks * n * m + HANDLED * (weights + matrices),
        BASE + LIST * n,
        2 * (n + m) * max(width, confirm),
        weights,
        matrices,
        4 * most * width,
        n * (OF_SIDE[0] + OF_SIDE[1] * candidates) + m * OF_SIDE[1] * candidates,
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

"""The result of an assignment problem."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Literal

from jaxtyping import Float, Int64
from torch import Tensor

from saematch.assignment.work import Work

Kind = Literal["one-to-one", "many-to-one"]

OPTIMAL = 1e-9


@dataclass(frozen=True, eq=False)
class Assignment:
    """An assignment of rows to columns and the duals that prove how good it is.

    For any other assignment of the same kind, `total - cost` is larger by at most `gap` (to float64
    rounding). The duals satisfy `row_dual_i + column_dual_j >= s_ij`, so their sum, `total - cost
    + gap`, bounds every assignment from above; the duals of the side with more members are at
    least 0. With costs for what stays unmatched, no dual is less than minus the cost.
    """

    target: Int64[Tensor, " n"]  # column of each row, -1 where unmatched
    score: Float[Tensor, " n"]  # s(i, target[i]), float64, NaN where unmatched
    row_dual: Float[Tensor, " n"]
    column_dual: Float[Tensor, " m"]
    total: float  # sum of the scores of the pairs
    cost: float  # what the rows and columns left unmatched cost; 0 where there are no costs
    gap: float  # no other assignment's total is larger by more than this; at least 0
    relative_gap: float  # gap / sum over the pairs of (|x_i| |y_j| + |offsets|)
    kind: Kind
    solver: str
    seconds: float
    work: Work  # what the solver did
    candidates: Int64[Tensor, "n k"] | None = None  # many-to-one: the best columns, best first
    candidate_scores: Float[Tensor, "n k"] | None = None

    def transposed(self) -> Assignment:
        """The same pairs with rows and columns exchanged, for an assignment of one to one."""
        rows = (self.target >= 0).nonzero()[:, 0]
        target = self.target.new_full(self.column_dual.shape, -1)
        score = self.score.new_full(self.column_dual.shape, float("nan"))
        target[self.target[rows]] = rows
        score[self.target[rows]] = self.score[rows]
        return dataclasses.replace(
            self,
            target=target,
            score=score,
            row_dual=self.column_dual,
            column_dual=self.row_dual,
        )

    @property
    def optimal(self) -> bool:
        """Whether the gap is nothing but rounding: `relative_gap <= 1e-9`."""
        return self.relative_gap <= OPTIMAL

"""What surrounds each pair of an assignment: its ranks, and the next best columns."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from saematch.assignment.problem import Matrix, Problem, Vector, problem
from saematch.errors import SaematchError


@dataclass(frozen=True, eq=False)
class Neighbours:
    """Ranks of the pairs and the best columns of each row, on the CPU."""

    rank_in_row: Int64[Tensor, " n"]  # 1 + columns that score more with row i; 0 if unmatched
    rank_in_column: Int64[Tensor, " n"]  # 1 + rows that score more with target[i]; 0 if unmatched
    candidates: Int64[Tensor, "n k"]  # the k best columns of each row, best first
    candidate_scores: Float[Tensor, "n k"]
    best_in_column: Int64[Tensor, " m"]  # the best row of each column; -1 if there are no rows

    @property
    def mutual(self) -> Bool[Tensor, " n"]:
        """Whether row and target each score with no other more than with one another."""
        return (self.rank_in_row == 1) & (self.rank_in_column == 1)


def neighbours(
    x: Matrix,
    y: Matrix,
    row_offset: Vector | None,
    column_offset: Vector | None,
    target: Int64[Tensor, " n"],
    k: int,
    *,
    block: int | None = None,
    dtype: torch.dtype = torch.float64,
) -> Neighbours:
    """Rank each pair `(i, target[i])` in its row and column, and keep each row's `k` best columns.

        rank_in_row_i    = 1 + #{j  != target[i] : s_ij  > s(i, target[i])}
        rank_in_column_i = 1 + #{i' != i : s(i', target[i]) > s(i, target[i])}

    with `s_ij = x_i . y_j + row_offset_i + column_offset_j`, where "greater" means by more than
    rounding, so that equal scores share a rank. Several rows may share a target.

    **Arguments:** `x` (n, D), `y` (m, D), `row_offset` (n,) or None, `column_offset` (m,) or None;
    `target` (n,), a column of each row or -1; `k`, at least 1, of which there are at most m;
    `block`, rows scored at once, by default what takes 128 MiB in float64; `dtype` of the
    arithmetic. float64 costs about twice the time and memory of float32 on a processor (far more
    on most GPUs); float32 tells scores apart to about 1e-5 of `|x_i| |y_j|`. One matrix product of
    2 n m D operations on the device of `x`.

    **Returns:** `Neighbours`. Equal candidates stand in the order of their indices; which of
    several equal ones are left out at the end of the list is not specified.

    **Raises:** `SaematchError` for NaN or infinite entries, shapes that do not fit, targets out of
    range and `k < 1`.
    """
    task = problem(x, y, row_offset, column_offset, dtype)
    target = _checked(target, task).to(task.x.device)
    if k < 1:
        raise SaematchError(f"k is {k}; at least 1 candidate is kept")
    k = min(k, task.m)
    paired = (target >= 0).nonzero()[:, 0]
    column = target[paired]
    limit = _limit(task, paired, column)

    in_row = torch.zeros_like(target)
    in_column = torch.zeros_like(target)
    candidates = target.new_empty((task.n, k))
    candidate_scores = task.x.new_empty((task.n, k))
    best_row = target.new_full((task.m,), -1)
    best_score = task.x.new_full((task.m,), -torch.inf)
    position = 0
    for rows, scores in task.blocks(block):
        if task.m == 0:
            break
        candidate_scores[rows], candidates[rows] = _best(scores, k)
        top = scores.max(0)
        higher = top.values > best_score
        best_row = torch.where(higher, top.indices + rows.start, best_row)
        best_score = torch.where(higher, top.values, best_score)

        # the pairs of this block: positions `here` among all pairs, rows `local` of the block
        count = int((target[rows] >= 0).sum())
        here = torch.arange(position, position + count, device=target.device)
        local = paired[here] - rows.start
        position += count
        above = scores[local] > limit[here, None]
        above[torch.arange(count), column[here]] = False
        in_row[paired[here]] = 1 + above.sum(1)
        above = scores[:, column] > limit
        above[local, here] = False
        in_column[paired] += above.sum(0)
    in_column[paired] += 1
    return Neighbours(
        in_row.cpu(), in_column.cpu(), candidates.cpu(), candidate_scores.cpu(), best_row.cpu()
    )


def _best(scores: Tensor, k: int) -> tuple[Tensor, Tensor]:
    top = scores.topk(k, dim=1, sorted=False)
    by_index = top.indices.argsort(dim=1)
    values, indices = top.values.gather(1, by_index), top.indices.gather(1, by_index)
    order = values.argsort(dim=1, descending=True, stable=True)
    return values.gather(1, order), indices.gather(1, order)


def _limit(task: Problem, rows: Tensor, columns: Tensor) -> Tensor:
    """The scores of the pairs, raised by a bound on the usual rounding error of a product."""
    own = (task.x[rows] * task.y[columns]).sum(1)
    own += task.row_offset[rows] + task.column_offset[columns]
    rounding = 4 * torch.finfo(own.dtype).eps * max(1, task.x.shape[1]) ** 0.5
    return own + rounding * task.magnitude(rows, columns)


def _checked(target: Tensor, task: Problem) -> Tensor:
    target = torch.as_tensor(target)
    if target.shape != (task.n,) or target.is_floating_point():
        raise SaematchError(
            f"target is {target.dtype} of shape {tuple(target.shape)}; {task.n} integers are "
            "needed, one for each row of x"
        )
    if target.numel() and not -1 <= int(target.min()) <= int(target.max()) < task.m:
        raise SaematchError(
            f"target runs from {int(target.min())} to {int(target.max())}; it must be a column "
            f"from 0 to {task.m - 1}, or -1 for unmatched"
        )
    return target.to(torch.int64)

"""Two matrices and offsets in; assignment, duals and gap out."""

from __future__ import annotations

import time
from typing import get_args

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from saematch.assignment import certificate, dense
from saematch.assignment.problem import Matrix, Problem, Vector, problem
from saematch.assignment.result import Assignment, Kind
from saematch.errors import SaematchError


def assign(
    x: Matrix,
    y: Matrix,
    row_offset: Vector | None = None,
    column_offset: Vector | None = None,
    *,
    kind: Kind = "one-to-one",
    memory_limit: int | None = None,
) -> Assignment:
    """Assign rows of `x` to rows of `y` (the columns of the scores) with the greatest total.

        maximise  sum_i s(i, target[i]),   s_ij = x_i . y_j + row_offset_i + column_offset_j

    "one-to-one": no column is used twice and `min(n, m)` pairs are made; with more rows than
    columns some rows stay unmatched. "many-to-one": each row takes its best column, the lowest
    index among equals.

    **Arguments:** `x` (n, D) and `y` (m, D), tensors or arrays of any real dtype; `row_offset`
    (n,) and `column_offset` (m,), zero if left out; `memory_limit`, the bytes the one-to-one
    solver may take, by default 60 % of the free memory. It holds all n x m scores in float64;
    many-to-one works in blocks and does not.

    **Returns:** an `Assignment`, on the CPU: targets, scores, duals, and the gap that bounds what
    any other assignment could gain.

    **Raises:** `SaematchError` for NaN or infinite entries, shapes that do not fit, an unknown
    kind, scores beyond float64, and a matrix that does not fit in memory.

    **References:** Jonker and Volgenant, Computing 38 (1987), for the solver; Crouse, "On
    implementing 2D rectangular assignment algorithms" (IEEE Transactions on Aerospace and
    Electronic Systems 52, 2016), for unequal sides; Bertsekas, "Network Optimization" (1998), for
    the duals.

    **Example:**

    >>> import torch
    >>> from saematch.assignment import assign
    >>> y = torch.eye(3)
    >>> result = assign(y[[1, 2, 0]], y)
    >>> result.target.tolist(), result.total, result.optimal
    ([1, 2, 0], 3.0, True)
    """
    start = time.perf_counter()
    if kind not in get_args(Kind):
        raise SaematchError(f"kind is {kind!r}; it must be one of {', '.join(get_args(Kind))}")
    task = problem(x, y, row_offset, column_offset)
    if kind == "many-to-one":
        target, score, row_dual, column_dual, gap = _many_to_one(task)
    elif task.n <= task.m:
        dense.check_memory(task.n, task.m, memory_limit)
        target, score, row_dual, column_dual, gap = _one_to_one(task)
    else:
        dense.check_memory(task.n, task.m, memory_limit)
        source, source_score, column_dual, row_dual, gap = _one_to_one(task.transposed())
        target = torch.full((task.n,), -1, dtype=torch.int64)
        target[source] = torch.arange(task.m)
        score = torch.full((task.n,), torch.nan, dtype=torch.float64)
        score[source] = source_score
    rows = (target >= 0).nonzero()[:, 0]
    magnitude = float(task.magnitude(rows, target[rows]).sum())
    return Assignment(
        target=target,
        score=score,
        row_dual=row_dual,
        column_dual=column_dual,
        total=float(score[rows].sum()),
        gap=gap,
        relative_gap=gap / magnitude if gap > 0 else 0.0,
        kind=kind,
        solver="row maximum" if kind == "many-to-one" else "lapjv",
        seconds=time.perf_counter() - start,
    )


_Solution = tuple[
    Int64[Tensor, " n"],
    Float[Tensor, " n"],
    Float[Tensor, " n"],
    Float[Tensor, " m"],
    float,
]


def _one_to_one(task: Problem) -> _Solution:
    scores = task.scores().cpu()
    target = dense.solve(scores)
    price = certificate.prices(scores, target)
    row_dual = certificate.row_duals(scores, price)
    gap = certificate.gap(scores, target, price, row_dual)
    return target, scores.gather(1, target[:, None])[:, 0], row_dual, price, gap


def _many_to_one(task: Problem) -> _Solution:
    column_dual = torch.zeros(task.m, dtype=torch.float64)
    if task.m == 0:
        # nothing to take: a row dual of 0 is what leaving the row alone is worth
        score = torch.full((task.n,), torch.nan, dtype=torch.float64)
        return torch.full((task.n,), -1), score, torch.zeros_like(score), column_dual, 0.0
    target = torch.empty(task.n, dtype=torch.int64)
    score = torch.empty(task.n, dtype=torch.float64)
    for rows, scores in task.blocks():
        best = scores.max(1)
        target[rows], score[rows] = best.indices.cpu(), best.values.cpu()
    return target, score, score.clone(), column_dual, 0.0

"""The surroundings of each pair of an assignment: ranks, and the best of each row and column.

One product, a block of rows at a time, or the one that `assign` kept, with a proved bound on its
error (`filtering.py`). What the bound leaves in doubt is computed again in float64, one score at a
time. Where a bfloat16 product leaves too much of a row or column in doubt, that is ranked again by
a float32 product.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from saematch.assignment.auction.plan import WORTH_FILTERING
from saematch.assignment.filtering import Filter, make_filter, norms
from saematch.assignment.kept import Scores
from saematch.assignment.problem import Columns, PerColumn, PerRow, Problem, Rows, problem
from saematch.assignment.ranking import (
    SPARE,
    Lists,
    Pairs,
    Side,
    exact_pairs,
    rank_in_columns,
    rank_in_rows,
    search,
    settle,
)
from saematch.errors import SaematchError
from saematch.numerics import hardware
from saematch.numerics.hardware import Precision

BLOCK_ENTRIES = 2**24  # scores held at once: 64 MiB
# doubts about a pair that are settled by exact scores, of which each takes as long as dozens
PATIENCE = {"float32": 2**62, "bfloat16": 128}


@dataclass(frozen=True, eq=False)
class Neighbours:
    """Ranks of the pairs, the best columns of each row and rows of each column, on the CPU."""

    score: Float[Tensor, " n"]  # s(i, target[i]), float64; NaN if unmatched
    rank_in_row: Int64[Tensor, " n"]  # 1 + columns that score more with row i; 0 if unmatched
    rank_in_column: Int64[Tensor, " n"]  # 1 + rows that score more with target[i]; 0 if unmatched
    candidates: Int64[Tensor, "n k"]  # the k best columns of each row, best first
    candidate_scores: Float[Tensor, "n k"]  # float64
    sources: Int64[Tensor, "m l"]  # the l best rows of each column, best first; l is k, or all rows
    source_scores: Float[Tensor, "m l"]

    @property
    def mutual(self) -> Bool[Tensor, " n"]:
        """Whether row and target each score with no other more than with one another."""
        return (self.rank_in_row == 1) & (self.rank_in_column == 1)


def neighbours(
    x: Rows,
    y: Columns,
    row_offset: PerRow | None,
    column_offset: PerColumn | None,
    target: Int64[Tensor, " n"],
    k: int,
    *,
    block: int | None = None,
    precision: Precision | Literal["auto"] = "auto",
    scores: Scores | None = None,
) -> Neighbours:
    """Rank each pair `(i, target[i])` in its row and column, and keep the best of both.

        rank_in_row_i    = 1 + #{j  != target[i] : s_ij  > s(i, target[i])}
        rank_in_column_i = 1 + #{i' != i : s(i', target[i]) > s(i, target[i])}

    with `s_ij = x_i . y_j + row_offset_i + column_offset_j` in float64, where "greater" means by
    more than rounding, so that equal scores share a rank. Several rows may share a target.

    **Arguments:** `x` (n, D), `y` (m, D), `row_offset` (n,) or None, `column_offset` (m,) or None;
    `target` (n,), a column of each row or -1; `k`, at least 1: how many columns to keep of each
    row, and rows of each column, of which there are at most m and n; `block`, rows scored at once,
    by default what takes 64 MiB; `precision` of the product, "float32", "bfloat16", or "auto" for
    the faster on this machine, whose results are the same; `scores` that `assign` left for the
    same `x` and `y`, or for ones whose parts are theirs but for a factor (`Scores.widths`), with
    whatever offsets: where it kept them, they are gone over instead of those of one more product of
    2 n m D operations. The product is made on the device of `x`; the rest is
    done on the processor.

    **Returns:** `Neighbours`. Equal ones stand in the order of their indices.

    **Raises:** `SaematchError` for NaN or infinite entries, shapes that do not fit, targets out of
    range, scores beyond float64 and `k < 1`.
    """
    task = problem(x, y, row_offset, column_offset, None)
    target = _checked(target, task)
    if k < 1:
        raise SaematchError(f"k is {k}; at least 1 candidate is kept")
    sizes = norms(task.x), norms(task.y)
    filtering = None if scores is None else scores.filter(task, sizes)
    filtering = filtering or _filter(task, sizes, precision)
    side = _side(task, filtering)
    _check_range(side, sizes)
    pairs = _pairs(side, sizes, target, PATIENCE[filtering.precision])
    length = k + SPARE[filtering.precision]
    rows, columns = _lists(task.n, task.m, length), _lists(task.m, task.n, length)
    with ThreadPoolExecutor(torch.get_num_threads()) as pool:
        _scan(side, filtering, pairs, rows, columns, block, pool)
        candidates = _best(rows, side, filtering, k, pool)
        sources = _best(columns, side.turned(), filtering.turned(), k, pool)
        del filtering, side
        _count_again(task, sizes, target, pairs, block, pool)

    # pairs stand in the order of their columns
    score = torch.full((task.n,), torch.nan, dtype=torch.float64)
    in_row, in_column = torch.zeros_like(target), torch.zeros_like(target)
    which = torch.from_numpy(pairs.row)
    score[which] = torch.from_numpy(pairs.own)
    in_row[which] = 1 + torch.from_numpy(pairs.above_in_row)
    in_column[which] = 1 + torch.from_numpy(pairs.above_in_column)
    return Neighbours(score, in_row, in_column, *candidates, *sources)


def _filter(
    task: Problem, sizes: tuple[Tensor, Tensor], precision: Precision | Literal["auto"]
) -> Filter:
    if precision == "auto":
        large = task.n * task.m * task.x.shape[1] >= WORTH_FILTERING
        precision = hardware.fastest(task.x.device) if large else "float32"
    return make_filter(task.x, task.y, sizes, precision)


def _scan(
    side: Side,
    filtering: Filter,
    pairs: Pairs,
    rows: Lists,
    columns: Lists,
    block: int | None,
    pool: ThreadPoolExecutor,
) -> None:
    """Count what is above the pairs and fill the lists, a block of rows at a time."""
    n, m = len(side.x), len(side.y)
    block = block or max(1, BLOCK_ENTRIES // max(1, m))
    for start in range(0, n if m else 0, block):
        raw = filtering.product(slice(start, start + block)).float().cpu().numpy()
        work = [
            pool.submit(rank_in_rows, raw[begin:end], start + begin, side, pairs, rows)
            for begin, end in _pieces(len(raw))
        ]
        work += [
            pool.submit(rank_in_columns, raw, start, begin, end, side, pairs, columns)
            for begin, end in _pieces(m)
        ]
        for each in work:
            each.result()


def _count_again(
    task: Problem,
    sizes: tuple[Tensor, Tensor],
    target: Tensor,
    pairs: Pairs,
    block: int | None,
    pool: ThreadPoolExecutor,
) -> None:
    """Count by a float32 product for pairs with too many doubts: of their rows, or columns."""
    in_row, in_column = (d > pairs.patience for d in (pairs.doubts_in_row, pairs.doubts_in_column))
    some = torch.from_numpy(np.unique(pairs.row[in_row]))
    others = torch.from_numpy(np.unique(pairs.column[in_column]))
    # two parts, but no more than the whole
    whole = len(some) * task.m + len(others) * task.n > task.n * task.m
    every = slice(None)
    for rows, columns in [(every, every)] if whole else [(some, every), (every, others)]:
        x, y = task.x[rows], task.y[columns]
        if not len(x) or not len(y):
            continue
        part = Problem(x, y, task.row_offset[rows], task.column_offset[columns])
        measured = sizes[0][rows], sizes[1][columns]
        filtering = make_filter(x, y, measured, "float32")
        side = _side(part, filtering)
        place = torch.full((task.m + 1,), -1)  # the last for rows without a target
        place[:-1][columns] = torch.arange(len(y))
        found = _pairs(side, measured, place[target[rows]], PATIENCE["float32"])
        _scan(side, filtering, found, _no_lists(len(x)), _no_lists(len(y)), block, pool)
        row = torch.arange(task.n)[rows].numpy()
        known = np.full(task.n, -1)
        known[pairs.row] = np.arange(len(pairs.row))
        which = known[row[found.row]]
        if rows is every:
            pairs.above_in_column[which] = found.above_in_column
        if columns is every:
            pairs.above_in_row[which] = found.above_in_row


def _side(task: Problem, filtering: Filter) -> Side:
    bound = filtering.bound
    return Side(
        task.x.cpu().numpy(),
        task.y.cpu().numpy(),
        task.row_offset.cpu().numpy(),
        task.column_offset.cpu().numpy(),
        bound.row_scale,
        bound.column_scale,
        bound.row_slack,
        bound.column_reach,
        bound.relative,
    )


def _check_range(side: Side, sizes: tuple[Tensor, Tensor]) -> None:
    if not len(side.x) or not len(side.y):
        return
    largest = float(sizes[0].max()) * float(sizes[1].max())
    largest += float(np.abs(side.row_offset).max()) + float(np.abs(side.column_offset).max())
    if not np.isfinite(largest):
        raise SaematchError("the scores overflow float64; scale x, y or the offsets down")


def _pairs(side: Side, sizes: tuple[Tensor, Tensor], target: Tensor, patience: int) -> Pairs:
    """The pairs of an assignment in the order of their columns."""
    which = (target >= 0).nonzero()[:, 0]
    which = which[target[which].argsort(stable=True)]
    row, column = which.numpy(), target[which].numpy()
    first = np.searchsorted(column, np.arange(len(side.y) + 1))
    place = np.full(len(side.x), -1)
    place[row] = np.arange(len(row))
    own = exact_pairs(side, row, column)
    magnitude = sizes[0].cpu().numpy()[row] * sizes[1].cpu().numpy()[column]
    magnitude += np.abs(side.row_offset[row]) + np.abs(side.column_offset[column])
    # equal scores share a rank, so a greater one must be so by more than the usual rounding
    rounding = 4 * np.finfo(np.float64).eps * max(1, side.x.shape[1]) ** 0.5
    a, b, c, d = np.zeros((4, len(row)), np.int64)
    return Pairs(row, column, first, place, own, own + rounding * magnitude, a, b, c, d, patience)


def _lists(n: int, m: int, length: int) -> Lists:
    length = min(m, length)
    return Lists(
        np.full((n, length), -1, np.int32), np.full((n, length), -np.inf), np.full(n, -np.inf)
    )


def _no_lists(n: int) -> Lists:
    """Lists of no column, which none is good enough for."""
    return Lists(np.empty((n, 0), np.int32), np.empty((n, 0)), np.full(n, np.inf))


def _best(
    lists: Lists, side: Side, filtering: Filter, k: int, pool: ThreadPoolExecutor
) -> tuple[Tensor, Tensor]:
    """The best `k` of each list by exact scores, searched in all scores where it cannot tell."""
    n, m = len(side.x), len(side.y)
    index, value = np.empty((n, min(k, m)), np.int64), np.empty((n, min(k, m)))
    unsure = np.zeros(n, np.bool_)
    if m:
        for _ in pool.map(lambda p: settle(lists, side, *p, index, value, unsure), _pieces(n)):
            pass
        rows = unsure.nonzero()[0]
        step = max(1, BLOCK_ENTRIES // m)
        for start in range(0, len(rows), step):
            some = rows[start : start + step]
            index_of = torch.from_numpy(some).to(filtering.left.device)
            raw = filtering.product(index_of).float().cpu().numpy()
            search(raw, some, side, index, value)
    return torch.from_numpy(index), torch.from_numpy(value)


def _pieces(count: int) -> Iterator[tuple[int, int]]:
    edges = np.linspace(0, count, min(count, torch.get_num_threads()) + 1).astype(int)
    return itertools.pairwise(edges.tolist())


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
    return target.to("cpu", torch.int64)

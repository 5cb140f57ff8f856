"""From a checked problem to the solver and back: precision, memory, costs, duals."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from saematch.assignment import dense
from saematch.assignment.auction.engine import Engine
from saematch.assignment.auction.state import new_state
from saematch.assignment.filtering import Filter, make_filter, norms
from saematch.assignment.kept import Kept, Scores
from saematch.assignment.nearest import SPARE, nearest
from saematch.assignment.problem import SLICE, Problem
from saematch.assignment.result import Assignment, Kind
from saematch.assignment.scoring import Scorer, usual_block
from saematch.assignment.solution import Solution
from saematch.assignment.ties import classes, in_order
from saematch.assignment.work import Progress, Work
from saematch.errors import SaematchError
from saematch.numerics import hardware
from saematch.numerics.hardware import Precision

WORTH_FILTERING = 2**31  # multiplications of a product, below which bfloat16 is not tried


@dataclass(frozen=True)
class Options:
    """What `assign` was asked for; see there."""

    precision: Precision | Literal["auto"]
    list_length: int | None
    block: int | None
    memory_limit: int | None
    max_bids: int
    progress: Progress | None
    scores: Scores | None = None


@dataclass(frozen=True, eq=False)
class Found:
    """An `Assignment` but for its kind and time."""

    target: Int64[Tensor, "n k"]
    score: Float[Tensor, "n k"]
    row_dual: Float[Tensor, " n"]
    column_dual: Float[Tensor, " m"]
    cost: float
    gap: float
    magnitude: float
    work: Work
    solver: str = "row maximum"

    def transposed(self) -> Found:
        target = torch.full((len(self.column_dual), 1), -1)
        score = torch.full(target.shape, torch.nan, dtype=torch.float64)
        rows = (self.target[:, 0] >= 0).nonzero()[:, 0]
        columns = self.target[rows, 0]
        target[columns, 0], score[columns] = rows, self.score[rows]
        duals = {"row_dual": self.column_dual, "column_dual": self.row_dual}
        return dataclasses.replace(self, target=target, score=score, **duals)

    def finished(self, kind: Kind, seconds: float) -> Assignment:
        score = self.score[:, 0]
        many = kind == "many-to-one"
        return Assignment(
            target=self.target[:, 0].clone(),
            score=score.clone(),
            row_dual=self.row_dual,
            column_dual=self.column_dual,
            total=float(score.nansum()),
            cost=self.cost,
            gap=self.gap,
            relative_gap=self.gap / self.magnitude if self.gap > 0 else 0.0,
            kind=kind,
            solver=self.solver,
            seconds=seconds,
            work=self.work,
            candidates=self.target if many else None,
            candidate_scores=self.score if many else None,
        )


def one_to_one(
    task: Problem,
    costs: tuple[Tensor, Tensor] | None,
    duals: Float[Tensor, " m"] | None,
    options: Options,
) -> Found:
    """Solve for gains `s_ij + row_cost_i + column_cost_j` over leaving both unmatched."""
    row_offset, column_offset = task.row_offset.cpu(), task.column_offset.cpu()
    if costs is not None:
        row_offset, column_offset = row_offset + costs[0], column_offset + costs[1]
    work, sizes = Work(), _sizes(task)
    solution, solver = None, "dense"
    plain = costs is None and duals is None and options.precision == "auto"
    if plain and dense.fits(task, options.memory_limit):
        solution = dense.solve_dense(task)
    if solution is None:
        offsets, solver = (row_offset, column_offset), "auction"
        solution = _solution(task, sizes, offsets, costs, duals, options, work)
    solution = _in_order(task, (row_offset, column_offset), solution)
    target = torch.from_numpy(solution.target)
    rows = (target >= 0).nonzero()[:, 0]
    row_dual, column_dual = torch.from_numpy(solution.row_dual), torch.from_numpy(solution.price)
    score = torch.full((task.n,), torch.nan, dtype=torch.float64)
    score[rows] = torch.from_numpy(solution.own)[rows]
    cost = 0.0
    if costs is not None:
        score = score - costs[0]
        score[rows] -= costs[1][target[rows]]
        row_dual, column_dual = row_dual - costs[0], column_dual - costs[1]
        taken = torch.zeros(task.m, dtype=torch.bool).index_fill(0, target[rows], True)
        cost = float(costs[0][target < 0].sum() + costs[1][~taken].sum())
    return Found(
        target[:, None],
        score[:, None],
        row_dual,
        column_dual,
        cost,
        solution.gap,
        _magnitude(task, sizes, target),
        work,
        solver,
    )


def _solution(
    task: Problem,
    sizes: tuple[Tensor, Tensor],
    offsets: tuple[Tensor, Tensor],
    costs: tuple[Tensor, Tensor] | None,
    duals: Float[Tensor, " m"] | None,
    options: Options,
    work: Work,
) -> Solution:
    if task.n == 0 or task.m == 0:
        empty = np.zeros(task.n)
        return Solution(np.full(task.n, -1), empty, empty.copy(), np.zeros(task.m), 0.0)
    plan = _plan(task, sizes, options, work, 0)
    price = np.zeros(task.m)
    if duals is not None:
        price = duals.cpu().double().numpy().copy()
        if costs is not None:
            price += costs[1].numpy()
        if costs is not None or task.n < task.m:
            price = np.maximum(price, 0.0)
    engine = Engine(
        new_state(task.x, task.y, *offsets, plan.k, price),
        plan.filter,
        work,
        alone=costs is not None,
        block=plan.block,
        keep=plan.keep,
        widths=plan.widths,
        most_bids=options.max_bids,
        room=plan.room,
        progress=options.progress,
    )
    solution = engine.solve()
    _hand_over(engine.scorer, options.scores)
    return solution


def _hand_over(scorer: Scorer, scores: Scores | None) -> None:
    if scores is not None and scorer.kept is not None and scorer.widths == scores.widths:
        parts = scorer.filter.left, scorer.filter.right, scorer.filter.bound
        scores.kept = Kept(*parts, tuple(scorer.kept))


def _in_order(task: Problem, offsets: tuple[Tensor, Tensor], solution: Solution) -> Solution:
    """Features that are the same, exchanged by one rule."""
    x, y = task.x.cpu().numpy(), task.y.cpu().numpy()
    rows, columns = (classes(v, offset.numpy()) for v, offset in zip((x, y), offsets, strict=True))
    target = in_order(solution.target, rows, columns)
    moved = np.flatnonzero((target != solution.target) & (target >= 0))
    own, at = solution.own.copy(), target[moved]
    for start in range(0, len(moved), SLICE):
        i, j = moved[start : start + SLICE], at[start : start + SLICE]
        own[i] = np.einsum("id,id->i", x[i], y[j], dtype=np.float64)
    own[moved] += offsets[0].numpy()[moved] + offsets[1].numpy()[at]
    return dataclasses.replace(solution, target=target, own=own)


def many_to_one(task: Problem, top: int, options: Options) -> Found:
    """The best columns of each row."""
    work, sizes, top = Work(), _sizes(task), min(top, task.m)
    column_dual = torch.zeros(task.m, dtype=torch.float64)
    if task.n == 0 or task.m == 0:
        # nothing to take: a row dual of 0 is what leaving the row alone is worth
        target = torch.full((task.n, 1), -1)
        score = torch.full((task.n, 1), torch.nan, dtype=torch.float64)
        return Found(target, score, torch.zeros(task.n).double(), column_dual, 0.0, 0.0, 1.0, work)
    plan = _plan(task, sizes, dataclasses.replace(options, list_length=top + SPARE), work, top)
    offsets = task.row_offset.cpu(), task.column_offset.cpu()
    state = new_state(task.x, task.y, *offsets, plan.k, np.zeros(task.m))
    scorer = Scorer(plan.filter, state, work, plan.block, plan.keep, plan.widths)
    column, value = map(torch.from_numpy, nearest(scorer, top))
    _hand_over(scorer, options.scores)
    return Found(column, value, value[:, 0].clone(), column_dual, 0.0, 0.0, 1.0, work)


@dataclass(frozen=True)
class _Plan:
    filter: Filter
    k: int
    block: int
    keep: bool
    widths: tuple[int, ...]  # of parts of the vectors whose scores are kept apart
    room: int  # bytes left


def _plan(
    task: Problem, sizes: tuple[Tensor, Tensor], options: Options, work: Work, top: int
) -> _Plan:
    """Choose precision, list length, block size, and whether scores are kept."""
    n, m, width = task.n, task.m, task.x.shape[1]
    precision = options.precision
    if precision == "auto":
        large = n * m * width >= WORTH_FILTERING
        precision = hardware.fastest(task.x.device) if large else "float32"
    block = options.block or usual_block(m)
    share = hardware.MEMORY_SHARE * hardware.available_memory()
    limit = int(share) if options.memory_limit is None else options.memory_limit
    if options.precision == "auto" and task.x.element_size() == 4 and (n + m) * width * 2 > limit:
        precision = "float32"  # the vectors as they are, without a copy
    item = 4 if precision == "float32" else 2
    natural = item == task.x.element_size()
    copies = 0 if natural else (n + m) * width * item

    def needed(k: int, block: int) -> int:
        return copies + 21 * n * k + 8 * m * block + 64 * (n + m)

    k = min(m, options.list_length or 64)
    useful = top == 0 or options.scores is not None
    keep = useful and needed(k, block) + item * n * m <= limit
    if not keep and options.list_length is None:
        k = min(m, 128)
    while needed(k, block) > limit and block > 1 and options.block is None:
        block //= 2
    if needed(k, block) > limit and top == 0:
        raise SaematchError(
            f"memory_limit leaves {limit:,} bytes and {needed(k, block):,} are needed for {n:,} x "
            f"{m:,} features of {width:,} numbers with lists of {k}; match fewer features, shorten "
            "list_length, or set memory_limit higher if there is more"
        )
    widths = () if options.scores is None else options.scores.widths
    # sums of rounded bfloat16 products would be off by more, and those are quick to make again
    if precision != "float32" or needed(k, block) + len(widths) * item * n * m > limit:
        widths = ()
    work.precision, work.kept = precision, keep
    room = limit - needed(k, block) - (max(1, len(widths)) * item * n * m if keep else 0)
    return _Plan(make_filter(task.x, task.y, sizes, precision), k, block, keep, widths, room)


def _sizes(task: Problem) -> tuple[Tensor, Tensor]:
    sizes = norms(task.x), norms(task.y)
    if task.n and task.m:
        largest = sizes[0].max() * sizes[1].max() if task.x.shape[1] else sizes[0].new_zeros(())
        largest = largest + task.row_offset.abs().max() + task.column_offset.abs().max()
        if not largest.isfinite():
            raise SaematchError("the scores overflow float64; scale x, y or the offsets down")
    return sizes


def _magnitude(task: Problem, sizes: tuple[Tensor, Tensor], target: Tensor) -> float:
    """The size of the terms that the scores of the pairs are made of."""
    rows = (target >= 0).nonzero()[:, 0].to(task.x.device)
    columns = target.to(task.x.device)[rows]
    terms = sizes[0][rows] * sizes[1][columns]
    terms = terms + task.row_offset[rows].abs() + task.column_offset[columns].abs()
    return float(terms.sum())

"""Problems whose scores fit: the whole matrix, and the proof from the assignment alone.

For a few hundred features that is as quick as the engine, and nothing has to be compiled first.
"""

from __future__ import annotations

import torch
from scipy.optimize import linear_sum_assignment

from saematch.assignment.certificate import gap, prices, row_duals
from saematch.assignment.problem import Problem
from saematch.assignment.solution import Solution
from saematch.numerics import hardware

FEW = 2**18  # scores, up to which scipy is as quick and nothing has to be compiled


def fits(task: Problem, room: int | None) -> bool:
    """Whether `task` is small enough, also for `room` bytes, or for the free memory."""
    if room is None:
        room = int(hardware.MEMORY_SHARE * hardware.available_memory())
    return task.n * task.m <= FEW and 4 * 8 * task.n * task.m <= room


def solve_dense(task: Problem) -> Solution | None:
    """The optimum of a problem with `n <= m`; None where scores leave the range of float64.

    Crouse, "On implementing 2D rectangular assignment algorithms" (IEEE Transactions on Aerospace
    and Electronic Systems 52, 2016), as implemented in scipy.
    """
    x, y = task.x.cpu().double(), task.y.cpu().double()
    scores = x @ y.T + task.row_offset.cpu().double()[:, None] + task.column_offset.cpu().double()
    if not scores.isfinite().all():
        return None
    target = torch.from_numpy(linear_sum_assignment(scores.numpy(), maximize=True)[1])
    price = prices(scores, target)
    row_dual = row_duals(scores, price)
    own = scores.gather(1, target[:, None])[:, 0]
    return Solution(
        target.numpy(),
        own.numpy(),
        row_dual.numpy(),
        price.numpy(),
        gap(scores, target, price, row_dual),
    )

"""Two matrices and offsets in; assignment, duals and gap out."""

from __future__ import annotations

import time
from typing import Literal, get_args

from jaxtyping import Float
from torch import Tensor

from saematch.assignment.kept import Scores
from saematch.assignment.problem import Columns, PerColumn, PerRow, Rows, problem, real_tensor
from saematch.assignment.result import Assignment, Kind
from saematch.assignment.work import Progress
from saematch.errors import SaematchError
from saematch.numerics.hardware import Precision


def assign(
    x: Rows,
    y: Columns,
    row_offset: PerRow | None = None,
    column_offset: PerColumn | None = None,
    *,
    kind: Kind = "one-to-one",
    row_cost: PerRow | float | None = None,
    column_cost: PerColumn | float | None = None,
    top_k: int = 1,
    start: Assignment | None = None,
    precision: Precision | Literal["auto"] = "auto",
    list_length: int | None = None,
    block: int | None = None,
    memory_limit: int | None = None,
    max_bids: int | None = None,
    progress: Progress | None = None,
    scores: Scores | None = None,
) -> Assignment:
    """Assign rows of `x` to rows of `y` (the columns of the scores) with the greatest total.

        maximise  sum_i s(i, target[i]),   s_ij = x_i . y_j + row_offset_i + column_offset_j

    "one-to-one": no column is used twice and `min(n, m)` pairs are made; with more rows than
    columns some rows stay unmatched. With a cost for unmatched rows or columns any number of pairs
    may be made, and the costs of what is left unmatched are subtracted from the total.
    "many-to-one": each row takes its best column, the lowest index among equals.

    The assignment is optimal to float64 rounding of the scores, whatever the precision, block
    size, list length, memory limit or number of threads, and so are the pairs: of features that are
    the same the earlier row gets the earlier column. Only where different features tie by chance
    (small whole numbers may) can these decide between assignments of the same total.

    **Arguments:** `x` (n, D) and `y` (m, D), tensors or arrays of any real dtype; `row_offset`
    (n,) and `column_offset` (m,), zero if left out; `row_cost` (n,) or a number, `column_cost`
    (m,) or a number, in units of the scores: what leaving a row or column unmatched costs; if one
    is given the other is 0 if left out. `top_k`: for "many-to-one", columns kept of each row.
    `start`: an assignment of one to one of the same shape, whose duals are tried as first prices.
    `precision` of the product that finds candidates: "float32", "bfloat16", or "auto" for the
    faster on this machine; scores that matter are always computed in float64. `list_length`:
    candidates kept per row. `block`: rows scored at once. `memory_limit`: bytes that may be taken
    beside `x`, `y` and the result, by default 60 % of the free memory. The approximate scores are
    kept where they fit, and computed again in blocks where they do not. `max_bids`: bids in all
    (default 1,000 n) after which rows are assigned along augmenting paths instead. `progress`:
    called with the phase, the rows assigned so far and the rows in all. `scores`: where the
    approximate scores are left, if they were kept, so that `neighbours` needs no product.

    **Returns:** an `Assignment`, on the CPU: targets, scores, duals, and the gap that bounds what
    any other assignment could gain.

    **Raises:** `SaematchError` for entries that are NaN, infinite or no real numbers, shapes that
    do not fit, an unknown kind, scores beyond float64, and a memory limit that is too small.

    **References:** Bertsekas, "Network Optimization" (1998), for auctions and duals; Jonker and
    Volgenant, Computing 38 (1987), for bidding without a least increment and augmenting paths.

    **Example:**

    >>> import torch
    >>> from saematch.assignment import assign
    >>> y = torch.eye(3)
    >>> result = assign(y[[1, 2, 0]], y)
    >>> result.target.tolist(), result.total, result.optimal
    ([1, 2, 0], 3.0, True)
    """
    began = time.perf_counter()
    _check(kind, top_k, precision, list_length, block, max_bids)
    task = problem(x, y, row_offset, column_offset, None)
    costs = _costs(row_cost, column_cost, task.n, task.m)
    if costs is not None and kind == "many-to-one":
        raise SaematchError("many-to-one leaves nothing unmatched; drop row_cost and column_cost")
    if start is not None and (len(start.row_dual), len(start.column_dual)) != (task.n, task.m):
        raise SaematchError(
            f"start has {len(start.row_dual)} rows and {len(start.column_dual)} columns; "
            f"this problem has {task.n} and {task.m}"
        )
    # compiling is only worth waiting for when there is something to solve
    from saematch.assignment.auction.plan import Options, many_to_one, one_to_one

    options = Options(
        precision,
        list_length,
        block,
        memory_limit,
        max_bids or 1000 * max(1, task.n),
        progress,
        scores,
    )
    if kind == "many-to-one":
        found = many_to_one(task, top_k, options)
    elif costs is None and task.n > task.m:
        reverse = None if start is None else start.row_dual
        found = one_to_one(task.transposed(), None, reverse, options).transposed()
        if scores is not None and scores.kept is not None:
            scores.kept = scores.kept.turned()
    else:
        forward = None if start is None else start.column_dual
        found = one_to_one(task, costs, forward, options)
    return found.finished(kind, time.perf_counter() - began)


def _check(kind, top_k, precision, list_length, block, max_bids) -> None:
    if kind not in get_args(Kind):
        raise SaematchError(f"kind is {kind!r}; it must be one of {', '.join(get_args(Kind))}")
    if precision != "auto" and precision not in get_args(Precision):
        allowed = ", ".join(("auto", *get_args(Precision)))
        raise SaematchError(f"precision is {precision!r}; it must be one of {allowed}")
    whole = {"top_k": top_k, "list_length": list_length, "block": block, "max_bids": max_bids}
    for name, value in whole.items():
        if value is not None and value < 1:
            raise SaematchError(f"{name} is {value}; it must be at least 1")
    if top_k > 1 and kind != "many-to-one":
        raise SaematchError(f"top_k is {top_k}; only many-to-one keeps more than one column")


def _costs(
    row_cost: PerRow | float | None, column_cost: PerColumn | float | None, n: int, m: int
) -> tuple[Float[Tensor, " n"], Float[Tensor, " m"]] | None:
    if row_cost is None and column_cost is None:
        return None
    out = []
    for name, cost, size in (("row_cost", row_cost, n), ("column_cost", column_cost, m)):
        cost = 0.0 if cost is None else cost
        values = real_tensor(cost, name).double().cpu()
        values = values.expand(size) if values.ndim == 0 else values
        if values.shape != (size,):
            raise SaematchError(
                f"{name} has shape {tuple(values.shape)}; a number or {size} entries are needed"
            )
        if not values.isfinite().all():
            raise SaematchError(f"{name} has entries that are NaN or infinite")
        out.append(values)
    return out[0], out[1]

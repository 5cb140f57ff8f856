"""What the solver knows at any moment: lists, prices and pairs."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from torch import Tensor

from saematch.numerics.compiled import compiled

FREE = -1  # a row without a column yet, a column without a row
ALONE = -2  # a row that is better left unmatched
LOOSE = -2  # a place that is in no chain of parked edges
EMPTY = {"chain": LOOSE}
COLUMNS = 128  # scored with several rows in turn, so that they stay in the processor's cache


class State(NamedTuple):
    """Arrays that the compiled loops read and write.

    The list of row i lies at the places `start[i]` to `start[i] + length[i]` of `column`, `value`
    and `exact`. Outside it, no column is worth more to row i than `tau[i]` at the current prices;
    inside, `value` is the exact score where `exact` says so and an upper bound on it elsewhere.
    """

    x: np.ndarray  # (n, D) float32 or float64
    y: np.ndarray  # (m, D)
    row_offset: np.ndarray  # (n,) float64, as everything below
    column_offset: np.ndarray  # (m,)
    start: np.ndarray  # (n,) int64
    length: np.ndarray  # (n,) int64
    column: np.ndarray  # (places,) int32
    value: np.ndarray  # (places,)
    exact: np.ndarray  # (places,) bool
    chain: np.ndarray  # (places,) int32, LOOSE except while paths are sought, as `lister`
    lister: np.ndarray  # (places,) int32
    tau: np.ndarray  # (n,)
    price: np.ndarray  # (m,)
    owner: np.ndarray  # (m,) int32, a row or FREE
    target: np.ndarray  # (n,) int32, a column, FREE or ALONE
    own: np.ndarray  # (n,) the exact score of the row with its column
    bids: np.ndarray  # (n,) int64, bids made by each row
    counts: np.ndarray  # (4,) int64: exact scores, bids, paths, rows scanned for paths


def new_state(
    x: Tensor, y: Tensor, row_offset: Tensor, column_offset: Tensor, k: int, price: np.ndarray
) -> State:
    """No pairs yet, and lists of k places with nothing in them."""
    n, m = len(x), len(y)
    return State(
        x=x.cpu().contiguous().numpy(),
        y=y.cpu().contiguous().numpy(),
        row_offset=row_offset.cpu().numpy(),
        column_offset=column_offset.cpu().numpy(),
        start=k * np.arange(n),
        length=np.full(n, k),
        column=np.zeros(n * k, np.int32),
        value=np.zeros(n * k),
        exact=np.zeros(n * k, np.bool_),
        chain=np.full(n * k, LOOSE, np.int32),
        lister=np.zeros(n * k, np.int32),
        tau=np.full(n, np.inf),
        price=price,
        owner=np.full(m, FREE, np.int32),
        target=np.full(n, FREE, np.int32),
        own=np.zeros(n),
        bids=np.zeros(n, np.int64),
        counts=np.zeros(4, np.int64),
    )


def lengthened(s: State, rows: np.ndarray, length: np.ndarray) -> State:
    """The lists of `rows` moved to the end, with room for `length` columns, and still empty."""
    used, more = int((s.start + s.length).max()), int(length.sum())
    s.start[rows] = used + np.cumsum(length) - length
    s.length[rows] = length
    if used + more <= len(s.column):
        return s
    spare = more + used // 4  # so that few calls have to move all lists
    places = {name: getattr(s, name) for name in ("column", "value", "exact", "chain", "lister")}
    return s._replace(
        **{
            name: np.concatenate([old[:used], np.full(spare, EMPTY.get(name, 0), old.dtype)])
            for name, old in places.items()
        }
    )


@compiled
def inner(x, y):
    """The inner product of two vectors, summed in float64."""
    total = 0.0
    for d in range(x.shape[0]):
        total += np.float64(x[d]) * np.float64(y[d])
    return total


@compiled
def score(s, i, j):
    """The score of row i and column j, in float64: what is called exact."""
    s.counts[0] += 1
    return inner(s.x[i], s.y[j]) + s.row_offset[i] + s.column_offset[j]


@compiled
def score_rows(s, which, out):
    """The exact scores of some rows with every column."""
    for first in range(0, out.shape[1], COLUMNS):
        for r in range(which.shape[0]):
            for j in range(first, min(first + COLUMNS, out.shape[1])):
                out[r, j] = score(s, which[r], j)


@compiled
def settle(s, i, floor):
    """The places of the best and second best of row i's list, exact where above `floor`.

    Returns their places and what they are worth at the current prices.
    """
    while True:
        first, second = -1, -1
        v1, v2 = -np.inf, -np.inf
        for c in range(s.start[i], s.start[i] + s.length[i]):
            v = s.value[c] - s.price[s.column[c]]
            if v > v1:
                second, v2 = first, v1
                first, v1 = c, v
            elif v > v2:
                second, v2 = c, v
        if first >= 0 and not s.exact[first] and v1 >= floor:
            s.value[first] = min(s.value[first], score(s, i, s.column[first]))
            s.exact[first] = True
        elif second >= 0 and not s.exact[second] and v2 > floor:
            s.value[second] = min(s.value[second], score(s, i, s.column[second]))
            s.exact[second] = True
        else:
            return first, second, v1, v2


@compiled
def listed(s, i):
    """An upper bound on what any column is worth to row i at the current prices."""
    worth = s.tau[i]
    for c in range(s.start[i], s.start[i] + s.length[i]):
        worth = max(worth, s.value[c] - s.price[s.column[c]])
    return worth


@compiled
def row_duals(s, may_stay_alone):
    """`listed` for each row, with its own column, and nothing where it may stay alone."""
    dual = np.empty(s.target.shape[0])
    for i in range(dual.shape[0]):
        worth = listed(s, i)
        if s.target[i] >= 0:
            worth = max(worth, s.own[i] - s.price[s.target[i]])
        dual[i] = max(worth, 0.0) if may_stay_alone else worth
    return dual

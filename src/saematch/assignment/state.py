"""What the solver knows at any moment: lists, prices and pairs."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from saematch.assignment.compiled import compiled

FREE = -1  # a row without a column yet, a column without a row
ALONE = -2  # a row that is better left unmatched


class State(NamedTuple):
    """Arrays that the compiled loops read and write.

    Outside its list, no column is worth more to row i than `tau[i]` at the current prices; inside,
    `value` is the exact score where `exact` says so and an upper bound on it elsewhere.
    """

    x: np.ndarray  # (n, D) float32 or float64
    y: np.ndarray  # (m, D)
    row_offset: np.ndarray  # (n,) float64, as everything below
    column_offset: np.ndarray  # (m,)
    column: np.ndarray  # (n, k) int32
    value: np.ndarray  # (n, k)
    exact: np.ndarray  # (n, k) bool
    tau: np.ndarray  # (n,)
    price: np.ndarray  # (m,)
    owner: np.ndarray  # (m,) int32, a row or FREE
    target: np.ndarray  # (n,) int32, a column, FREE or ALONE
    own: np.ndarray  # (n,) the exact score of the row with its column
    bids: np.ndarray  # (n,) int64, bids made by each row
    whole: np.ndarray  # (n,) int32, place in `rows` of a row whose every score is known, or -1
    rows: np.ndarray  # (w, m) all exact scores of a few rows
    counts: np.ndarray  # (4,) int64: exact scores, bids, paths, rows scanned for paths


@compiled
def score(s, i, j):
    """The score of row i and column j, summed in float64: what is called exact."""
    x, y = s.x[i], s.y[j]
    total = 0.0
    for d in range(x.shape[0]):
        total += np.float64(x[d]) * np.float64(y[d])
    s.counts[0] += 1
    return total + s.row_offset[i] + s.column_offset[j]


@compiled
def score_rows(s, which, out):
    """The exact scores of some rows with every column."""
    for r in range(which.shape[0]):
        for j in range(out.shape[1]):
            out[r, j] = score(s, which[r], j)


@compiled
def settle(s, i, floor):
    """The places of the best and second best of row i's list, exact where above `floor`.

    Returns their places and what they are worth at the current prices.
    """
    column, value, exact = s.column[i], s.value[i], s.exact[i]
    while True:
        first, second = -1, -1
        v1, v2 = -np.inf, -np.inf
        for c in range(column.shape[0]):
            v = value[c] - s.price[column[c]]
            if v > v1:
                second, v2 = first, v1
                first, v1 = c, v
            elif v > v2:
                second, v2 = c, v
        if first >= 0 and not exact[first] and v1 >= floor:
            value[first] = min(value[first], score(s, i, column[first]))
            exact[first] = True
        elif second >= 0 and not exact[second] and v2 > floor:
            value[second] = min(value[second], score(s, i, column[second]))
            exact[second] = True
        else:
            return first, second, v1, v2


@compiled
def row_duals(s, may_stay_alone):
    """An upper bound on what any column, or none, is worth to each row at the current prices."""
    n, k = s.column.shape
    dual = np.empty(n)
    for i in range(n):
        worth = s.tau[i]
        if s.whole[i] >= 0:
            worth = (s.rows[s.whole[i]] - s.price).max()
        else:
            for c in range(k):
                worth = max(worth, s.value[i, c] - s.price[s.column[i, c]])
        if s.target[i] >= 0:
            worth = max(worth, s.own[i] - s.price[s.target[i]])
        dual[i] = max(worth, 0.0) if may_stay_alone else worth
    return dual

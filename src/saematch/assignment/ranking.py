"""Compiled loops over blocks of approximate scores: what is certain is counted, the rest settled.

`raw` holds products of rows with all columns in float32; `Side` says how far they may be off.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from saematch.assignment.auction.state import inner
from saematch.numerics.compiled import compiled

CHUNK = 64  # scores looked at together
# listed beyond those asked for, so that rounding rarely decides who is left out
SPARE = {"float32": 8, "bfloat16": 24}


class Side(NamedTuple):
    """Rows, columns, and the bound on `raw` of `filtering.Bound`; `turned` exchanges the two."""

    x: np.ndarray  # (n, D) float32 or float64
    y: np.ndarray  # (m, D)
    row_offset: np.ndarray  # (n,) float64, as everything below
    column_offset: np.ndarray  # (m,)
    row_scale: np.ndarray  # (n,)
    column_scale: np.ndarray  # (m,)
    row_slack: np.ndarray  # (n,)
    column_reach: np.ndarray  # (m,)
    relative: float

    def turned(self) -> Side:
        """The same with columns for rows."""
        return Side(
            self.y,
            self.x,
            self.column_offset,
            self.row_offset,
            self.column_scale,
            self.row_scale,
            self.column_reach,
            self.row_slack,
            self.relative,
        )


class Pairs(NamedTuple):
    """The pairs whose ranks are counted, in the order of their columns."""

    row: np.ndarray  # (pairs,) int64
    column: np.ndarray  # (pairs,) int64
    first: np.ndarray  # (m + 1,) int64: where each column's pairs begin
    place: np.ndarray  # (n,) int64: the place of each row's pair, or -1
    own: np.ndarray  # (pairs,) float64: the score of the pair
    limit: np.ndarray  # (pairs,) float64: above which another score is greater
    above_in_row: np.ndarray  # (pairs,) int64, counted up
    above_in_column: np.ndarray  # (pairs,) int64, counted up
    doubts_in_row: np.ndarray  # (pairs,) int64: scores that `raw` could not tell above or not
    doubts_in_column: np.ndarray  # (pairs,) int64
    patience: int  # doubts that are settled by exact scores; a pair with more is not counted


class Lists(NamedTuple):
    """For each of some rows the columns of highest upper bound so far, in no order."""

    column: np.ndarray  # (n, length) int32
    upper: np.ndarray  # (n, length) float64
    floor: np.ndarray  # (n,) the lowest of `upper`: no column that is not listed has more


@compiled
def exact(side, i, j):
    """The score of row i and column j, summed in float64."""
    return inner(side.x[i], side.y[j]) + side.row_offset[i] + side.column_offset[j]


@compiled
def exact_pairs(side, row, column):
    """The scores of some pairs."""
    out = np.empty(row.shape[0])
    for p in range(row.shape[0]):
        out[p] = exact(side, row[p], column[p])
    return out


@compiled
def bounds(side, i, j, raw):
    """The middle of where the score of row i and column j lies, and how far it may be off."""
    product = side.row_scale[i] * side.column_scale[j] * np.float64(raw)
    error = side.relative * abs(product) + side.row_slack[i] * side.column_reach[j]
    return product + side.row_offset[i] + side.column_offset[j], error


@compiled
def keep(lists, i, j, upper):
    """List column j instead of the lowest of row i's list."""
    # plain loops: on so few numbers argmin and min take several times as long
    length, floor, place = lists.upper.shape[1], lists.floor[i], 0
    while lists.upper[i, place] != floor:
        place += 1
    lists.upper[i, place], lists.column[i, place] = upper, j
    for c in range(length):
        upper = min(upper, lists.upper[i, c])
    lists.floor[i] = upper


@compiled
def span(side, i, start, raw, lower, upper):
    """Write `bounds` of row i and the columns from `start` on to `lower` and `upper`."""
    scale, slack, offset = side.row_scale[i], side.row_slack[i], side.row_offset[i]
    # slices, so that the loop is vectorised
    columns = slice(start, start + raw.shape[0])
    column_scale, reach = side.column_scale[columns], side.column_reach[columns]
    column_offset = side.column_offset[columns]
    for c in range(raw.shape[0]):
        product = scale * column_scale[c] * np.float64(raw[c])
        error = side.relative * abs(product) + slack * reach[c]
        middle = product + offset + column_offset[c]
        lower[c], upper[c] = middle - error, middle + error


@compiled
def number_above(value, limit, size):
    """How many of the first `size` values are above `limit`."""
    above = 0
    for c in range(size):
        above += np.int64(value[c] > limit)
    return above


@compiled
def rank_in_rows(raw, start, side, pairs, lists):
    """For rows from `start` on: how many columns are above each pair, and the best columns."""
    lower, upper = np.empty(CHUNK), np.empty(CHUNK)
    m = raw.shape[1]
    for r in range(raw.shape[0]):
        i = start + r
        p = pairs.place[i]
        own = pairs.column[p] if p >= 0 else -1
        limit = pairs.limit[p] if p >= 0 else np.inf
        above = 0
        for first in range(0, m, CHUNK):
            size = min(CHUNK, m - first)
            span(side, i, first, raw[r, first : first + size], lower, upper)
            surely, perhaps = number_above(lower, limit, size), number_above(upper, limit, size)
            above += surely
            if number_above(upper, lists.floor[i], size) > 0:
                for c in range(size):
                    if upper[c] > lists.floor[i]:
                        keep(lists, i, first + c, upper[c])
            if perhaps > surely:
                for c in range(size):
                    if upper[c] > limit and not lower[c] > limit and first + c != own:
                        pairs.doubts_in_row[p] += 1
                        if pairs.doubts_in_row[p] <= pairs.patience:
                            above += exact(side, i, first + c) > limit
        if p >= 0:
            pairs.above_in_row[p] += above


@compiled
def least_limits(pairs, begin, end):
    """For columns from `begin` to `end` the lowest limit of their pairs."""
    least = np.full(end - begin, np.inf)
    for j in range(begin, end):
        for p in range(pairs.first[j], pairs.first[j + 1]):
            least[j - begin] = min(least[j - begin], pairs.limit[p])
    return least


@compiled
def rank_in_columns(raw, start, begin, end, side, pairs, lists):
    """For columns from `begin` to `end` and the block's rows: the same the other way round."""
    lower, upper = np.empty(CHUNK), np.empty(CHUNK)
    least = least_limits(pairs, begin, end)
    for first in range(begin, end, CHUNK):
        size = min(CHUNK, end - first)
        floor, limit = lists.floor[first : first + size], least[first - begin :]
        for r in range(raw.shape[0]):
            i, better, perhaps = start + r, 0, 0
            span(side, i, first, raw[r, first : first + size], lower, upper)
            for c in range(size):
                better += upper[c] > floor[c]
                perhaps += upper[c] > limit[c]
            if better > 0:
                for c in range(size):
                    if upper[c] > floor[c]:
                        keep(lists, first + c, i, upper[c])
            if perhaps > 0:
                for c in range(size):
                    if upper[c] > limit[c]:
                        count(side, pairs, i, first + c, lower[c], upper[c])


@compiled
def count(side, pairs, i, j, lower, upper):
    """Count row i above the pairs of column j that it is above."""
    for p in range(pairs.first[j], pairs.first[j + 1]):
        limit = pairs.limit[p]
        if i == pairs.row[p] or not upper > limit:
            continue
        if lower > limit:
            pairs.above_in_column[p] += 1
            continue
        pairs.doubts_in_column[p] += 1
        if pairs.doubts_in_column[p] <= pairs.patience:
            pairs.above_in_column[p] += exact(side, i, j) > limit


@compiled
def insert(index, value, count, j, v):
    """Put column j among the first `count` of a row's best, highest first, then lowest index."""
    k = index.shape[0]
    place = min(count, k - 1)
    if count == k and (v < value[place] or (v == value[place] and j > index[place])):
        return count
    while place > 0 and (value[place - 1] < v or (value[place - 1] == v and index[place - 1] > j)):
        index[place], value[place] = index[place - 1], value[place - 1]
        place -= 1
    index[place], value[place] = j, v
    return min(count + 1, k)


@compiled
def settle(lists, side, begin, end, index, value, unsure):
    """The best columns of rows `begin` to `end` by exact scores, as far as the lists can tell."""
    k = index.shape[1]
    for i in range(begin, end):
        count = 0
        for c in np.argsort(-lists.upper[i]):
            if count == k and lists.upper[i, c] < value[i, k - 1]:
                break
            j = lists.column[i, c]
            count = insert(index[i], value[i], count, j, exact(side, i, j))
        unsure[i] = lists.column.shape[1] < side.y.shape[0] and lists.floor[i] >= value[i, k - 1]


@compiled
def search(raw, rows, side, index, value):
    """The best columns of `rows` among all, where `value` has as many that are as good or less."""
    k = index.shape[1]
    for r in range(rows.shape[0]):
        i = rows[r]
        bar, count = value[i, k - 1], 0
        for j in range(raw.shape[1]):
            middle, error = bounds(side, i, j, raw[r, j])
            if middle + error >= bar and (count < k or middle + error > value[i, k - 1]):
                count = insert(index[i], value[i], count, j, exact(side, i, j))

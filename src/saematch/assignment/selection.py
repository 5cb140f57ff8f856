"""The best columns of each row, from a block of approximate scores."""

from __future__ import annotations

import numpy as np

from saematch.assignment.auction.state import FREE, settle
from saematch.numerics.compiled import compiled

CHUNK = 128


@compiled
def keep_largest(value, index, count, k):
    """Bring the k largest of the first `count` values to the front, in no order."""
    low, high = 0, count - 1
    while low < high:
        pivot = value[(low + high) // 2]
        a, b = low, high
        while a <= b:
            while value[a] > pivot:
                a += 1
            while value[b] < pivot:
                b -= 1
            if a <= b:
                value[a], value[b] = value[b], value[a]
                index[a], index[b] = index[b], index[a]
                a += 1
                b -= 1
        if k - 1 <= b:
            high = b
        elif k - 1 >= a:
            low = a
        else:
            return


@compiled
def select(raw, rows, s, bound):
    """Fill the lists of `rows` with the columns that may be worth most at the current prices.

    `raw` holds the approximate scores of `rows` with every column, `bound` how far they may be off.
    Among equals, columns without a row come first: a row that finds one needs no bidding.
    """
    m, base = raw.shape[1], s.column_offset - s.price
    reach = np.where(s.owner == FREE, 1.5, 1.0) * bound.column_reach
    room = 2 * s.length[rows].max() + 64
    value, index = np.empty(room), np.empty(room, np.int32)
    chunk = np.empty(CHUNK)
    relative = bound.relative
    for r in range(rows.shape[0]):
        i = rows[r]
        k, count, threshold = s.length[i], 0, -np.inf
        scale, slack = bound.row_scale[i], bound.row_slack[i]
        for start in range(0, m, CHUNK):
            size = min(CHUNK, m - start)
            # slices and a loop for each, so that they are vectorised
            part, columns = raw[r, start : start + size], slice(start, start + size)
            column_scale, far, at = bound.column_scale[columns], reach[columns], base[columns]
            for c in range(size):
                a = np.float64(part[c])
                chunk[c] = (
                    scale * column_scale[c] * (a + relative * abs(a)) + slack * far[c] + at[c]
                )
            above = 0
            for c in range(size):
                above += np.int64(chunk[c] > threshold)
            for c in range(size):
                if above == 0:
                    break
                if chunk[c] > threshold:
                    above -= 1
                    value[count], index[count] = chunk[c], start + c
                    count += 1
                    if count == 2 * k + 64:
                        keep_largest(value, index, count, k + 1)
                        count = k + 1
                        threshold = value[:count].min()
        outside = -np.inf
        if count > k:
            keep_largest(value, index, count, k)
            outside = value[k:count].max() + s.row_offset[i]
        for c in range(k):
            a = np.float64(raw[r, index[c]])
            value[c] = a
        take(s, i, index, value, outside, bound)


@compiled
def take(s, i, index, raw, outside, bound):
    """Make the first columns of `index`, with their approximate scores, the list of row i."""
    for c in range(s.length[i]):
        j, place = index[c], s.start[i] + c
        a = bound.row_scale[i] * bound.column_scale[j] * (raw[c] + bound.relative * abs(raw[c]))
        s.column[place] = j
        s.value[place] = a + bound.row_slack[i] * bound.column_reach[j]
        s.value[place] += s.row_offset[i] + s.column_offset[j]
        s.exact[place] = False
    s.tau[i] = outside
    settle(s, i, outside)


@compiled
def take_some(rows, index, raw, outside, s, bound):
    """`take` for several rows."""
    for r in range(rows.shape[0]):
        take(s, rows[r], index[r], raw[r], outside[r], bound)

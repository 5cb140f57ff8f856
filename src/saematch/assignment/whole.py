"""The forest of `forest.py` with all scores at hand, for price wars that no list can follow.

Where hundreds of columns are worth the same to a row, a list soon cannot tell. Where all scores fit
in memory, the next column of the forest is then found by looking at all of them: one pass over a
row's scores when it comes in, and one over the columns for each step.
"""

from __future__ import annotations

import numpy as np

from saematch.assignment.compiled import compiled
from saematch.assignment.forest import AWAY, exchange
from saematch.assignment.state import ALONE, FREE, score

NOBODY = -1  # in place of the row that reaches a column first
BLOCK = 128  # columns


@compiled
def upper_bounds(raw, rows, s, bound, out):
    """Bounds above the scores of `rows` with every column, from approximate ones."""
    for r in range(rows.shape[0]):
        i = rows[r]
        for j in range(out.shape[1]):
            a = np.float64(raw[r, j])
            a = bound.row_scale[i] * bound.column_scale[j] * (a + bound.relative * abs(a))
            a += bound.row_slack[i] * bound.column_reach[j]
            out[i, j] = a + s.row_offset[i] + s.column_offset[j]


@compiled
def reach(value, s, best, first, shut, low, i, offset):
    """Bring forward when columns outside the forest are reached, now that row i is in it."""
    scores, m = value[i], best.shape[0]
    for b in range(low.shape[0]):
        least = np.inf
        for j in range(b * BLOCK, min(b * BLOCK + BLOCK, m)):
            at, before, by = offset - (scores[j] - s.price[j]) + shut[j], best[j], first[j]
            sooner = at < before
            first[j] = i if sooner else by
            best[j] = at if sooner else before
            least = min(least, best[j])
        low[b] = least


@compiled
def lowest(best, low, b):
    """The first of the columns of block b, once one of them has changed."""
    least = np.inf
    for j in range(b * BLOCK, min(b * BLOCK + BLOCK, best.shape[0])):
        least = min(least, best[j])
    low[b] = least


@compiled
def reach_again(value, s, best, first, rows, depth, worth, j):
    """When column j is reached, and by which of `rows`."""
    best[j] = np.inf
    for r in rows:
        at = depth[r] + worth[r] - (value[r, j] - s.price[j])
        if at < best[j]:
            best[j], first[j] = at, r


@compiled
def grow_whole(s, roots, value, exact, may_stay_alone):  # noqa: PLR0915 (compiled as one loop)
    """Give each of `roots` a column, or nothing, along a shortest path of exchanges.

    `value` holds a bound above the score of every pair, the score itself where `exact` says so.
    """
    n, m = value.shape
    tree, depth, worth = np.full(n, AWAY, np.int32), np.zeros(n), np.empty(n)
    inside, n_inside = np.empty(n, np.int32), 0  # the rows in the forest
    # of the columns outside: no later than when they are reached, and the row that does, if known
    best, first = np.full(m, np.inf), np.full(m, NOBODY, np.int32)
    shut = np.zeros(m)  # infinite for columns in the forest
    low = np.empty((m + BLOCK - 1) // BLOCK)  # the least `best` of each block of columns
    from_row, from_value = np.empty(m, np.int32), np.empty(m)
    released = np.empty(m, np.int32)
    for root in roots:
        worth[root] = 0.0 if may_stay_alone else -np.inf
        for j in range(m):
            worth[root] = max(worth[root], value[root, j] - s.price[j])
        tree[root], inside[n_inside] = root, root
        n_inside += 1
        reach(value, s, best, first, shut, low, root, worth[root])
    now = 0.0
    while n_inside > 0:
        end, at, i = -1, np.inf, NOBODY
        b = np.argmin(low)
        for j in range(b * BLOCK, min(b * BLOCK + BLOCK, m)):
            if best[j] < at:
                end, at = j, best[j]
        if may_stay_alone:
            for r in inside[:n_inside]:
                if depth[r] + worth[r] <= at:
                    end, at, i = ALONE, depth[r] + worth[r], r
        if end >= 0:
            i = first[end]
            if i == NOBODY or not exact[i, end]:
                if i != NOBODY:
                    value[i, end], exact[i, end] = min(value[i, end], score(s, i, end)), True
                reach_again(value, s, best, first, inside[:n_inside], depth, worth, end)
                lowest(best, low, b)
                continue
            from_row[end], from_value[end] = i, value[i, end]
        now = max(now, at)
        if end >= 0 and s.owner[end] != FREE:
            best[end], shut[end] = np.inf, np.inf
            r = s.owner[end]
            tree[r], depth[r], worth[r] = tree[i], now, s.own[r] - s.price[end]
            inside[n_inside] = r
            n_inside += 1
            reach(value, s, best, first, shut, low, r, now + worth[r])
            continue
        # a tree is done: settle its prices, exchange along the path, let the others go on
        root, kept, n_released = tree[i], 0, 0
        for r in inside[:n_inside]:
            if tree[r] != root:
                inside[kept] = r
                kept += 1
                continue
            tree[r] = AWAY
            if r != root:
                j = s.target[r]
                s.price[j] += max(now - depth[r], 0.0)
                best[j], shut[j] = np.inf, 0.0
                released[n_released] = j
                n_released += 1
        n_inside = kept
        exchange(s, root, i, end, from_row, from_value)
        for j in range(m):
            if first[j] != NOBODY and tree[first[j]] == AWAY:
                first[j] = NOBODY
        released[:n_released].sort()
        for r in inside[:n_inside]:
            offset = depth[r] + worth[r]
            for j in released[:n_released]:
                at = offset - (value[r, j] - s.price[j])
                if at < best[j]:
                    best[j], first[j] = at, r
        for b in range(low.shape[0]):
            lowest(best, low, b)


@compiled
def duals(s, value, exact, may_stay_alone):
    """What the best column, or none, is worth to each row at the current prices."""
    dual = np.empty(s.target.shape[0])
    for i in range(dual.shape[0]):
        best = 0.0 if may_stay_alone else -np.inf
        if s.target[i] >= 0:
            best = max(best, s.own[i] - s.price[s.target[i]])
        for j in range(s.price.shape[0]):
            if value[i, j] - s.price[j] > best and not exact[i, j]:
                value[i, j], exact[i, j] = min(value[i, j], score(s, i, j)), True
            if exact[i, j]:
                best = max(best, value[i, j] - s.price[j])
        dual[i] = best
    return dual

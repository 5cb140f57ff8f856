"""Shortest augmenting paths with all scores at hand, for price wars that no list can follow.

Where hundreds of columns are worth the same to a row, a list soon cannot tell, and trees that grow
together get in one another's way. Where all scores fit in memory, the rows left over are assigned
one after the other by Dijkstra's algorithm over all columns, from the prices that bidding has
reached: a row comes into the tree by one pass over its scores, and among columns reached at the
same time those without a row come first, so that equal scores end a path at once.

Jonker and Volgenant, Computing 38 (1987); Crouse, "On implementing 2D rectangular assignment
algorithms" (IEEE Transactions on Aerospace and Electronic Systems 52, 2016).
"""

from __future__ import annotations

import numpy as np

from saematch.assignment.auction.forest import exchange
from saematch.assignment.auction.state import ALONE, FREE
from saematch.numerics.compiled import compiled


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
def reach(scores, price, best, first, shut, i, offset):
    """Bring forward when columns outside the tree are reached, now that row i is in it.

    Returns the earliest of these times.
    """
    least = np.inf
    for j in range(best.shape[0]):
        at, before, by = offset - (scores[j] - price[j]) + shut[j], best[j], first[j]
        sooner = at < before
        first[j] = i if sooner else by
        best[j] = at if sooner else before
        least = min(least, best[j])
    return least


@compiled
def next_column(best, owner, least):
    """A column reached at the time `least`, one without a row if there is one."""
    found = -1
    for j in range(best.shape[0]):
        if best[j] == least:
            if owner[j] == FREE:
                return j
            found = j
    return found


@compiled
def augment(s, roots, value, may_stay_alone):
    """Give each of `roots` a column, or nothing, along a shortest path of exchanges.

    `value` holds the score of every pair.
    """
    n, m = value.shape
    depth, tree = np.empty(n), np.empty(n, np.int32)  # when a row came in; the rows in the tree
    best, first = np.empty(m), np.empty(m, np.int32)  # when a column is reached, and from where
    shut = np.zeros(m)  # infinite for columns in the tree
    from_value = np.empty(m)
    for root in roots:
        best[:], shut[:] = np.inf, 0.0
        worth = dual(s, value, root, may_stay_alone)
        row, now, size = root, 0.0, 0
        alone, alone_row = np.inf, root
        while True:
            if may_stay_alone and now + worth < alone:
                alone, alone_row = now + worth, row
            least = reach(value[row], s.price, best, first, shut, row, now + worth)
            if alone <= least:
                now, end, row = max(now, alone), ALONE, alone_row
                break
            now, end = max(now, least), next_column(best, s.owner, least)
            from_value[end] = value[first[end], end]
            best[end], shut[end] = np.inf, np.inf
            if s.owner[end] == FREE:
                row = first[end]
                break
            row = s.owner[end]
            depth[row], tree[size] = now, row
            size += 1
            worth = s.own[row] - s.price[end]
        for r in tree[:size]:
            s.price[s.target[r]] += now - depth[r]
        exchange(s, root, row, end, first, from_value)


@compiled
def dual(s, value, i, may_stay_alone):
    """What the best column, or none, is worth to row i at the current prices."""
    best = 0.0 if may_stay_alone else -np.inf
    for j in range(s.price.shape[0]):
        best = max(best, value[i, j] - s.price[j])
    return best


@compiled
def duals(s, value, may_stay_alone):
    """`dual` of each row."""
    out = np.empty(s.target.shape[0])
    for i in range(out.shape[0]):
        out[i] = dual(s, value, i, may_stay_alone)
    return out

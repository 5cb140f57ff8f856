"""Shortest augmenting paths over the lists, for the rows that bidding leaves over."""

from __future__ import annotations

import numpy as np

from saematch.assignment.compiled import compiled
from saematch.assignment.state import ALONE, FREE, score

OUTSIDE = -1  # in place of a place in a list: what is outside the list


@compiled
def push(key, row, place, size, k, r, p):
    if size == key.shape[0]:
        key = np.concatenate((key, np.empty_like(key)))
        row = np.concatenate((row, np.empty_like(row)))
        place = np.concatenate((place, np.empty_like(place)))
    c = size
    while c > 0:
        up = (c - 1) // 2
        if key[up] <= k:
            break
        key[c], row[c], place[c] = key[up], row[up], place[up]
        c = up
    key[c], row[c], place[c] = k, r, p
    return key, row, place, size + 1


@compiled
def pop(key, row, place, size):
    """Move the least entry to the end of the heap."""
    last = size - 1
    k, r, p = key[last], row[last], place[last]
    key[last], row[last], place[last] = key[0], row[0], place[0]
    c = 0
    while True:
        down = 2 * c + 1
        if down >= last:
            break
        if down + 1 < last and key[down + 1] < key[down]:
            down += 1
        if key[down] >= k:
            break
        key[c], row[c], place[c] = key[down], row[down], place[down]
        c = down
    if last > 0:
        key[c], row[c], place[c] = k, r, p
    return last


@compiled
def augment(s, rows, may_stay_alone):  # noqa: PLR0915 (compiled as one loop)
    """Give each of `rows` a column along a shortest path of exchanges (Dijkstra, lazily exact).

    Returns the rows that got none, and the rows whose lists were too short to tell.
    """
    n, m = s.target.shape[0], s.price.shape[0]
    k = s.column.shape[1]
    key, row, place = np.empty(1024), np.empty(1024, np.int32), np.empty(1024, np.int32)
    best, done = np.full(m, np.inf), np.zeros(m, np.bool_)
    from_row, from_value = np.empty(m, np.int32), np.empty(m)
    depth, worth = np.empty(n), np.empty(n)  # of the rows in the tree
    touched, reached = np.empty(m, np.int32), np.empty(m, np.int32)
    left, n_left = np.empty(rows.shape[0], np.int32), 0
    short, n_short = np.empty(rows.shape[0], np.int32), 0
    for root in rows:
        size, n_touched, n_reached = 0, 0, 0
        bound = np.inf
        if s.whole[root] >= 0:
            worth[root] = (s.rows[s.whole[root]] - s.price).max()
        else:
            worth[root] = s.tau[root]
            for c in range(k):
                worth[root] = max(worth[root], s.value[root, c] - s.price[s.column[root, c]])
        if may_stay_alone:
            worth[root] = max(worth[root], 0.0)
        depth[root] = 0.0
        scan = root
        end_row, end_column, end_value = -1, -1, 0.0
        while True:
            if scan >= 0:
                s.counts[3] += 1
                offset, whole = depth[scan] + worth[scan], s.whole[scan]
                if may_stay_alone and offset < bound:
                    bound, end_row, end_column = offset, scan, -1
                if whole < 0 and offset - s.tau[scan] < bound:
                    key, row, place, size = push(
                        key, row, place, size, offset - s.tau[scan], scan, OUTSIDE
                    )
                for c in range(k if whole < 0 else m):
                    if whole < 0:
                        j, value, exact = s.column[scan, c], s.value[scan, c], s.exact[scan, c]
                    else:
                        j, value, exact = c, s.rows[whole, c], True
                    d = max(offset - (value - s.price[j]), depth[scan])
                    if done[j] or d >= bound or d >= best[j]:
                        continue
                    if exact and s.owner[j] == FREE:
                        bound, end_row, end_column, end_value = d, scan, j, value
                        continue
                    if exact:
                        if best[j] == np.inf:
                            touched[n_touched] = j
                            n_touched += 1
                        best[j] = d
                    key, row, place, size = push(key, row, place, size, d, scan, c)
                scan = -1
            if size == 0 or key[0] >= bound:
                break
            size = pop(key, row, place, size)
            d, r, c = key[size], row[size], place[size]
            if c == OUTSIDE:
                short[n_short] = r
                n_short += 1
                left[n_left] = root
                n_left += 1
                end_row = -1
                break
            whole = s.whole[r]
            j = s.column[r, c] if whole < 0 else c
            if done[j]:
                continue
            if whole < 0 and not s.exact[r, c]:
                value = min(s.value[r, c], score(s, r, j))
                s.value[r, c], s.exact[r, c] = value, True
                d = max(depth[r] + worth[r] - (value - s.price[j]), depth[r])
                if d >= bound or d >= best[j]:
                    continue
                if s.owner[j] == FREE:
                    bound, end_row, end_column, end_value = d, r, j, value
                    continue
                if best[j] == np.inf:
                    touched[n_touched] = j
                    n_touched += 1
                best[j] = d
                key, row, place, size = push(key, row, place, size, d, r, c)
                continue
            if d > best[j]:
                continue
            done[j] = True
            from_row[j] = r
            from_value[j] = s.value[r, c] if whole < 0 else s.rows[whole, j]
            reached[n_reached] = j
            n_reached += 1
            scan = s.owner[j]
            depth[scan] = d
            worth[scan] = s.own[scan] - s.price[j]
        if end_row >= 0:
            s.counts[2] += 1
            for c in range(n_reached):
                s.price[reached[c]] += bound - best[reached[c]]
            j = end_column
            if j >= 0:
                from_row[j], from_value[j] = end_row, end_value
            if j < 0:
                j = s.target[end_row]
                s.target[end_row], s.own[end_row] = ALONE, 0.0
                if end_row == root:
                    j = -1
            while j >= 0:
                r = from_row[j]
                following = s.target[r]
                s.target[r], s.owner[j], s.own[r] = j, r, from_value[j]
                if r == root:
                    break
                j = following
        for c in range(n_touched):
            best[touched[c]] = np.inf
        for c in range(n_reached):
            done[reached[c]] = False
    return left[:n_left], short[:n_short]

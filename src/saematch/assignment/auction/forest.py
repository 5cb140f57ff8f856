"""Shortest augmenting paths for all the rows that bidding leaves over, grown together.

Every such row is the root of a tree of exchanges. As time passes, what the rows of all trees get
falls and the prices of their columns rise, at one rate. An edge whose time has come adds a column
and its owner to a tree; when it leads to a column without an owner, the rows along the way take
their next columns, and that tree is done. The others go on from where they are: their edges to
columns of a tree that is done are parked meanwhile, for their slack does not change as long as both
ends are in the forest.

This is Dijkstra's algorithm from all roots at once, with prices for potentials (Kuhn's method with
a forest; Ahuja, Magnanti, Orlin, "Network Flows" (1993), chapter 12). The lists are used as far as
they tell; a tree that needs to know more stops where it is, and keeps the prices reached.
"""

from __future__ import annotations

import numpy as np

from saematch.assignment.auction.state import ALONE, FREE, LOOSE, listed, score
from saematch.numerics.compiled import compiled

OUTSIDE = -1  # in place of a place in a list: what is outside the list; ALONE: no column
AWAY = -1  # the tree of a row that is in none
LAST = -1  # the end of a chain of parked edges, or of the rows of a tree


@compiled
def push(heap, size, key, row, place):
    """Add an entry; returns the heap, which may have been moved, and its size."""
    keys, rows, places = heap
    if size == keys.shape[0]:
        keys = np.concatenate((keys, np.empty_like(keys)))
        rows = np.concatenate((rows, np.empty_like(rows)))
        places = np.concatenate((places, np.empty_like(places)))
    c = size
    while c > 0:
        up = (c - 1) // 2
        if keys[up] <= key:
            break
        keys[c], rows[c], places[c] = keys[up], rows[up], places[up]
        c = up
    keys[c], rows[c], places[c] = key, row, place
    return (keys, rows, places), size + 1


@compiled
def pop(heap, size):
    """Move the entry with the least key to the end; returns the size without it."""
    keys, rows, places = heap
    last = size - 1
    key, row, place = keys[last], rows[last], places[last]
    keys[last], rows[last], places[last] = keys[0], rows[0], places[0]
    c = 0
    while True:
        down = 2 * c + 1
        if down >= last:
            break
        if down + 1 < last and keys[down + 1] < keys[down]:
            down += 1
        if keys[down] >= key:
            break
        keys[c], rows[c], places[c] = keys[down], rows[down], places[down]
        c = down
    if last > 0:
        keys[c], rows[c], places[c] = key, row, place
    return last


@compiled
def arrival(s, depth, worth, i, c):
    """When row i, in the forest, likes the column at place c as much as what it gets by then."""
    return max(depth[i] + worth[i] - (s.value[c] - s.price[s.column[c]]), depth[i])


@compiled
def in_forest(s, tree, j):
    return s.owner[j] != FREE and tree[s.owner[j]] != AWAY


@compiled
def exchange(s, root, end_row, end, from_row, from_value):
    """Give the rows along the path their next columns; `end` is ALONE if the last stays alone."""
    s.counts[2] += 1
    j = end
    if end == ALONE:
        j = s.target[end_row] if end_row != root else ALONE
        s.target[end_row], s.own[end_row] = ALONE, 0.0
    while j >= 0:
        r = from_row[j]
        before = s.target[r]
        s.target[r], s.owner[j], s.own[r] = j, r, from_value[j]
        if r == root:
            break
        j = before


@compiled
def grow(s, roots, may_stay_alone, most_edges):  # noqa: PLR0915 (compiled as one loop)
    """Give each of `roots` a column, or nothing, along a shortest path of exchanges.

    After `most_edges` looks at an edge all trees stop where they are.

    Returns the roots that got none, and the rows whose lists were too short to tell.
    """
    n, m = s.target.shape[0], s.price.shape[0]
    heap, size = (np.empty(1024), np.empty(1024, np.int32), np.empty(1024, np.int64)), 0
    # of the rows in the forest: tree, the next in the tree, when they came in, what they got then
    tree, following = np.full(n, AWAY, np.int32), np.full(n, LAST, np.int32)
    depth, worth = np.empty(n), np.empty(n)
    last = np.empty(n, np.int32)  # row of the tree of a root
    # of the columns in the forest: the edge that they came in by, and those parked there
    from_row, from_value = np.empty(m, np.int32), np.empty(m)
    parked, chain, lister = np.full(m, LAST, np.int32), s.chain, s.lister
    released = np.empty(m, np.int32)
    left, n_left = np.empty(roots.shape[0], np.int32), 0
    short, n_short = np.empty(roots.shape[0], np.int32), 0
    now, growing, planted, edges = 0.0, roots.shape[0], 0, 0
    while growing > 0 and edges < most_edges:
        # a row to scan: a root still to be planted, else the owner of the next column
        if planted < roots.shape[0]:
            scan = roots[planted]
            planted += 1
            worth[scan] = listed(s, scan)
            if may_stay_alone:
                worth[scan] = max(worth[scan], 0.0)
            depth[scan], tree[scan], last[scan] = 0.0, scan, scan
        else:
            edges += 1
            size = pop(heap, size)
            key, i, c = heap[0][size], heap[1][size], heap[2][size]
            if tree[i] == AWAY:
                continue
            root, end = tree[i], c
            if c < 0:
                at = depth[i] + worth[i] - (s.tau[i] if c == OUTSIDE else 0.0)
            else:
                end = s.column[c]
                if in_forest(s, tree, end):
                    if chain[c] == LOOSE:
                        chain[c], parked[end], lister[c] = parked[end], c, i
                    continue
                if not s.exact[c]:
                    s.value[c], s.exact[c] = min(s.value[c], score(s, i, end)), True
                at = arrival(s, depth, worth, i, c)
            if at > key:  # a price has risen, or the exact score is less
                heap, size = push(heap, size, at, i, c)
                continue
            now = max(now, key)
            if end == OUTSIDE:
                short[n_short], left[n_left] = i, root
                n_short += 1
                n_left += 1
            elif end >= 0:
                from_row[end], from_value[end] = i, s.value[c]
            if end < 0 or s.owner[end] == FREE:
                # this tree is done: settle its prices, exchange along the path, let the others on
                n_released, r = 0, following[root]
                tree[root] = AWAY
                while r != LAST:
                    s.price[s.target[r]] += max(now - depth[r], 0.0)
                    released[n_released] = s.target[r]
                    n_released += 1
                    tree[r] = AWAY
                    after = following[r]
                    following[r] = LAST
                    r = after
                following[root] = LAST
                growing -= 1
                if end != OUTSIDE:
                    exchange(s, root, i, end, from_row, from_value)
                for q in range(n_released):
                    j = released[q]
                    c, parked[j] = parked[j], LAST
                    while c != LAST:
                        after, chain[c] = chain[c], LOOSE
                        r = lister[c]
                        if tree[r] != AWAY:
                            at = max(arrival(s, depth, worth, r, c), now)
                            heap, size = push(heap, size, at, r, c)
                        c = after
                continue
            scan = s.owner[end]
            depth[scan], worth[scan] = now, s.own[scan] - s.price[end]
            tree[scan], following[last[root]], last[root] = root, scan, scan
        s.counts[3] += 1
        edges += s.length[scan]
        if may_stay_alone:
            heap, size = push(heap, size, depth[scan] + worth[scan], scan, ALONE)
        if s.tau[scan] > -np.inf:
            heap, size = push(heap, size, depth[scan] + worth[scan] - s.tau[scan], scan, OUTSIDE)
        for c in range(s.start[scan], s.start[scan] + s.length[scan]):
            j = s.column[c]
            if j == s.target[scan]:
                continue
            if not in_forest(s, tree, j):
                at = arrival(s, depth, worth, scan, c)
                heap, size = push(heap, size, at, scan, c)
            elif chain[c] == LOOSE:
                chain[c], parked[j], lister[c] = parked[j], c, scan
    if growing > 0:
        for place in range(roots.shape[0]):
            i = roots[place]
            if place < planted and tree[i] != i:
                continue
            left[n_left] = i
            n_left += 1
            r = following[i]
            while r != LAST:
                s.price[s.target[r]] += max(now - depth[r], 0.0)
                r = following[r]
        chain[:] = LOOSE
    return left[:n_left], short[:n_short]

"""The auction: free rows bid for the column they like best, and prices only rise."""

from __future__ import annotations

import numpy as np

from saematch.assignment.auction.state import ALONE, FREE, score, settle
from saematch.numerics.compiled import compiled

NEARLY = 1e-9  # relative: far less than a product in float32 can tell apart


@compiled
def free_place(s, i, worth):
    """A place of row i's list whose column has no row and is worth as much as the best; or -1."""
    for c in range(s.start[i], s.start[i] + s.length[i]):
        j = s.column[c]
        if s.owner[j] != FREE or s.value[c] - s.price[j] < worth:
            continue
        if not s.exact[c]:
            s.value[c], s.exact[c] = min(s.value[c], score(s, i, j)), True
        if s.value[c] - s.price[j] >= worth:
            return c
    return -1


@compiled
def ties(s, rows):
    """How many of `rows` like the two best columns of their lists the same, or nearly."""
    count = 0
    for i in rows:
        place, _, first, second = settle(s, i, -np.inf)
        count += first - second <= NEARLY * max(abs(first), abs(s.value[place]))
    return count


@compiled
def bid(s, rows, may_stay_alone, patience, most):  # noqa: PLR0915 (compiled as one loop)
    """Let rows bid until each has a column, stays alone, waits for a new list, or is stuck.

    A bid raises the price of the best column to where the row likes its second best as much; no
    more, so that every row with a column likes none better. Of columns that it likes as much a row
    takes one without a row. It is stuck when its best is no better than its second best and all
    such are taken, or after `patience` bids.

    Returns the rows that wait, the rows that are stuck, and those not served after `most` bids.
    """
    n = s.target.shape[0]
    queue = np.empty(n, np.int32)
    queue[: rows.shape[0]] = rows
    head, length = 0, rows.shape[0]
    waiting, stuck = np.empty(n, np.int32), np.empty(n, np.int32)
    n_waiting, n_stuck, made = 0, 0, 0
    while length > 0 and made < most:
        i = queue[head]
        head += 1
        if head == n:
            head = 0
        length -= 1
        floor = s.tau[i]
        if may_stay_alone:
            floor = max(floor, 0.0)
        first, _, v1, v2 = settle(s, i, floor)
        if may_stay_alone and v1 <= 0 and s.tau[i] <= 0:
            s.target[i], s.own[i] = ALONE, 0.0
            continue
        if first < 0 or v1 < s.tau[i]:
            waiting[n_waiting] = i
            n_waiting += 1
            continue
        rest = max(v2, floor)
        j = s.column[first]
        if rest == v1 and s.owner[j] != FREE:
            free = free_place(s, i, v1)
            if free >= 0:
                first, j = free, s.column[free]
        taken = s.owner[j]
        if taken != FREE and (rest == v1 or s.bids[i] >= patience):
            stuck[n_stuck] = i
            n_stuck += 1
            continue
        made += 1
        s.bids[i] += 1
        s.own[i] = s.value[first]
        if rest > -np.inf:
            s.price[j] = max(s.price[j], s.own[i] - rest)
        s.owner[j], s.target[i] = i, j
        if taken != FREE:
            s.target[taken] = FREE
            place = head + length
            if place >= n:
                place -= n
            queue[place] = taken
            length += 1
    s.counts[1] += made
    unserved = np.empty(length, np.int32)
    for c in range(length):
        unserved[c] = queue[(head + c) % n]
    return waiting[:n_waiting], stuck[:n_stuck], unserved

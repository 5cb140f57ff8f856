"""Prices from an auction with a least increment, scaled down, with all scores at hand.

In a price war each bid without a least increment raises a price by little or nothing. With one,
epsilon, the war is over soon, at prices at which each row has a column that is within epsilon of
its best. Begun with a large epsilon, which is taken down by steps, each from the prices of the one
before, such auctions look at a row's scores a few times only. Their prices are no more than a
start, from which the exact solve goes on.

Bertsekas, "Network Optimization" (1998), chapter 7, on epsilon-scaling.
"""

from __future__ import annotations

import numpy as np

from saematch.assignment.auction.state import FREE, score
from saematch.assignment.selection import keep_largest
from saematch.numerics.compiled import compiled

KEPT = 24  # columns of a row to choose from before all are looked at again
BLOCK = 64  # columns
STEPS, STEP = 5, 10.0  # how often epsilon is divided, and by what
LOOKS = 40  # at all scores of a row, as a multiple of the rows, before it is given up
BIDS = 1000  # likewise


@compiled
def look(scores, price, high, order, worth, column, out):
    """Write the columns worth most at `price` to `out`; returns a bound on the worth of the others.

    `high`, `order`, `worth` and `column` are room to work in.
    """
    m, blocks, k = scores.shape[0], high.shape[0], out.shape[0]
    for b in range(blocks):
        best = np.float32(-np.inf)
        for j in range(b * BLOCK, min(b * BLOCK + BLOCK, m)):
            v = scores[j] - price[j]
            best = v if v > best else best
        high[b], order[b] = best, b
    floor = np.float32(-np.inf)
    if blocks > k:
        # at least as many columns as blocks reach the worth of the last of these blocks
        keep_largest(high, order, blocks, k + 1)
        floor = high[: k + 1].min()
    count = 0
    for c in range(min(blocks, k + 1)):
        b = order[c]
        for j in range(b * BLOCK, min(b * BLOCK + BLOCK, m)):
            v = scores[j] - price[j]
            if v >= floor:
                worth[count], column[count] = v, j
                count += 1
    outside = np.float32(-np.inf)
    if count > k:
        keep_largest(worth, column, count, k)
        outside = worth[k:count].max()
    out[:] = column[:k]
    return outside


@compiled
def spread(value, n):
    """How much more its best column is worth to a row than others are: the median of n rows."""
    m = value.shape[1]
    out = np.empty(n)
    for i in range(n):
        best, total = -np.inf, 0.0
        for j in range(m):
            best = max(best, value[i, j])
            total += value[i, j]
        out[i] = best - total / m
    return np.median(out)


@compiled
def scaled_prices(s, value, exact, price):  # noqa: PLR0915 (compiled as one loop)
    """Raise `price` (float32) by auctions with a smaller and smaller least increment.

    `value` (float32, m x m) holds a bound above the score of every pair, the score itself, to
    rounding, where `exact` says so; below the rows there are, rows to which every column is worth
    the same take the columns that stay free. These are given a price of 0, and no price is less.

    Returns whether the auctions came to an end: price wars among features that are the same can
    take too long, and increments can be too small for float32.
    """
    n, m = value.shape
    blocks = (m + BLOCK - 1) // BLOCK
    k = min(KEPT, m)
    column, tau = np.zeros((n, k), np.int32), np.full(n, np.float32(np.inf))
    high, order = np.empty(blocks, np.float32), np.empty(blocks, np.int32)
    worth, index = np.empty((k + 1) * BLOCK, np.float32), np.empty((k + 1) * BLOCK, np.int32)
    queue, owner = np.empty(n, np.int32), np.empty(m, np.int32)
    looks, bids = 0, 0
    epsilon = np.float32(spread(value, s.target.shape[0]))
    for _ in range(STEPS):
        owner[:] = FREE
        head, length = 0, n
        for i in range(n):
            queue[i] = i
        while length > 0:
            i = queue[head]
            head = head + 1 if head + 1 < n else 0
            length -= 1
            while True:
                first, second = 0, 0
                v1, v2 = np.float32(-np.inf), np.float32(-np.inf)
                for c in range(k):
                    j = column[i, c]
                    v = value[i, j] - price[j]
                    if v > v1:
                        second, v2 = first, v1
                        first, v1 = j, v
                    elif v > v2:
                        second, v2 = j, v
                if v1 < tau[i]:
                    tau[i] = look(value[i], price, high, order, worth, index, column[i])
                    looks += 1
                elif not exact[i, first]:
                    value[i, first] = min(value[i, first], np.float32(score(s, i, first)))
                    exact[i, first] = True
                elif v2 > tau[i] and not exact[i, second]:
                    value[i, second] = min(value[i, second], np.float32(score(s, i, second)))
                    exact[i, second] = True
                else:
                    break
            before = price[first]
            price[first] = before + (v1 - max(v2, tau[i]) + epsilon)
            bids += 1
            if not price[first] > before or looks > LOOKS * n or bids > BIDS * n:
                return False
            taken = owner[first]
            owner[first] = i
            if taken != FREE:
                place = head + length
                queue[place if place < n else place - n] = taken
                length += 1
        epsilon = np.float32(epsilon / STEP)
    s.counts[1] += bids
    if s.target.shape[0] < n:
        base = price[owner >= s.target.shape[0]].max()
        for j in range(m):
            price[j] = max(price[j] - base, np.float32(0))
    return True

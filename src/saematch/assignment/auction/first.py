"""First prices: what columns are worth to rows on average.

A column that scores more with all rows is worth so much more to whoever gets it, and bidding from
equal prices would have to find that out by small steps: a price war. Squared distances of vectors
of unequal lengths are of this kind, for a column's length counts with every row.
"""

from __future__ import annotations

import numpy as np

from saematch.assignment.auction.state import FREE, State
from saematch.assignment.problem import SLICE


def means(s: State) -> np.ndarray:
    """The mean score of each column, but for what is the same for all columns.

        p_j = mean(x) . y_j + column_offset_j

    Where columns stay free, less so much that as many have no price, and no price is below 0. It
    need not be exact: these are no more than prices to begin from.
    """
    n, m = len(s.target), len(s.price)
    mean = np.zeros(s.x.shape[1])
    for start in range(0, n, SLICE):
        mean += s.x[start : start + SLICE].sum(0, dtype=np.float64) / n
    price = s.column_offset.copy()
    for start in range(0, m, SLICE):
        price[start : start + SLICE] += s.y[start : start + SLICE] @ mean.astype(s.y.dtype)
    return price if n == m else np.maximum(price - np.partition(price, m - n)[m - n], 0.0)


def level(s: State) -> np.ndarray:
    """Let the columns left over be the cheapest ones; returns the rows that lose theirs.

    As if there were rows to make up the square, to which all columns are worth the same: where
    theirs are not the cheapest, they bid for the cheapest, as many as they are.
    """
    left, unsold = len(s.price) - len(s.target), s.price[s.owner == FREE]
    if not left or unsold.max() <= s.price.min():
        return np.empty(0, np.int64)
    order = np.argpartition(s.price, left)
    cheapest = order[:left]
    rows = s.owner[cheapest]
    rows = rows[rows != FREE]
    s.price[cheapest] = s.price[order[left]]
    s.owner[cheapest], s.target[rows] = FREE, FREE
    return rows


def lower(s: State) -> None:
    """Take as much off all prices, after `level`, as the columns left over cost."""
    least = s.price.min()
    s.price[:] -= least
    s.tau[:] += least

"""Many-to-one: each row's best columns, exactly, from lists of approximate scores."""

from __future__ import annotations

import numpy as np

from saematch.assignment.auction.state import score
from saematch.assignment.scoring import Scorer
from saematch.numerics.compiled import compiled

SPARE = 16  # columns listed beyond those asked for


@compiled
def rank(s, rows, column, value):
    """The best columns of `rows` in order, the lower index first among equals.

    Returns which rows the lists cannot tell for.
    """
    top = column.shape[1]
    unsure = np.zeros(rows.shape[0], np.bool_)
    for r in range(rows.shape[0]):
        i = rows[r]
        places = slice(s.start[i], s.start[i] + s.length[i])
        listed, values, exact = s.column[places], s.value[places], s.exact[places]
        while True:
            limit = np.sort(values)[len(values) - top]
            changed = False
            for c in range(len(values)):
                if not exact[c] and values[c] >= limit:
                    values[c], exact[c] = score(s, i, listed[c]), True
                    changed = True
            if not changed:
                break
        unsure[r] = limit <= s.tau[i]
        by_index = np.argsort(listed, kind="mergesort")
        order = by_index[np.argsort(-values[by_index], kind="mergesort")]
        for c in range(top):
            column[i, c], value[i, c] = listed[order[c]], values[order[c]]
    return unsure


def nearest(scorer: Scorer, top: int) -> tuple[np.ndarray, np.ndarray]:
    """The `top` best columns of every row and their exact scores, each `(n, top)`."""
    s = scorer.state
    column = np.empty((len(s.target), top), np.int64)
    value = np.empty((len(s.target), top))
    try:
        for rows in scorer.first():
            unsure = rows[rank(s, rows, column, value)]
            for start in range(0, len(unsure), scorer.block):
                some = unsure[start : start + scorer.block]
                scores = scorer.whole(some)
                order = np.argsort(-scores, axis=1, kind="stable")[:, :top]
                column[some], value[some] = order, np.take_along_axis(scores, order, 1)
    finally:
        scorer.close()
    return column, value

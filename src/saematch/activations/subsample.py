"""Which tokens stand for all of a store where only some are used."""

from __future__ import annotations

import numpy as np
from numpy import ndarray

from saematch.errors import SaematchError

STRETCH = 64  # tokens in a row
_GOLDEN = (5**0.5 - 1) / 2  # its multiples, less their whole parts, fall evenly between 0 and 1


def spread(total: int, wanted: int, stretch: int = STRETCH) -> ndarray:
    """`(wanted,)` int64: places of tokens among `total`, ascending, from all parts alike.

    All tokens are cut into as many equal parts as it takes stretches, and of each part one stretch
    is taken: so every text set, and every text as far as there are stretches enough, has its
    share. Where in its part a stretch lies changes from part to part. Were it always the start,
    examples of one length could be met again and again at the same position.

    Args:
        total: tokens that there are.
        wanted: tokens to take.
        stretch: tokens of a stretch at most; all are of one length, give or take one.

    Raises:
        SaematchError: more are wanted than there are, or less than none.
    """
    if not 0 <= wanted <= total:
        raise SaematchError(f"{wanted:,} tokens of {total:,}: give 0 to {total:,}")
    count = -(-wanted // stretch)
    if count == 0:
        return np.zeros(0, np.int64)
    number = np.arange(count + 1)
    parts, ends = number * total // count, number * wanted // count
    length = np.diff(ends)
    free = np.diff(parts) - length
    start = parts[:-1] + np.floor((free + 1) * (number[:-1] * _GOLDEN % 1)).astype(np.int64)
    return np.arange(wanted) + np.repeat(start - ends[:-1], length)

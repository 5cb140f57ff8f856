"""A subsample of a store's tokens, spread over all of them."""

from __future__ import annotations

import numpy as np
from numpy import ndarray

from saematch.errors import SaematchError

STRETCH = 64  # tokens in a row
_GOLDEN = (5**0.5 - 1) / 2  # the fractional parts of its multiples are evenly spread over 0 to 1


def spread(total: int, wanted: int, stretch: int = STRETCH) -> ndarray:
    """`(wanted,)` int64: places of tokens among `total`, ascending, evenly from all parts.

    The tokens are cut into equal parts, one for each stretch that is needed, and one stretch is
    taken from each part, so that every text set has its share, and so has every text if there are
    enough stretches. The place of a stretch changes from part to part: if it were always the start,
    examples of equal length could always be sampled at the same position.

    Args:
        total: number of tokens.
        wanted: tokens to take.
        stretch: longest stretch; lengths differ by one token at most.

    Raises:
        SaematchError: `wanted` is negative or more than `total`.
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

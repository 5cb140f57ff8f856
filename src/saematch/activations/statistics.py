"""Co-activation: how similarly two features fire on text.

For feature i of A (upstream) and j of B (downstream) with activations `a_t`, `b_t` on n tokens,
zeros included:

    pearson              (n sum ab - sum a sum b) / sqrt((n sum aa - (sum a)^2) (n sum bb - ...))
    cosine               sum ab / sqrt(sum aa sum bb), not centred
    sufficiency          P(j active | i active)
    necessity            P(i active | j active)
    jaccard              both active / either active
    mutual_information   of the two binary variables, in nats

Active is above 0, or above a share (0.2) of the feature's maximum: `activity_levels`. Balcells et
al., "Evolution of SAE Features Across Layers in LLMs", arXiv 2410.08869.
"""

from __future__ import annotations

from math import log, sqrt
from typing import Literal, get_args

import numpy as np

from saematch.errors import SaematchError
from saematch.numerics.compiled import compiled

Statistic = Literal[
    "pearson", "cosine", "sufficiency", "necessity", "jaccard", "mutual_information"
]
STATISTICS: tuple[Statistic, ...] = get_args(Statistic)
# lower ends of Wilson intervals, 0 where the lift over independence is too small: for gates
BOUNDS = ("sufficiency_bound", "necessity_bound")
PEARSON, COSINE, SUFFICIENCY, NECESSITY, JACCARD, MUTUAL_INFORMATION = range(6)
SUFFICIENCY_BOUND, NECESSITY_BOUND = 6, 7
FLAT = 1e-12  # variance as a share of the mean square that is only rounding


def code_of(statistic: str) -> int:
    """The number of a statistic in compiled code.

    Raises:
        SaematchError: there is none of that name.
    """
    known = (*STATISTICS, *BOUNDS)
    if statistic not in known:
        raise SaematchError(f"no statistic {statistic!r}; there are {', '.join(STATISTICS)}")
    return known.index(statistic)


@compiled
def value_of(
    code, n, product, both, active_a, total_a, square_a, active_b, total_b, square_b, z, lift
):
    """One statistic of one pair from its sums; NaN where it is not defined."""
    if code == PEARSON:
        spread_a = n * square_a - total_a * total_a
        spread_b = n * square_b - total_b * total_b
        if spread_a <= FLAT * n * square_a or spread_b <= FLAT * n * square_b:
            return np.nan
        return (n * product - total_a * total_b) / (sqrt(spread_a) * sqrt(spread_b))
    if code == COSINE:
        size = sqrt(square_a) * sqrt(square_b)
        return product / size if size > 0 else np.nan
    if code == MUTUAL_INFORMATION:
        return _information(n, both, active_a, active_b) if n > 0 else np.nan
    if active_a == 0 or active_b == 0:
        # P(j | i) is 0 if j never fires, but undefined if i never fires
        given = active_a if code in (SUFFICIENCY, SUFFICIENCY_BOUND) else active_b
        if code == JACCARD:
            given = active_a + active_b
        return 0.0 if given > 0 else np.nan
    if code == SUFFICIENCY:
        return both / active_a
    if code == NECESSITY:
        return both / active_b
    if code == JACCARD:
        return both / (active_a + active_b - both)
    given, free = (active_a, active_b) if code == SUFFICIENCY_BOUND else (active_b, active_a)
    low = wilson_low(both, given, z)
    return low if low >= lift * free / n else 0.0


@compiled
def wilson_low(hits, n, z):
    """The lower end of the Wilson score interval of `hits / n`."""
    share = hits / n
    middle = share + z * z / (2 * n)
    half = z * sqrt(share * (1 - share) / n + (z / (2 * n)) ** 2)
    return max((middle - half) / (1 + z * z / n), 0.0)


@compiled
def information_bound(n, both, active_a, active_b):
    """An upper bound on the mutual information of two binary variables, without a logarithm.

    Mutual information is a Kullback-Leibler divergence, which never exceeds the chi-squared one:
    the square of the correlation of the two. A little is added for rounding.
    """
    idle = (n - active_a) * (n - active_b)
    if idle <= 0:
        return np.inf
    off = n * both - np.float64(active_a) * active_b
    return 1.000001 * (off / active_a) * (off / active_b) / idle + 1e-15


@compiled
def _information(n, both, active_a, active_b):
    found = 0.0
    for on_a in (True, False):
        for on_b in (True, False):
            side_a = active_a if on_a else n - active_a
            side_b = active_b if on_b else n - active_b
            cell = both
            if on_a and not on_b:
                cell = active_a - both
            elif on_b and not on_a:
                cell = active_b - both
            elif not on_a:
                cell = n - active_a - active_b + both
            if cell > 0:
                found += cell / n * log((cell / side_a) * (n / side_b))
    return max(found, 0.0)


# in the same file as what it calls: numba's disk cache does not notice changes in other files
@compiled
def rank_pairs(
    code,
    n,
    product,
    both,
    active_a,
    total_a,
    square_a,
    active_b,
    total_b,
    square_b,
    z,
    lift,
    first,
    row_index,
    row_value,
    row_both,
    column_index,
    column_value,
    column_both,
):
    """Put the pairs of a block of A's features into the best of each row and each column."""
    last = row_index.shape[1] - 1
    for i in range(product.shape[0]):
        if active_a[i] == 0:
            continue
        for j in range(product.shape[1]):
            # if they are never active together, only these two can be above 0
            if both[i, j] == 0 and code not in (PEARSON, MUTUAL_INFORMATION) and product[i, j] == 0:
                continue
            if active_b[j] == 0:
                continue
            if code == MUTUAL_INFORMATION:
                bound = information_bound(n, both[i, j], active_a[i], active_b[j])
                if bound <= row_value[first + i, last] and bound <= column_value[j, last]:
                    continue
            value = value_of(
                code,
                n,
                product[i, j],
                np.float64(both[i, j]),
                np.float64(active_a[i]),
                total_a[i],
                square_a[i],
                np.float64(active_b[j]),
                total_b[j],
                square_b[j],
                z,
                lift,
            )
            if value > row_value[first + i, last]:
                _insert(row_index, row_value, row_both, first + i, j, value, both[i, j])
            if value > column_value[j, last]:
                _insert(column_index, column_value, column_both, j, first + i, value, both[i, j])


@compiled
def _insert(index, value, both, row, new_index, new_value, new_both):
    place = index.shape[1] - 1
    while place > 0 and value[row, place - 1] < new_value:
        index[row, place] = index[row, place - 1]
        value[row, place] = value[row, place - 1]
        both[row, place] = both[row, place - 1]
        place -= 1
    index[row, place] = new_index
    value[row, place] = new_value
    both[row, place] = new_both

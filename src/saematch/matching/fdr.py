# pyright: strict, reportMissingTypeStubs=false, reportUnknownMemberType=false
"""Which p-values count, and how sure a share is."""

from __future__ import annotations

from typing import cast

import numpy as np
from numpy import ndarray

LEAST = 1e-300  # p-values stop here, so that their logarithm is finite


def cut(p_values: ndarray, fdr: float) -> float:
    """The p-value up to which discoveries are made at a false discovery rate; 0 where none are.

    `fdr k / m` for the largest k such that k of the m p-values lie at or below it. NaN, a feature
    that was left alone, counts as a test that failed; features that take no part are no tests and
    must not be given. Benjamini and Hochberg, Journal of the Royal
    Statistical Society B 57 (1995): for tests that are independent or depend positively.
    """
    p = np.sort(np.nan_to_num(p_values, nan=1.0))
    line = fdr * np.arange(1, len(p) + 1) / max(1, len(p))
    passing = np.flatnonzero(p <= line)
    return float(line[passing[-1]]) if len(passing) else 0.0


def local_rate(p_values: ndarray) -> ndarray:
    """The local false discovery rate at each p-value: the chance that such a one came by chance.

    `1 / f(p)`, with the density f of the p-values taken to fall, as that of real ones among uniform
    ones does: its estimate is the slope of the least concave majorant of their distribution
    (Grenander 1956; Strimmer, BMC Bioinformatics 9, 2008). All of them are taken to be by chance
    where the share of those that are would stand in the formula, which makes it an upper bound. A
    false discovery rate is a mean over all smaller p-values, and so says too little of the largest.
    NaN counts as 1; see `cut`.

    Args:
        p_values: float64 (n,); features that take no part must not be given.
    """
    from scipy.optimize import isotonic_regression

    p = np.nan_to_num(p_values, nan=1.0)
    order = np.argsort(p, kind="stable")
    found = np.empty(len(p))
    if len(p):
        # the means of neighbouring steps that are out of order are the inverse slopes
        steps = len(p) * np.diff(p[order], prepend=0.0)
        found[order] = np.minimum(cast("ndarray", isotonic_regression(steps).x), 1.0)
    return found


def beyond(p_values: ndarray, limit: float) -> ndarray:
    """Where a p-value is at or below `limit`; nowhere for a limit of 0."""
    return (p_values <= limit) & (limit > 0)


def interval(hits: ndarray, n: ndarray, level: float = 0.95) -> tuple[ndarray, ndarray]:
    """Wilson score interval of the shares `hits / n`, for n features that are independent.

    The chances that a score test does not reject, which is never a single one, not even where none
    or all of the features are hits. NaN where n is 0. Wilson, Journal of the American Statistical
    Association 22 (1927).
    """
    from scipy.special import ndtri

    hits, n = np.asarray(hits, float), np.asarray(n, float)
    n = np.where(n > 0, n, np.nan)
    z = ndtri((1 + level) / 2)
    share = hits / n
    middle = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z * np.sqrt(share * (1 - share) / n + (z / (2 * n)) ** 2) / (1 + z**2 / n)
    return np.maximum(middle - half, 0.0), np.minimum(middle + half, 1.0)

"""Which p-values count, and how sure a share is."""

from __future__ import annotations

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


def beyond(p_values: ndarray, limit: float) -> ndarray:
    """Where a p-value is at or below `limit`; nowhere for a limit of 0."""
    return (p_values <= limit) & (limit > 0)


def interval(hits: ndarray, n: ndarray, level: float = 0.95) -> tuple[ndarray, ndarray]:
    """Percentile bootstrap interval of the shares `hits / n`, resampling the n features.

    The hits in a resample of n features with replacement are binomial, with the share found as
    their chance; so the quantiles need no drawing. NaN where n is 0.
    """
    from scipy.stats import binom

    hits, n = np.asarray(hits, float), np.asarray(n, float)
    known = n > 0
    share = np.divide(hits, n, out=np.full(np.broadcast(hits, n).shape, np.nan), where=known)
    tail = (1 - level) / 2
    low, high = (
        np.where(known, binom.ppf(q, n, share) / np.where(known, n, 1), np.nan)
        for q in (tail, 1 - tail)
    )
    return low, high

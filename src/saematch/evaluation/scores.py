"""Delta-loss, explained variance and matching scores, each with its bootstrap interval.

A figure of a text set is a ratio of sums over its examples, or a mean of such ratios, written as a
function of how often each example counts: once each for the figure itself, as often as it was drawn
for a resample (percentile bootstrap over examples; Efron & Tibshirani, 1993, chapter 13).
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy import ndarray

LEVEL = 0.95
SEEN = 5  # examples that a feature must be active in, for a share of its tokens to be given
CHUNK = 64  # resamples at a time, where there is a figure per feature

Statistic = Callable[[ndarray], ndarray]  # (resamples, examples) -> (resamples,)


@dataclass(frozen=True)
class Interval:
    """A figure with its 95 % interval; NaN where there is none."""

    value: float
    low: float
    high: float


class Resamples:
    """Draws of as many examples with replacement: how often each was drawn.

    The same draws serve every statistic of a text set, so that differences between two of them are
    of the same examples.
    """

    def __init__(self, examples: int, resamples: int = 1000, seed: int = 0) -> None:
        draws = np.random.default_rng(seed).integers(examples, size=(resamples, examples))
        row = np.arange(resamples)[:, None]
        flat = np.bincount((row * examples + draws).ravel(), minlength=resamples * examples)
        self.weights = flat.reshape(resamples, examples).astype(np.float64)

    def interval(self, statistic: Statistic) -> Interval:
        """The statistic of the examples as they are, and its 2.5 % and 97.5 % quantiles."""
        examples = self.weights.shape[1]
        value = float(statistic(np.ones((1, examples)))[0])
        if examples < 2 or len(self.weights) == 0:
            return Interval(value, float("nan"), float("nan"))
        tail = (1 - LEVEL) / 2
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # of nothing but NaN
            low, high = np.nanquantile(statistic(self.weights), [tail, 1 - tail])
        return Interval(value, float(low), float(high))


def ratio(total: Float[ndarray, " examples"], count: Float[ndarray, " examples"]) -> Statistic:
    """A mean per token: `sum(total) / sum(count)`."""
    return lambda weights: _divided(weights @ total, weights @ count)


@dataclass(frozen=True, eq=False)
class Moments:
    """Sums over the tokens of each example of values x, `(examples, d)`."""

    tokens: Float[ndarray, " examples"]
    total: Float[ndarray, "examples d"]
    squares: Float[ndarray, "examples d"]

    def spread(self, weights: ndarray) -> ndarray:
        """Summed squared distance from the mean over all tokens, `(resamples, d)`."""
        n = (weights @ self.tokens)[:, None]
        squares = weights @ self.squares
        spread = squares - (weights @ self.total) ** 2 / np.maximum(n, 1)
        # of a constant only rounding is left
        return np.where(spread > 1e-12 * squares, spread, 0.0)


def explained_variance(x: Moments, error: Moments) -> dict[str, Statistic]:
    """One minus the error over the variance, by three named definitions.

    `explained variance`: `1 - sum_td (x_hat - x)^2 / sum_td (x - mean)^2`, all dimensions
    together, the mean over the tokens of the text set. `explained variance per dimension`: the mean
    over dimensions of the same for each. `explained variance, errors centred`:
    `1 - Var(x_hat - x) / Var(x)`, as SAE Match prints it, which forgives a constant error.
    """

    def total(weights: ndarray) -> ndarray:
        return 1 - _divided((weights @ error.squares).sum(1), x.spread(weights).sum(1))

    def each(weights: ndarray) -> ndarray:
        share = _divided(weights @ error.squares, x.spread(weights))
        return 1 - np.nanmean(share, axis=1)

    def centred(weights: ndarray) -> ndarray:
        return 1 - _divided(error.spread(weights).sum(1), x.spread(weights).sum(1))

    return {
        "explained variance": total,
        "explained variance per dimension": each,
        "explained variance, errors centred": centred,
    }


def matching_scores(
    source: Float[ndarray, "examples pairs"],
    target: Float[ndarray, "examples pairs"],
    both: Float[ndarray, "examples pairs"],
) -> dict[str, Statistic]:
    """Whether paired features are active together, the mean over pairs, by three estimators.

    `P(j|i)`: of the tokens on which feature i of A is active, the share on which its target j is;
    `P(i|j)`: the other way round; `Jaccard`: of the tokens on which either is, the share with both.
    A pair counts where such tokens are in at least `SEEN` examples (in all, of fewer): what is
    seen in one or two would be missing from many resamples, and the interval be of other pairs
    than the figure.

    Args:
        source: tokens of each example on which i is active.
        target: the same of j.
        both: the same of both.
    """

    def score(denominator: ndarray) -> Statistic:
        often = (denominator > 0).sum(0) >= min(SEEN, len(denominator))
        above, below = both[:, often], denominator[:, often]

        def statistic(weights: ndarray) -> ndarray:
            means = []
            for some in np.split(weights, range(CHUNK, len(weights), CHUNK)):
                share = _divided(some @ above, some @ below)
                known = np.isfinite(share)
                means.append(_divided(np.where(known, share, 0).sum(1), known.sum(1)))
            return np.concatenate(means)

        return statistic

    return {
        "P(j|i)": score(source),
        "P(i|j)": score(target),
        "Jaccard": score(source + target - both),
    }


def _divided(above: ndarray, below: ndarray) -> ndarray:
    """NaN where there is nothing to divide by."""
    return np.divide(above, below, out=np.full(np.shape(above), np.nan), where=below > 0)

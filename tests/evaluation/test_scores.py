"""Figures and intervals against the tokens themselves, drawn example by example."""

import numpy as np
import pytest

from saematch.evaluation.scores import (
    SEEN,
    Moments,
    Resamples,
    explained_variance,
    matching_scores,
    ratio,
)

RNG = np.random.default_rng(5)
LENGTHS = RNG.integers(2, 9, 7)
X = [RNG.normal(3, 2, (n, 4)) for n in LENGTHS]
X_HAT = [x + RNG.normal(0.5, 1, x.shape) for x in X]


def moments(values) -> Moments:
    sums = [np.stack([(v**power).sum(0) for v in values]) for power in (1, 2)]
    return Moments(np.array([len(v) for v in values], float), *sums)


def draws(resamples: int, seed: int):
    """The same draws as `Resamples`, as lists of examples."""
    return np.random.default_rng(seed).integers(len(X), size=(resamples, len(X)))


def three(some) -> dict[str, float]:
    """The three definitions on all tokens of some examples."""
    x = np.concatenate([X[i] for i in some])
    error = np.concatenate([X_HAT[i] for i in some]) - x
    off = (x - x.mean(0)) ** 2
    return {
        "explained variance": 1 - (error**2).sum() / off.sum(),
        "explained variance per dimension": np.mean(1 - (error**2).sum(0) / off.sum(0)),
        "explained variance, errors centred": 1 - error.var(0).sum() / x.var(0).sum(),
    }


def test_explained_variance_and_its_intervals_are_those_of_a_plain_loop():
    found = explained_variance(moments(X), moments([h - x for h, x in zip(X_HAT, X, strict=True)]))
    resamples = Resamples(len(X), 300, seed=2)
    whole = three(range(len(X)))
    looped = [three(some) for some in draws(300, 2)]
    assert set(found) == set(whole)
    for name, statistic in found.items():
        interval = resamples.interval(statistic)
        assert interval.value == pytest.approx(whole[name])
        expected = np.quantile([one[name] for one in looped], [0.025, 0.975])
        np.testing.assert_allclose([interval.low, interval.high], expected)
    assert len({round(v, 3) for v in whole.values()}) == 3


def test_a_constant_error_is_forgiven_by_one_definition_only():
    found = explained_variance(moments(X), moments([np.full_like(x, 5.0) for x in X]))
    ones = np.ones((1, len(X)))
    assert found["explained variance, errors centred"](ones)[0] == pytest.approx(1)
    assert found["explained variance"](ones)[0] < 0


def test_a_constant_dimension_is_left_out_of_the_mean_over_dimensions():
    flat = [np.concatenate([x, np.full((len(x), 1), 7.3)], 1) for x in X]
    error = [np.full_like(x, 0.1) for x in flat]
    got = explained_variance(moments(flat), moments(error))["explained variance per dimension"]
    every = explained_variance(moments(X), moments([e[:, :4] for e in error]))
    ones = np.ones((1, len(X)))
    assert got(ones)[0] == pytest.approx(every["explained variance per dimension"](ones)[0])


def test_a_ratio_counts_tokens_not_examples():
    total, count = RNG.normal(size=7), LENGTHS.astype(float)
    interval = Resamples(7, 400, seed=1).interval(ratio(total, count))
    assert interval.value == pytest.approx(total.sum() / count.sum())
    looped = [total[some].sum() / count[some].sum() for some in draws(400, 1)]
    np.testing.assert_allclose([interval.low, interval.high], np.quantile(looped, [0.025, 0.975]))


def test_matching_scores_are_those_of_a_plain_loop():
    i = [RNG.random((n, 3)) < [0.4, 0.1, 0] for n in LENGTHS]
    j = [
        (RNG.random((n, 3)) < 0.3) | (one & (RNG.random((n, 3)) < 0.5))
        for n, one in zip(LENGTHS, i, strict=True)
    ]
    both = [one & other for one, other in zip(i, j, strict=True)]
    found = matching_scores(
        *(np.stack([v.sum(0) for v in some]).astype(float) for some in (i, j, both))
    )

    def loop(some) -> list[float]:
        one, other = (np.concatenate([which[e] for e in some]) for which in (i, j))
        scores = []
        for below, each in ((one, i), (other, j), (one | other, either)):
            often = [sum(e[:, k].any() for e in each) >= SEEN for k in range(3)]
            shares = [
                (one & other)[:, k].sum() / below[:, k].sum()
                for k in range(3)
                if often[k] and below[:, k].any()
            ]
            scores.append(np.mean(shares))
        return scores

    either = [one | other for one, other in zip(i, j, strict=True)]
    assert 0 < sum(one[:, 1].any() for one in i) < SEEN  # seen, but too seldom
    whole, looped = loop(range(7)), np.array([loop(some) for some in draws(200, 0)])
    for place, name in enumerate(("P(j|i)", "P(i|j)", "Jaccard")):
        interval = Resamples(7, 200, seed=0).interval(found[name])
        assert interval.value == pytest.approx(whole[place])
        expected = np.quantile(looped[:, place], [0.025, 0.975])
        np.testing.assert_allclose([interval.low, interval.high], expected)
    assert whole[0] != pytest.approx(whole[1])


def test_one_example_has_no_interval():
    interval = Resamples(1, 100).interval(ratio(np.array([3.0]), np.array([2.0])))
    assert interval.value == 1.5
    assert np.isnan(interval.low)
    assert np.isnan(interval.high)

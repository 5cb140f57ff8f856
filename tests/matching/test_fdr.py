"""Benjamini and Hochberg, and intervals of shares."""

import numpy as np
import pytest
from scipy.stats import binomtest, false_discovery_control

from saematch.matching.fdr import beyond, cut, interval, local_rate


def test_the_cut_is_benjamini_and_hochbergs():
    p = np.array([0.001, 0.008, 0.039, 0.041, 0.042, 0.06, 0.074, 0.205, 0.212, 0.216])
    # by hand: 5 x 0.1 / 10 = 0.05 >= 0.042, 6 x 0.01 = 0.06 >= 0.06, 0.07 < 0.074
    assert cut(p, 0.1) == pytest.approx(0.06)
    rng = np.random.default_rng(0)
    for _ in range(20):
        p = np.where(rng.random(200) < 0.3, rng.random(200) ** 8, rng.random(200))
        found = beyond(p, cut(p, 0.05))
        assert found.tolist() == (false_discovery_control(p) <= 0.05).tolist()


def test_a_feature_that_was_left_alone_is_a_test_that_failed():
    p = np.array([0.004, np.nan, 0.009, np.nan])
    assert cut(p, 0.02) == 0.01
    assert beyond(p, cut(p, 0.02)).tolist() == [True, False, True, False]
    assert cut(p, 0.01) == 0
    assert cut(np.full(3, np.nan), 0.01) == 0
    assert cut(np.array([]), 0.01) == 0
    assert not beyond(np.array([0.0, 0.5]), 0.0).any()


def test_the_interval_is_wilsons():
    hits, n = np.array([24, 0, 5, 1]), np.array([80, 10, 5, 1000])
    low, high = interval(hits, n)
    for place, (k, of) in enumerate(zip(hits.tolist(), n.tolist(), strict=True)):
        known = binomtest(k, of).proportion_ci(method="wilson")
        assert (low[place], high[place]) == pytest.approx((known.low, known.high), abs=1e-12)


def test_an_interval_has_a_width_where_none_or_all_are_hits():
    low, high = interval(np.array([0, 5, 0]), np.array([10, 5, 0]))
    assert low[:2] == pytest.approx([0, 0.5655], abs=1e-4)
    assert high[:2] == pytest.approx([0.2775, 1], abs=1e-4)
    assert np.isnan([low[2], high[2]]).all()


def test_local_rates_on_paper():
    """Steps times 4: 0.04, 0.04, 1.92, 1.6; the last two are out of order and share their mean."""
    found = local_rate(np.array([0.5, 0.01, 0.9, 0.02]))
    assert found == pytest.approx([1.0, 0.04, 1.0, 0.04])
    # 0.02 and 0.2 - 0.02 are in order: of two tests, one at 0.01 is 2 * 0.01
    assert local_rate(np.array([0.2, 0.01])) == pytest.approx([0.38, 0.02])
    assert local_rate(np.array([np.nan, 0.01])) == pytest.approx([1.0, 0.02])
    assert len(local_rate(np.array([]))) == 0


def test_local_rates_bound_what_is_false():
    """Of 900 p-values by chance and 100 real ones: within each band of what is said."""
    rng = np.random.default_rng(0)
    said, false = [], []
    for _ in range(40):
        p = np.concatenate([rng.random(900), rng.beta(0.1, 60, 100)])
        said.append(local_rate(p))
        false.append(np.arange(1000) < 900)
    said, false = np.concatenate(said), np.concatenate(false)
    for low, high in ((0, 0.01), (0.01, 0.05), (0.05, 0.2), (0.2, 0.5)):
        band = (low <= said) & (said < high)
        assert band.sum() > 50
        assert false[band].mean() <= said[band].mean() * 1.5 + 0.002
    assert false[said < 0.01].mean() < 0.01


def test_local_rates_are_no_less_than_adjusted_p_values():
    rng = np.random.default_rng(1)
    p = np.sort(np.concatenate([rng.random(50), rng.random(20) ** 6]))
    adjusted = np.minimum.accumulate((p * len(p) / np.arange(1, len(p) + 1))[::-1])[::-1]
    assert (local_rate(p) >= np.minimum(adjusted, 1) - 1e-12).all()

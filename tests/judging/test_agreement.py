"""Kappa, its intervals, shares, and what foretells a judge: against counts by hand."""

import numpy as np
import polars as pl
import pytest

from saematch.judging.agreement import (
    between_judges,
    between_orders,
    kappa,
    kappa_interval,
    mean_interval,
    shares,
)
from saematch.judging.calibration import auc, coverage_curve, foretold, reliability

NUMBERS = np.random.default_rng(0)


def test_kappa_by_hand():
    # of ten, 4 + 3 are equal; margins 5, 5 and 6, 4: expected 0.5 0.6 + 0.5 0.4 = 0.5
    one = np.array([1] * 5 + [3] * 5)
    other = np.array([1, 1, 1, 1, 3, 1, 1, 3, 3, 3])
    assert kappa(one, other, weighted=False) == pytest.approx((0.7 - 0.5) / 0.5)
    # where only the ends occur all disagreements weigh alike
    assert kappa(one, other) == pytest.approx(0.4)


def test_a_near_miss_counts_less_where_grades_are_weighted():
    one = np.array([1, 2, 3, 1, 2, 3])
    near, far = np.array([2, 2, 3, 1, 2, 3]), np.array([3, 2, 3, 1, 2, 3])
    assert kappa(one, near, weighted=False) == pytest.approx(
        kappa(one, far, weighted=False), abs=0.02
    )
    assert kappa(one, near) > kappa(one, far) + 0.2
    assert kappa(one, one) == 1


def test_kappa_of_nothing_and_of_one_grade():
    assert np.isnan(kappa(np.array([], int), np.array([], int)))
    assert np.isnan(kappa(np.array([3, 3]), np.array([3, 3])))


def test_judges_at_random_agree_by_chance():
    one, other = NUMBERS.integers(1, 4, (2, 5000))
    low, high = kappa_interval(one, other, np.arange(5000))
    assert low < kappa(one, other) < high
    assert low < 0 < high
    assert high - low < 0.1


def test_intervals_are_over_paths():
    path = np.repeat(np.arange(50), 20)
    level = NUMBERS.random(50).round()[path]  # all cases of a path are alike
    low, high = mean_interval(level, path)
    wide = high - low
    expected = 2 * 1.96 * np.sqrt(level.mean() * (1 - level.mean()) / 50)
    assert wide == pytest.approx(expected, rel=0.15)
    low, high = mean_interval(level, np.arange(1000))
    assert high - low < wide / 3


@pytest.fixture
def verdicts() -> pl.DataFrame:
    grades = {"x": [3, 3, 1, 2, None], "y": [3, 1, 1, None, 3]}
    return pl.DataFrame(
        [
            {
                "case": case,
                "path": case // 2,
                "kind": "match",
                "judge": judge,
                "grade": grade,
                "probability": None if grade is None else (grade - 1) / 2,
                "votes": [] if grade is None else [grade, 3],
                "p_value": 0.1 * case,
                "score": float(case),
                "score_quantile": case / 5,
                "margin": None,
                "mutual": case < 2,
                "decoder_cosine": 1 - case / 5,
            }
            for judge, some in grades.items()
            for case, grade in enumerate(some)
        ],
        schema_overrides={"margin": pl.Float64},
    )


def test_judges_are_compared_where_both_judged(verdicts):
    (row,) = between_judges(verdicts).iter_rows(named=True)
    assert (row["judge"], row["other"], row["cases"]) == ("x", "y", 3)
    assert row["agreement"] == pytest.approx(2 / 3)
    orders = between_orders(verdicts)
    assert orders.filter(judge="x")["agreement"].item() == pytest.approx(2 / 4)


def test_shares_count_what_was_not_judged(verdicts):
    row = shares(verdicts, ["judge"]).filter(judge="x").row(0, named=True)
    assert (row["cases"], row["ungraded"]) == (4, 1)
    assert (row["same"], row["maybe"], row["different"]) == (0.5, 0.25, 0.25)
    assert row["probability"] == pytest.approx(2.5 / 4)
    assert row["same_low"] <= 0.5 <= row["same_high"]


def test_auc_by_counting_pairs():
    value, positive = NUMBERS.integers(0, 5, 60).astype(float), NUMBERS.random(60) < 0.4
    above = [(x > y) + (x == y) / 2 for x in value[positive] for y in value[~positive]]
    assert auc(value, positive) == pytest.approx(np.mean(above))
    assert np.isnan(auc(value, np.ones(60, bool)))


def test_coverage_takes_the_best_first_and_equal_ones_together():
    curve = coverage_curve(np.array([1.0, 3.0, 2.0, 2.0]), np.array([0.0, 1.0, 1.0, 0.0]))
    np.testing.assert_allclose(curve, [1, 0.75, 2 / 3, 0.5])


def test_what_foretells_a_judge(verdicts):
    found = foretold(verdicts)
    row = found.filter(judge="x", by="p_value").row(0, named=True)
    assert row["auc"] == 1  # the two that are SAME have the smallest
    assert row["best"] >= row["coverage"] >= row["mean"]
    assert found.filter(judge="x", by="decoder_cosine")["auc"].item() == 1
    assert not len(found.filter(by="margin"))
    bins = reliability(verdicts, "p_value", bins=2).filter(judge="x")
    assert bins["same"].to_list() == [1.0, 0.0]

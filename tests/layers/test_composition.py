"""Composed and direct matchings, by hand, with features that have no partner."""

from itertools import pairwise

import numpy as np
import polars as pl
import pytest

from saematch.layers.composition import composition, independent
from saematch.matching.fdr import interval
from support import by_hand

STRONG, WEAK = 1e-9, 0.5


def four():
    """A -> b -> c -> d of sizes 4, 3, 4, 2; a feature that a chain loses, one that it gains."""
    return by_hand.layers(
        {"a": 4, "b": 3, "c": 4, "d": 2},
        {
            ("a", "b"): by_hand.pair(4, 3, {0: (2, STRONG), 1: (0, STRONG), 2: (1, WEAK)}),
            ("b", "c"): by_hand.pair(3, 4, {0: (3, STRONG), 1: (0, STRONG), 2: (1, STRONG)}),
            ("c", "d"): by_hand.pair(4, 2, {1: (0, STRONG)}),
            # 0: composed 1, direct 1; 1: composed 3, direct 2; 2: lost by the chain; 3: nothing
            ("a", "c"): by_hand.pair(4, 4, {0: (1, STRONG), 1: (2, STRONG), 2: (0, STRONG)}),
            # 0: composed 0, directly nothing
            ("a", "d"): by_hand.pair(4, 2, {2: (1, STRONG)}),
        },
    )


def test_agreement_by_hand():
    frame = composition(four())
    matched = frame.filter(links="matched")
    row = matched.filter(a="a", b="c").row(0, named=True)
    assert (row["steps"], row["features"]) == (2, 4)
    assert (row["composed"], row["direct"], row["both"], row["equal"]) == (2, 3, 2, 1)
    assert row["agreement"] == 0.5
    assert (row["kept"], row["only_direct"], row["only_composed"]) == (0.25, 0.25, 0)
    assert (row["low"], row["high"]) == pytest.approx((0.0945, 0.9055), abs=1e-4)  # 1 of 2
    row = matched.filter(a="a", b="d").row(0, named=True)
    assert (row["composed"], row["direct"], row["both"], row["equal"]) == (1, 1, 0, 0)
    assert row["agreement"] is row["low"] is row["high"] is None
    assert (row["only_direct"], row["only_composed"]) == (0.25, 0.25)
    # b -> d was not matched directly
    assert matched.filter(a="b").is_empty()


def test_assigned_targets_count_whether_or_not_beyond_chance():
    row = composition(four()).filter(links="assigned", a="a", b="c").row(0, named=True)
    assert (row["composed"], row["direct"], row["both"], row["equal"]) == (3, 3, 3, 2)


def test_pairs_of_one_distance_are_pooled_over_features():
    names = ["a", "b", "c", "d"]
    same = {i: (i, STRONG) for i in range(6)}
    turned = {i: ((i + 1) % 6, STRONG) for i in range(6)}
    pairs = {(x, y): by_hand.pair(6, 6, same) for x, y in pairwise(names)}
    pairs |= {("a", "c"): by_hand.pair(6, 6, same), ("b", "d"): by_hand.pair(6, 6, turned)}
    frame = composition(by_hand.layers(dict.fromkeys(names, 6), pairs))
    pooled = frame.filter(pl.col("a").is_null(), links="matched").row(0, named=True)
    assert (pooled["steps"], pooled["features"], pooled["equal"]) == (2, 12, 6)
    assert pooled["agreement"] == 0.5
    assert (pooled["low"], pooled["high"]) == pytest.approx((0.2538, 0.7462), abs=1e-4)  # of 12


def test_chains_that_overlap_are_no_independent_draws():
    # every chain is right over its whole length or wrong: three pairs tell no more than one
    names, n = list("abcde"), 100
    same = {i: (i, STRONG) for i in range(n)}
    swapped = {**same, **{i: ((i + 1) % 20, STRONG) for i in range(20)}}
    pairs = {(x, y): by_hand.pair(n, n, same) for x, y in pairwise(names)}
    pairs |= {(x, y): by_hand.pair(n, n, swapped) for x, y in zip(names, names[2:], strict=False)}
    frame = composition(by_hand.layers(dict.fromkeys(names, n), pairs)).filter(links="matched")
    one, pooled = frame.row(0, named=True), frame.row(-1, named=True)
    assert (pooled["a"], pooled["both"], pooled["agreement"]) == (None, 300, 0.8)
    assert (pooled["low"], pooled["high"]) == pytest.approx((one["low"], one["high"]))


def test_intervals_of_dependent_draws_cover_the_share():
    rng = np.random.default_rng(0)
    covered = 0
    for _ in range(400):
        n = rng.integers(0, 6, 150)
        hits = rng.binomial(n, rng.beta(2, 1, 150))  # a share of its own for each cluster
        size = independent(hits, n)
        low, high = interval(np.array([hits.sum() / n.sum() * size]), np.array([size]))
        covered += low[0] <= 2 / 3 <= high[0]
    assert 0.92 <= covered / 400 <= 0.98


def test_independent_draws_by_hand():
    one = np.ones(8)
    assert independent(np.array([1, 1, 0, 0, 0, 0, 0, 1]), one) == pytest.approx(8)
    assert independent(3 * np.array([1, 1, 0, 0, 0, 0, 0, 1]), 3 * one) == pytest.approx(8)
    assert independent(3 * one, 3 * one) == 8
    assert independent(0 * one, 3 * one) == 8
    assert independent(one, 2 * one) == 16  # never more than there are


def test_a_missing_neighbour_ends_the_chain():
    made = four()
    pairs = {key: value for key, value in made.pairs.items() if key != ("b", "c")}
    frame = composition(by_hand.layers(dict(made.features), pairs))
    assert frame.is_empty()


def test_excluded_features_are_not_counted():
    made = four()
    made.excluded["a"][3] = True
    row = composition(made).filter(links="matched", a="a", b="c").row(0, named=True)
    assert row["features"] == 3
    assert row["kept"] == pytest.approx(1 / 3)

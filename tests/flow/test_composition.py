"""Composed and direct matchings, by hand, with features that have no partner."""

from itertools import pairwise

import by_hand
import numpy as np
import pytest

from saematch.flow.composition import compose, composition

STRONG, WEAK = 1e-9, 0.5


def test_composition_of_partial_maps_is_not_commutative_and_keeps_none():
    first, second = np.array([1, 2, 0, -1]), np.array([2, -1, 0])
    assert compose([first, second]).tolist() == [-1, 0, 2, -1]
    assert compose([second, first]).tolist() == [0, -1, 1]
    assert compose([first, np.array([], int)[:0]]).tolist() == [-1] * 4


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
    assert (row["low"], row["high"]) == (0, 1)
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
    pooled = frame.filter("a".__class__ and frame["a"].is_null(), links="matched").row(
        0, named=True
    )
    assert (pooled["steps"], pooled["features"], pooled["equal"]) == (2, 12, 6)
    assert pooled["agreement"] == 0.5
    assert (pooled["low"], pooled["high"]) == pytest.approx((0.25, 0.75))  # of 12 features


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

"""Splits and merges by hand."""

import numpy as np

from saematch.layers.splits import splits
from support import by_hand

STRONG, GOOD, WEAK = 1e-12, 1e-8, 0.5


def test_groups_are_those_beyond_chance():
    made = by_hand.layers(
        {"a": 5, "b": 6},
        {
            ("a", "b"): by_hand.pair(
                5,
                6,
                {
                    0: [(0, STRONG), (1, GOOD), (2, WEAK)],  # splits into 0 and 1; 2 is chance
                    1: (3, STRONG),
                    2: (3, GOOD),  # merges with 1
                    3: (3, WEAK),
                    4: (5, STRONG),
                },
            )
        },
    )
    frame = splits(made)
    assert frame.rows() == [
        ("split", "a", "b", 0, 0, 2, 12.0, STRONG),
        ("split", "a", "b", 0, 1, 2, 8.0, GOOD),
        ("merge", "a", "b", 3, 1, 2, 12.0, STRONG),
        ("merge", "a", "b", 3, 2, 2, 8.0, GOOD),
    ]


def test_without_p_values_nothing_is_a_group():
    pair = by_hand.pair(2, 1, {0: (0, STRONG), 1: (0, STRONG)})
    pair.candidates.p_value[:] = pair.sources.p_value[:] = np.nan
    assert splits(by_hand.layers({"a": 2, "b": 1}, {("a", "b"): pair})).is_empty()


def test_features_that_take_no_part_are_no_tests():
    pair = by_hand.pair(30, 30, {0: [(0, 0.008), (1, 0.008)], 1: (2, 0.008), 2: (2, 0.008)})
    made = by_hand.layers({"a": 30, "b": 30}, {("a", "b"): pair})
    assert splits(made).is_empty()
    made.excluded["a"][3:] = made.excluded["b"][3:] = True
    assert splits(made)["kind"].to_list() == ["split"] * 2 + ["merge"] * 2

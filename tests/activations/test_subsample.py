"""Which tokens stand for a whole store: in proportion, in stretches, and at all positions."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from saematch.activations.subsample import STRETCH, spread
from saematch.errors import SaematchError


@st.composite
def asked(draw):
    total = draw(st.integers(0, 5000))
    return total, draw(st.integers(0, total)), draw(st.integers(1, 100))


@given(asked())
def test_as_many_as_asked_ascending_within_the_store(case):
    total, wanted, stretch = case
    found = spread(total, wanted, stretch)
    assert len(found) == wanted
    assert (np.diff(found) > 0).all()
    assert wanted == 0 or (found[0] >= 0 and found[-1] < total)


@given(asked(), st.data())
def test_every_range_of_text_has_its_share(case, data):
    total, wanted, stretch = case
    first = data.draw(st.integers(0, total))
    last = data.draw(st.integers(first, total))
    found = spread(total, wanted, stretch)
    taken = ((found >= first) & (found < last)).sum()
    # at either end a stretch may lie on the one side or the other
    assert abs(taken - wanted * (last - first) / max(1, total)) <= 2 * (stretch + 1)


def test_text_sets_of_any_size_are_there_in_proportion():
    sets = np.repeat([0, 1, 2], [30_000, 1_000, 60_000])
    counts = np.bincount(sets[spread(len(sets), 9_100)])
    np.testing.assert_allclose(counts, [3_000, 100, 6_000], atol=STRETCH)


def test_tokens_are_taken_in_stretches():
    found = spread(100_000, 1_000)
    runs = np.split(found, np.flatnonzero(np.diff(found) > 1) + 1)
    assert len(runs) == 16  # as few as hold a thousand
    assert {len(run) for run in runs} == {62, 63}


def test_examples_of_one_length_are_met_at_all_positions():
    # parts of four examples each: a fixed place in a part would be a fixed position
    positions = spread(200 * 256, 50 * STRETCH) % 256
    counts, _ = np.histogram(positions, bins=4, range=(0, 256))
    assert counts.min() > 0.5 * counts.mean()


def test_all_of_it_is_all_of_it():
    np.testing.assert_array_equal(spread(1000, 1000), np.arange(1000))
    with pytest.raises(SaematchError, match="11 tokens of 10: give 0 to 10"):
        spread(10, 11)

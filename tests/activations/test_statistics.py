"""Statistics of two SAEs against their definitions, whatever the block or the cut in parts."""

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from saematch.activations import FeatureActivations
from saematch.activations.pair_sums import PairSums
from saematch.activations.partners import block_sums, partners
from saematch.activations.sharded import activity_levels
from saematch.activations.statistics import STATISTICS, code_of, value_of
from saematch.errors import SaematchError
from support.sparse_case import activations, by_hand, dense_of


@dataclass
class Parts:
    """Activations cut into parts, as a store hands them out."""

    all: list[FeatureActivations]

    @property
    def d_sae(self) -> int:
        return self.all[0].d_sae

    def shards(self):
        yield from self.all


def cut(whole: FeatureActivations, at: list[int]) -> Parts:
    ends = [0, *at, whole.n_tokens]
    return Parts([whole.take(slice(*ends[i : i + 2])) for i in range(len(ends) - 1)])


def statistic_of(sums: PairSums, statistic: str) -> np.ndarray:
    """One statistic of all pairs of a block, `(rows, d_sae of B)`."""
    a, b = sums.a, sums.b
    sides = (np.array([m.active, m.total, m.square], float) for m in (a, b))
    rows, columns = (side.T for side in sides)
    return np.array(
        [
            [
                value_of(
                    code_of(statistic),
                    float(sums.tokens),
                    sums.product[i, j],
                    float(sums.together[i, j]),
                    *(*row, *column, 0.0, 0.0),
                )
                for j, column in enumerate(columns)
            ]
            for i, row in enumerate(rows)
        ]
    )


@pytest.mark.parametrize("signs", [False, True])
@pytest.mark.parametrize("share", [0.0, 0.2])
@pytest.mark.parametrize("statistic", STATISTICS)
def test_equals_the_definition(statistic, share, signs):
    x, y = dense_of(150, 9, 0, signs=signs), dense_of(150, 7, 1, signs=signs)
    y[:, 2] = x[:, 4]  # a perfect pair
    y[:, 3] = 1.5  # always on: constant
    (sums,) = block_sums(activations(x), activations(y), activity=share)
    found = statistic_of(sums, statistic)
    wanted = [[by_hand(statistic, i, j, share) for j in y.T] for i in x.T]
    np.testing.assert_allclose(found, wanted, rtol=1e-9, atol=1e-12)
    assert np.isnan(found).any() == (statistic != "mutual_information")


def test_a_case_worked_on_paper():
    # on 8 tokens i is on at 4, j at 2, both at 1
    x = np.array([[1, 1, 2, 2, 0, 0, 0, 0]], np.float32).T
    y = np.array([[0, 0, 0, 3, 3, 0, 0, 0]], np.float32).T
    (sums,) = block_sums(activations(x), activations(y))
    found = {name: statistic_of(sums, name)[0, 0] for name in STATISTICS}
    assert found == pytest.approx(
        {
            "sufficiency": 1 / 4,
            "necessity": 1 / 2,
            "jaccard": 1 / 5,
            "cosine": 6 / np.sqrt(10 * 18),
            "pearson": (8 * 6 - 6 * 6) / np.sqrt((80 - 36) * (144 - 36)),
            "mutual_information": 0.0,  # P(both) = P(i) P(j)
        },
        abs=1e-12,
    )


def test_mutual_information_is_in_nats():
    x = np.tile([[0.0], [1.0]], (32, 1)).astype(np.float32)
    (sums,) = block_sums(activations(x), activations(x))
    assert statistic_of(sums, "mutual_information")[0, 0] == pytest.approx(np.log(2))


def test_relative_activity_is_strict():
    x = np.array([[1, 0.2, 0.21, 0]], np.float32).T * 5
    assert activity_levels(activations(x), 0.2) == pytest.approx([1.0])
    (sums,) = block_sums(activations(x), activations(x), activity=0.2)
    assert sums.a.active[0] == 2


@settings(max_examples=25)
@given(st.integers(0, 10_000), st.integers(1, 99), st.sampled_from([0.0, 0.2]))
def test_two_runs_merged_are_one_over_both(seed, at, share):
    x, y = (activations(dense_of(100, 6, seed + i, signs=True)) for i in range(2))
    levels = activity_levels(x, share), activity_levels(y, share)
    rows = slice(1, 5)
    one, two, both = (PairSums(rows, *levels) for _ in range(3))
    both.add(x, y)
    one.add(x.take(slice(0, at)), y.take(slice(0, at)))
    two.add(x.take(slice(at, None)), y.take(slice(at, None)))
    merged = one.merged(two)
    assert (merged.tokens, merged.rows) == (100, rows)
    np.testing.assert_array_equal(merged.together, both.together)
    np.testing.assert_array_equal(merged.a.active, both.a.active)
    for name in STATISTICS:
        np.testing.assert_allclose(
            statistic_of(merged, name), statistic_of(both, name), rtol=1e-9, atol=1e-12
        )


def test_sums_of_other_activity_levels_do_not_merge():
    x = dense_of(100, 6, 0)
    one, two = activations(x[:50]), activations(x[50:])
    sums = [PairSums(slice(None), *[activity_levels(part, 0.2)] * 2) for part in (one, two)]
    with pytest.raises(SaematchError, match="maxima over all tokens"):
        sums[0].merged(sums[1])


@pytest.mark.parametrize("share", [0.0, 0.2])
def test_neither_blocks_nor_parts_change_the_partners(share):
    x, y = (activations(dense_of(120, width, width)) for width in (11, 8))
    once = partners(x, y, k=3, activity=share)
    # a block of 2 features of A, and three parts of unequal size
    pieces = partners(
        cut(x, [7, 60]), cut(y, [7, 60]), k=3, activity=share, memory=2 * 12 * 8, report=print
    )
    assert pieces.tokens == once.tokens == 120
    np.testing.assert_array_equal(pieces.a.active, once.a.active)
    for one, other in (
        (pieces.targets_frame(), once.targets_frame()),
        (pieces.sources_frame(), once.sources_frame()),
    ):
        assert_frame_equal(one, other, rel_tol=1e-12)


@pytest.mark.parametrize("statistic", STATISTICS)
def test_partners_are_the_best_of_all_pairs(statistic):
    x, y = dense_of(150, 30, 3), dense_of(150, 25, 4)
    x[:, 3], y[:, 7] = x[:, 8], x[:, 8] == 0  # one pair alike, one that avoids each other
    found = partners(activations(x), activations(y), statistics=[statistic], k=4)
    values = np.array([[by_hand(statistic, i, j) for j in y.T] for i in x.T])
    values[-1] = values[:, -1] = np.nan  # never active
    both = (x > 0).T.astype(int) @ (y > 0)
    for frame, other, table, counts in (
        (found.targets_frame(), "target", values, both),
        (found.sources_frame(), "source", values.T, both.T),
    ):
        wanted = []
        for feature, row in enumerate(table):
            order = sorted((-v, j) for j, v in enumerate(row) if v > 1e-12)[:4]
            wanted += [(feature, rank, j, -v) for rank, (v, j) in enumerate(order, 1)]
        rows = frame.select("feature", "rank", other, "value").rows()
        assert [row[:3] for row in rows] == [row[:3] for row in wanted]
        assert [row[3] for row in rows] == pytest.approx([row[3] for row in wanted])
        assert set(frame["statistic"]) == {statistic}
        places = frame["feature"].to_numpy(), frame[other].to_numpy()
        np.testing.assert_array_equal(frame["together"].to_numpy(), counts[places])
    best = found.best(statistic)
    assert np.isnan(best[-1])
    assert best[0] == pytest.approx(np.nanmax(values[0]))
    if statistic == "mutual_information":
        assert found.ranked[statistic][0].index[8, 0] == 7  # it knows no sign


def test_other_tokens_are_refused():
    x, y = dense_of(100, 6, 0), dense_of(90, 6, 1)
    with pytest.raises(SaematchError, match="same tokens"):
        partners(activations(x), activations(y))
    with pytest.raises(SaematchError, match="same parts"):
        partners(activations(x), cut(activations(x), [50]))
    with pytest.raises(SaematchError, match="no statistic 'spearman'; there are pearson"):
        partners(activations(x), activations(x), statistics=["spearman"])
    with pytest.raises(SaematchError, match="below 1"):
        partners(activations(x), activations(x), activity=1.0)

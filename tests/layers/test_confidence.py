"""What is said of a whole way, held against planted truths: never more than is so."""

from functools import partial

import numpy as np
import pytest

from saematch.layers import Layers, trace
from saematch.layers.tracing import _local_fdr
from saematch.matching.fdr import local_rate
from support import by_hand
from support.planted import matched, plant, turned, ways

small = partial(plant, d=48, concepts=160, strangers=30)


@pytest.mark.parametrize("apart", [0, 5])
@pytest.mark.parametrize(("drift", "noise"), [(0.35, 0.2), (0.6, 0.35), (0.9, 0.5)])
def test_what_is_said_is_no_more_than_is_so(tmp_path, drift, noise, apart):
    """In every band of what is said no more ways are false than that, but for luck."""
    found = []
    for seed in range(2):
        truth = small(seed=seed, drift=drift, noise=noise)
        truth = turned(truth, apart) if apart else truth
        found += ways(truth, Layers.of(matched(truth, tmp_path / str(seed), reach=1)))
    said, right = (np.array(column) for column in zip(*found, strict=True))
    assert len(said) > 500
    assert right.mean() > 0.97
    for low, high in ((0, 1e-3), (1e-3, 1e-2), (1e-2, 0.05), (0.05, 0.2), (0.2, 1.01)):
        band = (low <= said) & (said < high)
        most = said[band].sum() + 3 * np.sqrt(said[band].sum()) + 1
        assert (~right[band]).sum() <= most, (low, high)


def test_false_ways_are_known_as_such(tmp_path):
    """Where real matches are plain, those by chance are doubted."""
    found = []
    for seed in range(3):
        truth = small(seed=seed, drift=0.6, noise=0.35)
        found += ways(truth, Layers.of(matched(truth, tmp_path / str(seed), reach=1)))
    said, right = (np.array(column) for column in zip(*found, strict=True))
    assert (~right).sum() >= 2
    assert np.median(said[~right]) > 0.2
    assert np.quantile(said[right], 0.95) < 0.01


def test_the_confidence_of_a_way_is_one_minus_the_sum_of_its_rates(tmp_path):
    truth = small(seed=1, drift=0.9, noise=0.5)
    run = matched(truth, tmp_path / "run", reach=1)
    layers = Layers.of(run)
    longest = max((trace(run, "0", i) for i in range(40)), key=lambda way: len(way.forward))
    assert len(longest.forward) >= 3
    doubt, here = 0.0, longest.feature
    for (a, b), step in zip(layers.adjacent(), longest.forward, strict=False):
        p_values = layers.pairs[a, b].p_value
        assert step.link.local_fdr == pytest.approx(local_rate(p_values)[here])
        doubt, here = doubt + local_rate(p_values)[here], step.link.feature
    assert longest.confidence == pytest.approx(1 - doubt)
    assert 0.5 < 1 - doubt < 1
    # from its end the same way says the same
    back = trace(run, longest.forward[-1].link.site, here)
    assert back.confidence == pytest.approx(longest.confidence)


def test_over_a_layer_the_tests_are_those_of_features_missed_there():
    """3 of 100 features have no match in b; one of their three p-values to c is 0.01."""
    many = {i: (i, 1e-12) for i in range(97)}
    near = by_hand.pair(100, 100, {**many, 97: (97, 0.5), 98: (98, 0.5), 99: (99, 0.5)})
    far = by_hand.pair(100, 100, {**many, 97: (97, 0.01), 98: (98, 0.5), 99: (99, 0.6)})
    made = by_hand.layers(dict.fromkeys("abc", 100), {("a", "b"): near, ("a", "c"): far})
    assert _local_fdr(made, "a", "c", 97, ["b"]) == pytest.approx(3 * 0.01)
    # among all hundred, of which all the others are surer, one at 0.01 is to be expected
    assert _local_fdr(made, "a", "c", 97, []) == pytest.approx(100 * (0.01 - 1e-12))


def test_without_a_null_there_is_none(tmp_path):
    truth = small(layers=2)
    run = matched(truth, tmp_path / "run", reach=1, null="none")
    way = next(w for i in range(99) if (w := trace(run, "0", i)).forward)
    assert way.forward[0].link.local_fdr is None
    assert way.confidence is None

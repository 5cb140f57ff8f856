"""Correlations of chosen pairs, and contexts from halves of a text that share no example."""

import numpy as np
import pytest
import scipy.sparse as sp

from saematch.activations.correlations import correlations
from saematch.activations.describe import STRETCH, contexts_apart
from saematch.activations.table import FeatureActivations
from saematch.errors import SaematchError

EXAMPLES, LENGTH = 16, 25


class Parts:
    """A stream of some parts."""

    def __init__(self, whole: FeatureActivations, cuts: list[int]) -> None:
        self.d_sae, self._whole, self._cuts = whole.d_sae, whole, [0, *cuts, whole.n_tokens]

    def shards(self):
        for first, last in zip(self._cuts, self._cuts[1:], strict=False):
            yield self._whole.take(slice(first, last))


def table(seed: int, width: int) -> FeatureActivations:
    rng = np.random.default_rng(seed)
    shape = (EXAMPLES * LENGTH, width)
    values = (rng.random(shape) < 0.3) * rng.gamma(2.0, 1.0, shape)
    values[:, 0] = 0  # never fires
    example = (np.arange(shape[0]) // LENGTH).astype(np.int32)
    return FeatureActivations(sp.csr_array(values.astype(np.float32)), example)


def test_correlations_are_pearsons_whole_or_in_parts():
    a, b = table(0, 7), table(1, 5)
    i, j = np.array([1, 2, 6, 3, 0, 4]), np.array([1, 4, 2, 3, 2, 0])
    dense = np.corrcoef(a.matrix.toarray()[:, 1:].T, b.matrix.toarray()[:, 1:].T)[:6, 6:]
    expected = [dense[p - 1, q - 1] if p and q else 0.0 for p, q in zip(i, j, strict=True)]
    np.testing.assert_allclose(correlations(a, b, i, j), expected, atol=1e-6)
    cuts = [3 * LENGTH, 10 * LENGTH]
    found = correlations(Parts(a, cuts), Parts(b, cuts), i, j)
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert not len(correlations(a, b, i[:0], j[:0]))
    with pytest.raises(SaematchError, match="same tokens"):
        correlations(a, b.take(slice(100)), i, j)


def test_contexts_of_the_halves_are_the_strongest_of_each(nouns_store):
    halves = contexts_apart(nouns_store, "nouns_1", [4, 9], contexts=3)
    whole = nouns_store.activations("nouns_1")
    stretch = min(STRETCH, nouns_store.next_example // 16)
    for feature, both in zip((4, 9), halves, strict=True):
        values = whole.matrix[:, [feature]].toarray()[:, 0]
        for half, found in enumerate(both):
            mine = values[whole.example // stretch % 2 == half]
            peaks = sorted({*mine[mine > 0]}, reverse=True)
            assert len(found) == 3
            assert found[0].activation == pytest.approx(peaks[0])
            assert [c.activation for c in found] == sorted(
                (c.activation for c in found), reverse=True
            )
    assert contexts_apart(nouns_store, "nouns_1", []) == []


@pytest.fixture(scope="module")
def nouns_store(tmp_path_factory):
    from support.judged_world import make_world

    return make_world(tmp_path_factory.mktemp("nouns")).store

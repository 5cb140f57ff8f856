"""Frequencies and contexts from a store, against a walk over every token."""

import numpy as np
import pytest

from saematch.activations.batch import Batch
from saematch.activations.describe import describe_features
from saematch.activations.store import ActivationStore
from saematch.errors import SaematchError
from saematch.sae.contexts import read_features, top_contexts
from support.saes import make_sae
from support.sparse_case import activations, dense_of

LENGTH, EXAMPLES, WIDTH = 20, 12, 8
WORDS = [f" w{i}" for i in range(40)]


def pieces(ids: list[int]) -> list[str]:
    return [WORDS[i] for i in ids]


def store_of(path, dense, ids) -> ActivationStore:
    sae = make_sae(d_in=8, d_sae=dense.shape[1])
    store = ActivationStore.create(
        path, model="tiny", texts={"from": ["prose"]}, saes={"only": sae}, shard_tokens=50
    )
    for first in range(0, EXAMPLES, 3):
        rows = slice(first * LENGTH, (first + 3) * LENGTH)
        part = activations(dense[rows], LENGTH, first)
        position = np.tile(np.arange(LENGTH, dtype=np.int32), 3)
        store.add(Batch({"only": part}, ids[rows].astype(np.int32), part.example, position))
    store.finish()
    return store


@pytest.fixture(scope="module")
def dense():
    return dense_of(LENGTH * EXAMPLES, WIDTH, 0)


@pytest.fixture(scope="module")
def ids():
    return np.random.default_rng(1).integers(0, len(WORDS), LENGTH * EXAMPLES)


def test_figures_and_contexts_are_those_of_the_tokens(tmp_path, dense, ids):
    store = store_of(tmp_path / "store", dense, ids)
    sources = [f"text {i}" for i in range(EXAMPLES)]
    frame = describe_features(store, "only", pieces, sources=sources, contexts=3)
    assert frame["feature"].to_list() == list(range(WIDTH))
    np.testing.assert_allclose(frame["frequency"], (dense > 0).mean(0), rtol=1e-6)
    np.testing.assert_array_equal(frame["max_activation"], dense.max(0))
    for feature, x in enumerate(dense.T):
        mean = x[x > 0].mean() if x.any() else 0
        assert frame["mean_activation"][feature] == pytest.approx(mean, rel=1e-6)
        peaks = x.reshape(EXAMPLES, LENGTH)
        best = [e for e in np.argsort(-peaks.max(1)) if peaks[e].any()][:3]
        found = top_contexts(frame, feature)
        assert len(found) == len(best)
        for context, e in zip(found, best, strict=True):
            at, row = int(peaks[e].argmax()), ids[e * LENGTH : (e + 1) * LENGTH]
            assert context.activation == peaks[e].max()
            assert context.source == f"text {e}"
            # twelve tokens before and six after, never of another example
            assert context.before == "".join(pieces(row[max(0, at - 12) : at].tolist()))
            assert context.token == WORDS[row[at]]
            assert context.after == "".join(pieces(row[at + 1 : at + 7].tolist()))
    assert frame["contexts"][-1].to_list() == []  # never fires


def test_the_table_can_lie_beside_an_sae(tmp_path, dense, ids):
    store = store_of(tmp_path / "store", dense, ids)
    frame = describe_features(store, "only", pieces)
    frame.write_parquet(tmp_path / "features.parquet")
    again = read_features(tmp_path)
    assert again is not None
    assert again.schema == frame.schema
    assert top_contexts(again, 0, 1)[0].source == "prose"


def test_texts_that_repeat_are_one_context(tmp_path, dense):
    # every example is the same text, and the feature fires at its ninth token
    ids = np.tile(np.arange(LENGTH), EXAMPLES)
    x = np.zeros_like(dense)
    x[9::LENGTH, 0] = np.arange(1, EXAMPLES + 1)
    frame = describe_features(store_of(tmp_path / "store", x, ids), "only", pieces)
    (context,) = top_contexts(frame, 0, 10)
    assert (context.activation, context.token) == (EXAMPLES, " w9")


def test_an_empty_store_has_no_features_to_tell_of(tmp_path):
    sae = make_sae(d_in=8, d_sae=4)
    store = ActivationStore.create(tmp_path / "s", model="tiny", texts={}, saes={"only": sae})
    with pytest.raises(SaematchError, match="no tokens yet"):
        describe_features(store, "only", pieces)

"""What features do on several text sets, against a walk over every token."""

from itertools import pairwise

import numpy as np
import polars as pl
import pytest

from saematch.activations.batch import Batch
from saematch.activations.store import ActivationStore
from saematch.dashboards import TextSets, activity, agreement, windows
from saematch.dashboards.activity import BINS, LEVELS, OF_EACH, TOP
from saematch.dashboards.table import write_dashboards
from saematch.errors import RunError
from support.saes import make_sae
from support.sparse_case import activations, dense_of

LENGTH, EXAMPLES, WIDTH = 24, 40, 9
BEFORE, AFTER = 12, 6
WORDS = [f" w{i}" for i in range(30)]


def store_of(path, dense, ids, shard_tokens=200, words=True) -> ActivationStore:
    sae = make_sae(d_in=8, d_sae=dense.shape[1])
    store = ActivationStore.create(
        path,
        model="tiny",
        texts={"from": [path.name]},
        saes={"only": sae},
        shard_tokens=shard_tokens,
        pieces=(lambda some: [WORDS[i] for i in some]) if words else None,
    )
    for first in range(0, EXAMPLES, 4):
        rows = slice(first * LENGTH, (first + 4) * LENGTH)
        part = activations(dense[rows], LENGTH, first)
        position = np.tile(np.arange(LENGTH, dtype=np.int32), 4)
        store.add(Batch({"only": part}, ids[rows].astype(np.int32), part.example, position))
    store.finish()
    return store


@pytest.fixture(scope="module")
def dense():
    n = LENGTH * EXAMPLES
    return [dense_of(n, WIDTH, 0, density=0.3), dense_of(n, WIDTH, 1, signs=True)]


@pytest.fixture(scope="module")
def ids():
    rng = np.random.default_rng(2)
    return [rng.integers(0, len(WORDS), LENGTH * EXAMPLES) for _ in range(2)]


@pytest.fixture(scope="module")
def texts(tmp_path_factory, dense, ids):
    folder = tmp_path_factory.mktemp("stores")
    stores = [store_of(folder / f"text{k}", dense[k], ids[k]) for k in range(2)]
    return TextSets(stores, ["only", "only"])


def test_counts_and_histograms_are_those_of_the_tokens(texts, dense):
    found = activity(texts)
    strength = np.abs(np.concatenate(dense)).astype(np.float64)
    np.testing.assert_array_equal(found.counts, [(some != 0).sum(0) for some in dense])
    np.testing.assert_array_equal(found.maximum, strength.max(0))
    for i in range(WIDTH):
        fired = strength[:, i][strength[:, i] > 0]
        share = fired / fired.max() if len(fired) else fired
        for counts, parts in ((found.histogram[i], BINS), (found.levels[i], LEVELS)):
            expected = np.bincount(
                np.minimum((share * parts).astype(int), parts - 1), minlength=parts
            )
            np.testing.assert_array_equal(counts, expected)
    assert found.counts[:, -1].sum() == 0
    assert (found.places[-1] == -1).all()


def test_top_contexts_are_the_peaks_of_examples_after_different_words(texts, dense, ids):
    found = activity(texts)
    strength, words = np.abs(np.concatenate(dense)), np.concatenate(ids)
    peaks = strength.reshape(-1, LENGTH, WIDTH)
    for i in range(WIDTH):
        at = peaks[:, :, i].argmax(1) + LENGTH * np.arange(len(peaks))
        best = [p for p in at[np.argsort(-strength[at, i], kind="stable")] if strength[p, i] > 0]
        expected, seen = [], set()
        for p in best:
            near = tuple(words[max(p - 4, p - p % LENGTH) : p + 1])
            if near not in seen and len(expected) < TOP:
                seen.add(near)
                expected.append(p)
        assert [p for p in found.places[i, :TOP] if p >= 0] == expected


def test_contexts_below_are_drawn_from_their_interval_whatever_the_shards(
    tmp_path, texts, dense, ids
):
    found = activity(texts, seed=3)
    strength = np.abs(np.concatenate(dense)).astype(np.float64)
    some = 0
    for i in range(WIDTH - 1):
        taken = set(found.places[i, :TOP].tolist())
        for k in range(LEVELS):
            first = TOP + k * OF_EACH
            places = [p for p in found.places[i, first : first + OF_EACH].tolist() if p >= 0]
            level = LEVELS - 1 - k  # the highest first
            share = strength[places, i] / strength[:, i].max()
            assert (np.minimum((share * LEVELS).astype(int), LEVELS - 1) == level).all()
            assert len(places) <= found.levels[i, level]
            assert not taken & set(places)
            taken |= set(places)
            some += len(places)
        ordered = np.sort(list(taken - {-1}))
        drawn = {p for p in found.places[i, TOP:].tolist() if p >= 0}
        near = [(p, q) for p, q in pairwise(ordered) if q - p <= BEFORE + AFTER and {p, q} & drawn]
        assert near == []
    assert some > 50
    cut = [store_of(tmp_path / f"text{k}", dense[k], ids[k], shard_tokens=10_000) for k in range(2)]
    again = activity(TextSets(cut, ["only", "only"]), seed=3)
    np.testing.assert_array_equal(found.places, again.places)
    assert (found.places != activity(texts, seed=4).places).any()


def test_every_token_shown_has_its_activation(texts, dense, ids):
    found = activity(texts)
    shown = windows(texts, found.places)
    value, words = np.concatenate(dense), np.concatenate(ids)
    for i in range(WIDTH):
        for c, place in enumerate(found.places[i].tolist()):
            start = place - place % LENGTH
            for w in range(BEFORE + 1 + AFTER):
                t = place - BEFORE + w
                if place < 0 or not start <= t < start + LENGTH:
                    assert (shown.word[i, c, w], shown.value[i, c, w]) == (-1, 0)
                    continue
                assert shown.words[shown.word[i, c, w]] == WORDS[words[t]]
                assert shown.value[i, c, w] == value[t, i]
            if place >= 0:
                assert shown.text[i, c] == place // (LENGTH * EXAMPLES)
                assert shown.example[i, c] == place // LENGTH % EXAMPLES


def test_the_table_says_what_was_found(tmp_path, texts):
    found = activity(texts)
    shown = windows(texts, found.places)
    ids, logits = np.tile([2, 0], (WIDTH, 1)), np.arange(2.0 * WIDTH).reshape(WIDTH, 2)
    side = {"logits_top": (ids, logits)}
    write_dashboards(tmp_path / "a.parquet", found, shown, texts.tokens, side, {0: "x", 2: "<b>"})
    table = pl.read_parquet(tmp_path / "a.parquet")
    assert table["feature"].to_list() == [*range(WIDTH)]
    assert table["carried_top"].null_count() == WIDTH
    assert table["logits_top"][1].to_list() == [
        {"token": "<b>", "logit": 2.0},
        {"token": "x", "logit": 3.0},
    ]
    for row in table.iter_rows(named=True):
        i = row["feature"]
        assert row["frequency"] == [
            n / t for n, t in zip(found.counts[:, i], texts.tokens, strict=True)
        ]
        assert sum(row["histogram"]) == found.counts[:, i].sum()
        quantiles = row["quantiles"]
        assert len(quantiles) == (LEVELS + 1 if row["max_activation"] else 0)
        if not quantiles:
            continue
        top, *below = quantiles
        assert [c["place"] for c in top["contexts"]] == row["places"]
        assert top["count"] == len(row["places"])
        assert top["high"] == row["max_activation"]
        assert [q["count"] for q in below] == found.levels[i, ::-1].tolist()
        assert below[0]["high"] == row["max_activation"]
        assert below[-1]["low"] == 0
        for q in quantiles:
            strengths = [abs(c["activations"][c["at"]]) for c in q["contexts"]]
            assert strengths == sorted(strengths, reverse=True)
            assert all(
                q["low"] <= s * (1 + 1e-6) and s <= q["high"] * (1 + 1e-6) for s in strengths
            )
            for c in q["contexts"]:
                assert len(c["pieces"]) == len(c["activations"]) <= BEFORE + 1 + AFTER


@pytest.mark.parametrize("most", [8, 1])  # of one length, or of several
def test_features_that_fire_in_each_others_contexts_agree(texts, dense, most):
    values = np.concatenate(dense)
    strength = np.abs(values)
    places = {
        name: [np.flatnonzero(strength[:, i])[:k] for i in range(WIDTH)]
        for name, k in (("a", most), ("b", min(most, 5)))
    }
    if most == 1:
        places = {
            name: [some if len(some) else [0] for some in its] for name, its in places.items()
        }
    target = np.array([1, 0, 2, 3, -1, 5, 6, 8, 8])
    both = {"a": texts, "b": texts}
    found = agreement({("a", "b"): target}, places, both)["a", "b"]
    assert found["feature"].to_list() == [0, 1, 2, 3, 5, 6, 7, 8]
    for row in found.iter_rows(named=True):
        i, j = row["feature"], row["target"]
        ways = []
        for key, told, at, other in (
            ("forward", "values", places["a"][i], j),
            ("backward", "target_values", places["b"][j], i),
        ):
            assert row[told] == values[at, other].tolist()
            expected = (strength[at, other] > 0).mean() if len(at) else None
            assert row[key] == (None if expected is None else pytest.approx(expected))
            ways.append(expected)
        assert row["share"] == (None if None in ways else pytest.approx(np.mean(ways)))
    assert found.filter(feature=2)["share"].item() == 1  # of itself
    none = agreement({("a", "b"): np.full(WIDTH, -1)}, places, both)["a", "b"]
    assert len(none) == 0


def test_a_store_without_the_text_of_its_tokens_is_refused(tmp_path, dense, ids):
    store = store_of(tmp_path / "text", dense[0], ids[0], words=False)
    texts = TextSets([store], ["only"])
    with pytest.raises(RunError, match="does not have the text of its tokens"):
        windows(texts, activity(texts).places)

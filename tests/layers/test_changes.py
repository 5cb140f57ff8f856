"""What is new, gone, split and merged: on paper, and against a planted truth."""

import numpy as np
import polars as pl
import pytest

from saematch import Run, RunError, match
from saematch.layers.changes import changes
from support import by_hand
from support.planted import matched, plant
from support.saes import make_sae

NAMES = [f"resid_post_{layer}" for layer in range(3)]


@pytest.fixture
def on_paper(monkeypatch):
    """Three layers of 4 features, as `changes` reads them of any run.

    From layer 0: feature 0 goes to 0; 1 and 2 both to 1; the best of 3 is 3, by chance. Nothing of
    layer 1's feature 2 is known before. To layer 2: 0 goes to 0 and, as its best source, 1.
    """
    first = by_hand.pair(4, 4, {0: (0, 1e-9), 1: (1, 1e-8), 2: (1, 1e-6), 3: (3, 0.4)})
    second = by_hand.pair(4, 4, {0: [(0, 1e-9), (1, 1e-5)], 1: (2, 1e-7), 2: (3, 0.9), 3: (3, 0.6)})
    made = by_hand.layers(
        dict.fromkeys(NAMES, 4), {(NAMES[0], NAMES[1]): first, (NAMES[1], NAMES[2]): second}
    )
    monkeypatch.setattr("saematch.layers.changes.Layers.of", lambda run: made)
    return made


def rows(frame: pl.DataFrame, *kinds: str) -> list[tuple]:
    return frame.filter(pl.col("kind").is_in(kinds)).rows()


def test_every_kind_on_paper(on_paper):
    found = changes("run", "1")
    assert found["kind"].unique(maintain_order=True).to_list() == ["new", "gone", "split", "merged"]
    assert rows(found, "new") == [
        ("new", 2, NAMES[0], [], None, None),  # of which nothing is known: the surest
        ("new", 3, NAMES[0], [3], pytest.approx(-np.log10(0.4)), 0.4),
    ]
    assert [row[1:4] for row in rows(found, "gone")] == [(2, NAMES[2], [3]), (3, NAMES[2], [3])]
    assert rows(found, "split") == [("split", 0, NAMES[2], [0, 1], pytest.approx(5), 1e-5)]
    assert rows(found, "merged") == [("merged", 1, NAMES[0], [1, 2], pytest.approx(6), 1e-6)]


def test_the_ends_know_one_side_only(on_paper):
    assert set(changes("run", NAMES[0])["kind"]) == {"gone"}
    assert set(changes("run", NAMES[2])["kind"]) == {"new"}


def test_excluded_features_are_neither_new_nor_gone(on_paper):
    on_paper.excluded[NAMES[1]][2] = True
    assert 2 not in changes("run", "1").filter(pl.col("kind").is_in(["new", "gone"]))["feature"]


def test_a_planted_truth_is_found(tmp_path):
    """New: concepts that begin or were missed before, and strangers; gone likewise."""
    truth = plant(layers=4, d=48, concepts=160, strangers=30, drift=0.6, noise=0.35)
    run = matched(truth, tmp_path / "run", reach=1)
    for layer, name in enumerate(run.names):
        found = changes(run, name)
        here = truth.concepts[layer]
        for kind, other in (("new", layer - 1), ("gone", layer + 1)):
            if not 0 <= other < len(run.names):
                assert not rows(found, kind)
                continue
            alone = np.flatnonzero((here < 0) | ~np.isin(here, truth.concepts[other]))
            said = {row[1] for row in rows(found, kind)}
            assert len(alone) > 40
            assert len(said & {*alone.tolist()}) >= 0.95 * len(alone)
            assert len(said - {*alone.tolist()}) <= 0.02 * len(here)
        for _, feature, other, parts, *_ in rows(found, "split", "merged"):
            concepts = truth.concepts[run.names.index(other)][parts]
            assert (concepts == here[feature]).mean() > 0.4
    right = [
        (truth.concepts[run.names.index(other)][parts] == truth.concepts[1][feature]).all()
        for _, feature, other, parts, *_ in rows(changes(run, "1"), "split", "merged")
    ]
    assert len(right) > 8
    assert sum(right) >= 0.8 * len(right)


def test_without_a_null_or_a_neighbour_nothing_is_new(tmp_path):
    saes = [make_sae(d_in=16, d_sae=24, layer=layer, seed=layer) for layer in range(3)]
    run = Run.create(tmp_path / "run", "flow", {}, saes)
    a, b, _ = run.names
    run.add_pair(a, b, match(saes[0], saes[1], "cosine", null="none"))
    with pytest.raises(RunError, match="match with a null"):
        changes(run, "0")
    with pytest.raises(RunError, match="has matched resid_post_2 with no other"):
        changes(run, "2")

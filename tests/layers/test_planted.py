"""Tracks against a planted truth: ten layers, with births, deaths, misses, splits and strangers."""

import numpy as np
import polars as pl
import pytest

from saematch.cli.report import shared_seed
from saematch.layers import Layers
from saematch.layers.composition import composition
from saematch.layers.links import chained
from saematch.layers.splits import splits
from saematch.layers.tracks import MODES, turnover
from support.planted import Score, found_links, matched, plant, same_concept, score, true_links

SIZE = {"d": 48, "concepts": 160, "strangers": 30, "drift": 0.6, "noise": 0.35}


@pytest.fixture(scope="module")
def worlds(tmp_path_factory):
    """Three planted truths, and their runs read as layers."""
    made = []
    for seed in range(3):
        truth = plant(seed=seed, **SIZE)
        made.append((truth, Layers.of(matched(truth, tmp_path_factory.mktemp("run") / "run"))))
    return made


@pytest.fixture(scope="module")
def found(worlds):
    return {mode: [find(layers) for _, layers in worlds] for mode, find in MODES.items()}


def together(worlds, found, skips: bool) -> Score:
    scores = [score(truth, links, skips) for (truth, _), links in zip(worlds, found, strict=True)]
    names = ("found", "right", "steps", "followed")
    return Score(*(sum(getattr(each, name) for each in scores) for name in names))


@pytest.mark.parametrize("mode", MODES)
def test_a_false_discovery_rate_of_1_percent_is_kept(worlds, found, mode):
    total = together(worlds, found[mode], skips=mode == "gaps")
    assert total.found > 3000
    assert total.false_discovery <= 0.02


@pytest.mark.parametrize("mode", MODES)
def test_steps_to_the_next_layer_are_found(worlds, found, mode):
    assert together(worlds, found[mode], skips=False).recall > 0.98


def test_gaps_are_bridged_where_a_dictionary_missed_the_concept(worlds, found):
    gaps, chains = (together(worlds, found[mode], skips=True) for mode in ("gaps", "chained"))
    assert gaps.recall > 0.98
    assert chains.recall < 0.98  # every missed concept breaks a chain
    for (truth, _), links in zip(worlds, found["gaps"], strict=True):
        bridges = found_links(links).filter(pl.col("j") - pl.col("i") == 2).rows()
        right = sum(same_concept(truth, row) for row in bridges)
        there = {(truth.concepts[i][a], i) for i, a, j, _ in true_links(truth, True) if j - i == 2}
        assert right >= 0.95 * len(bridges)
        assert right >= 0.7 * len(there)


def test_births_are_those_of_concepts_and_strangers(worlds, found):
    """New concepts, strangers, second halves, and what was missed for longer than a gap reaches."""
    (truth, layers), links = worlds[0], found["gaps"][0]
    births = turnover(links)["births"].to_list()
    for layer in range(1, len(layers.chain)):
        before = set(np.concatenate(truth.concepts[max(0, layer - 2) : layer]).tolist()) - {-1}
        concept, second = truth.concepts[layer], truth.halves[layer]
        new = sum((c not in before) or half for c, half in zip(concept, second, strict=True))
        assert births[layer] == pytest.approx(new, abs=4)


def test_splits_are_found_and_nothing_else(worlds):
    right = wrong = there = 0
    for truth, layers in worlds:
        groups = splits(layers).filter(kind="split")
        places = {name: place for place, name in enumerate(layers.chain)}
        for (a, b), group in groups.group_by("a", "b"):
            i, j = places[str(a)], places[str(b)]
            if j != i + 1:
                continue
            one, many = truth.concepts[i][group["feature"]], truth.concepts[j][group["part"]]
            same = (one == many) & (one >= 0)
            right += int(same.sum())
            wrong += int((~same).sum())
        for before, after in zip(truth.concepts, truth.concepts[1:], strict=False):
            values, count = np.unique(after[after >= 0], return_counts=True)
            there += 2 * len(np.intersect1d(values[count == 2], before))
    assert there > 100
    assert right > 0.9 * there
    assert wrong < 0.1 * (right + wrong)


def test_composition_agrees_with_the_direct_matching(worlds):
    """Where both exist: a chain of right matches is the right match, unless a split interferes."""
    for _, layers in worlds:
        pooled = composition(layers).filter(pl.col("a").is_null(), links="matched", steps=2)
        assert pooled["agreement"][0] > 0.85


def test_a_shared_seed_is_named(tmp_path):
    shared = plant(layers=2, shared_seed=True, **SIZE)
    apart = plant(layers=2, **SIZE)
    for truth, expected in ((shared, True), (apart, False)):
        run = matched(truth, tmp_path / str(expected))
        warning = shared_seed(next(iter(run.summaries.values())))
        assert (warning is not None) == expected
    # untrained features that both SAEs keep from their start score as well as any, and are matched
    links = chained(Layers.of(tmp_path / "True"))
    strangers = shared.concepts[0] == -1
    assert (links.next[: len(strangers)][strangers] >= 0).all()

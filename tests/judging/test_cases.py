"""What is judged: paths of matches, their controls, hard negatives."""

import dataclasses

import numpy as np
import pytest

from saematch.errors import MatchError
from saematch.judging.cases import APART, CONTROLS, Draws, Feature, cases_frame
from saematch.judging.shown import LEAST, Shown
from saematch.layers.layers import Layers


@pytest.fixture(scope="module")
def shown(nouns):
    return shown_of(nouns)


def shown_of(world) -> Shown:
    named = {name: f"nouns_{layer}" for layer, name in enumerate(world.run.names)}
    return Shown(world.run, world.store, named)


@pytest.fixture(scope="module")
def draws(nouns, shown):
    def make(seed: int = 0) -> Draws:
        layers = Layers.of(nouns.run)
        return Draws(layers, shown.usable, shown.often, shown.correlations, seed)

    return make


def meaning(world, feature: Feature) -> int:
    return int(world.meaning[world.run.names.index(feature.site)][feature.number])


def test_paths_lead_from_target_to_target(nouns, draws):
    cases = draws().paths(15)
    layers = Layers.of(nouns.run)
    assert len({case.path for case in cases}) == 15
    assert len({case.a for case in cases if case.step == 0}) == 15
    for case in cases:
        assert layers.pairs[case.a.site, case.b.site].target[case.a.number] == case.b.number
        before = [c for c in cases if (c.path, c.step) == (case.path, case.step - 1)]
        assert all(other.b == case.a for other in before)
    assert draws().paths(15) == cases
    assert draws(1).paths(15) != cases
    # the first of many paths are those of few
    assert draws().paths(30)[0].a == cases[0].a


def test_the_hard_negative_is_the_best_candidate_that_fires_apart(nouns, draws, shown):
    layers = Layers.of(nouns.run)
    for case in draws().paths(10):
        assert case.near is not None
        assert case.near != case.b
        assert meaning(nouns, case.near) != meaning(nouns, case.a)
        pair = layers.pairs[case.a.site, case.b.site]
        others = [t for t in pair.candidates.index[case.a.number].tolist() if t != case.b.number]
        assert case.near.number == others[0]


def test_controls_are_what_they_say(nouns, draws):
    some = draws()
    cases = some.paths(20)
    controls = some.controls(cases)
    kinds = [case.kind for case in controls]
    assert {*kinds} == {*CONTROLS}
    assert all(kinds.count(kind) == 20 for kind in ("self", "random", "near"))
    layers = Layers.of(nouns.run)
    for case in controls:
        if case.kind == "self":
            assert case.a == case.b
            continue
        pair = layers.pairs[case.a.site, case.b.site]
        if case.kind == "identity":
            assert case.a.number == case.b.number
        elif case.kind == "random":
            assert case.b.number not in pair.candidates.index[case.a.number]
        assert case.b.number != pair.target[case.a.number]


def test_what_is_drawn_of_a_path_does_not_depend_on_what_else_is_asked(nouns, draws):
    def drawn(paths: int, distances: tuple[int, ...] = ()):
        some = draws()
        cases = some.paths(paths, distances)
        return cases, some.controls(cases)

    few, some = drawn(5)
    more, others = drawn(30)
    far, same = drawn(5, (2,))
    assert few == [case for case in more if case.path < 5]
    assert some == [case for case in others if case.path < 5] == same
    assert few == [case for case in far if case.steps == 1]


def test_paths_of_other_matches_begin_at_the_same_features(nouns, shown, draws):
    layers = Layers.of(nouns.run)
    fewer = {pair: layers.pairs[pair] for pair in layers.pairs}
    first = next(iter(fewer))
    target = fewer[first].target.copy()
    target[::3] = -1
    fewer[first] = dataclasses.replace(fewer[first], target=target)
    others = Draws(dataclasses.replace(layers, pairs=fewer), shown.usable, shown.often)
    starts = [case.a.number for case in draws().paths(30) if case.step == 0]
    left = [case.a.number for case in others.paths(30) if case.step == 0]
    assert [start for start in left if start in starts] == [s for s in starts if target[s] >= 0]


def test_chained_and_direct_matches_over_steps(nouns, draws):
    cases = draws().paths(10, distances=(2,))
    far = [case for case in cases if case.steps == 2]
    assert {case.kind for case in far} == {"composed"}  # the run has no direct pair
    for case in far:
        way = [c for c in cases if c.path == case.path and c.steps == 1]
        assert (case.a, case.b) == (way[0].a, way[-1].b)
        assert case.near is not None


def test_stratified_draws_take_as_many_of_each_quantile(nouns, draws):
    cases = draws().stratified(20, "score")
    frame = cases_frame(cases, Layers.of(nouns.run))
    for pair in ({"a": a, "b": b} for a, b in frame.select("a", "b").unique().iter_rows()):
        quantile = frame.filter(**pair)["score_quantile"].to_numpy()
        counts, _ = np.histogram(quantile, bins=5, range=(0, 1))
        # ranks over all features, not over those that can be judged: the edges may shift by one
        assert max(abs(counts - 4)) <= 1
    assert frame["path"].n_unique() == len(frame)


def test_the_table_says_what_the_run_says(nouns, draws):
    some = draws()
    cases = some.paths(10)
    cases += some.controls(cases)
    frame = cases_frame(cases, Layers.of(nouns.run))
    matches, controls = (
        frame.filter(part) for part in (frame["kind"] == "match", frame["kind"] != "match")
    )
    assert controls["score"].null_count() == len(controls)
    row = matches.row(0, named=True)
    pair = nouns.run.pair(row["a"], row["b"]).row(row["feature_a"], named=True)
    assert pair["target"] == row["feature_b"]
    for column in ("score", "matched", "mutual"):
        assert row[column] == pair[column]
    assert row["margin"] > 0


def test_features_that_do_not_fire_are_not_drawn(nouns, shown):
    layers = Layers.of(nouns.run)
    few = {name: shown.usable(name).copy() for name in layers.names}
    few[layers.names[0]][5:] = False
    draws = Draws(layers, few.__getitem__, shown.often)
    assert {case.a.number for case in draws.paths(100) if case.step == 0} == {*range(5)}
    assert (shown.often(layers.names[0]) >= LEAST).all()
    assert 0 < APART < 1


def test_a_run_of_one_sae_has_nothing_to_judge(nouns, shown):
    layers = dataclasses.replace(Layers.of(nouns.run), pairs={})
    with pytest.raises(MatchError, match="nothing to judge"):
        Draws(layers, shown.usable, shown.often)

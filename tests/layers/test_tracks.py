"""Tracks by hand: chained, flowing together, over a gap; births, deaths, lifespans."""

from dataclasses import replace
from itertools import product

import numpy as np
import polars as pl
import pytest
import torch

from saematch import MatchError, match
from saematch.layers import Layers
from saematch.layers.gap_tracks import best_paths, gaps
from saematch.layers.links import chained, feature_flow
from saematch.layers.tracks import lifespans, spans, tracks, turnover
from saematch.matching.fdr import LEAST, cut
from saematch.runs.run import Run
from support import by_hand
from support.saes import make_sae

STRONG, GOOD, WEAK = 1e-12, 1e-8, 0.5


def paths(links) -> set[tuple]:
    frame = tracks(links).with_columns(pl.concat_str("site", "feature").alias("node"))
    return set(frame.group_by("track").agg("node")["node"].map_elements(tuple, pl.Object))


def three(ab, bc, ac=None, sizes=(3, 3, 3)):
    n, m, k = sizes
    pairs = {("a", "b"): by_hand.pair(n, m, ab), ("b", "c"): by_hand.pair(m, k, bc)}
    if ac is not None:
        pairs["a", "c"] = by_hand.pair(n, k, ac)
    return by_hand.layers(dict(zip("abc", sizes, strict=True)), pairs)


def test_chained_matches_by_hand():
    made = three({0: (2, STRONG), 1: (0, GOOD), 2: (1, WEAK)}, {0: (1, STRONG), 2: (2, STRONG)})
    links = chained(made)
    assert paths(links) == {
        ("a0", "b2", "c2"),
        ("a1", "b0", "c1"),
        ("a2",),
        ("b1",),
        ("c0",),
    }
    frame = tracks(links)
    assert frame.columns == ["track", "position", "site", "feature", "score", "p_value"]
    second = frame.filter(track=1)
    assert second["p_value"].to_list() == [None, GOOD, STRONG]
    assert second["score"].to_list() == pytest.approx([None, 8, 12])
    found = spans(frame, made.chain)
    assert found.row(1, named=True) == {
        "track": 1,
        "start": "a",
        "start_feature": 1,
        "end": "c",
        "end_feature": 1,
        "length": 3,
        "skipped": 0,
        "weakest": "b",
        "weakest_score": pytest.approx(8),
        "weakest_p": GOOD,
    }
    assert found.row(2, named=True)["weakest"] is None
    changes = turnover(links)
    assert changes["births"].to_list() == [None, 1, 1]
    assert changes["deaths"].to_list() == [1, 1, None]
    assert changes["birth_share"].to_list() == pytest.approx([None, 1 / 3, 1 / 3])
    assert changes["birth_low"][1] == pytest.approx(0.0615, abs=1e-4)  # Wilson, 1 of 3
    alive = {
        (r["start"], r["site"]): (r["started"], r["alive"])
        for r in lifespans(found, made.chain).to_dicts()
    }
    assert alive == {
        ("a", "a"): (3, 3),
        ("a", "b"): (3, 2),
        ("a", "c"): (3, 2),
        ("b", "b"): (1, 1),
        ("b", "c"): (1, 0),
        ("c", "c"): (1, 1),
    }


def test_chained_is_one_to_one_whatever_the_method():
    made = three({0: (0, GOOD), 1: (0, STRONG)}, {})
    assert paths(chained(made)) >= {("a0",), ("a1", "b0")}


def test_flows_run_together_and_what_splits_off_is_not_born():
    made = three({0: (0, STRONG), 1: (0, GOOD), 2: [(1, STRONG), (2, GOOD)]}, {0: (0, STRONG)})
    links = feature_flow(made)
    assert paths(links) == {
        ("a0", "b0", "c0"),
        ("a1", "b0", "c0"),
        ("a2", "b1"),
        ("b2",),
        ("c1",),
        ("c2",),
    }
    # b2 is the second best of a2, which is its best source
    assert turnover(links)["births"].to_list() == [None, 0, 2]
    assert turnover(links)["deaths"].to_list() == [0, 2, None]


def test_a_gap_is_bridged_where_the_layer_between_has_nothing():
    made = three({0: (0, STRONG)}, {0: (0, STRONG)}, {0: (0, GOOD), 1: (2, GOOD)})
    assert paths(chained(made)) >= {("a1",), ("c2",)}
    links = gaps(made)
    assert paths(links) == {("a0", "b0", "c0"), ("a1", "c2"), ("a2",), ("b1",), ("b2",), ("c1",)}
    found = spans(tracks(links), made.chain).filter(start_feature=1, start="a")
    assert found["skipped"].to_list() == [1]
    assert found["length"].to_list() == [2]
    # the bridged feature neither dies nor is born
    assert turnover(links)["deaths"].to_list() == [1, 2, None]
    assert turnover(links)["births"].to_list() == [None, 2, 1]


def test_a_gap_must_outweigh_the_evidence_that_the_layer_has_the_feature():
    # a0 and a1 merge in b0: without the cost, a1 would pass over b to take c0 from b0
    made = three({0: (0, STRONG), 1: (0, STRONG)}, {0: (0, GOOD)}, {0: (0, GOOD), 1: (0, 1e-9)})
    assert ("a1", "c0") not in paths(gaps(made))
    # a feature that is but weakly there was missed all the same
    made = three({0: (0, STRONG), 1: (0, 1e-3)}, {0: (0, STRONG)}, {1: (1, STRONG)})
    assert ("a1", "c1") in paths(gaps(made))


def test_the_optimum_is_global():
    # greedy takes a0 -> b0 and leaves a1 alone; together the second best is better
    made = three({0: [(0, 1e-10), (1, 1e-9)], 1: (0, 1e-9)}, {})
    assert paths(gaps(made)) >= {("a0", "b1"), ("a1", "b0")}


def test_in_many_dimensions_a_target_goes_to_the_nearer_of_two_sources(tmp_path):
    # two sources for each target, at cosines of .97 and .85: both p-values are at the floor
    g = torch.Generator().manual_seed(0)
    targets = 100

    def unit(*shape):
        v = torch.randn(*shape, generator=g)
        return v / v.norm(dim=1, keepdim=True)

    y = unit(2500, 2304)  # the others of B are strangers
    order = torch.randperm(2 * targets, generator=g)
    cosine = torch.tensor([0.97, 0.85]).repeat_interleave(targets)[:, None]
    near, noise = y[:targets].repeat(2, 1), unit(2 * targets, 2304)
    x = (cosine * near + (1 - cosine**2).sqrt() * noise)[order]
    saes = [
        replace(make_sae(d_in=2304, d_sae=len(rows), layer=layer), W_dec=rows)
        for layer, rows in enumerate((x, y))
    ]
    run = Run.create(tmp_path, "flow", {}, saes)
    a, b = run.names
    run.add_pair(a, b, match(saes[0], saes[1], "cosine", candidates=1))
    layers = Layers.of(run)
    assert (layers.pairs[a, b].candidates.p_value == LEAST).all()
    nearer = np.flatnonzero(order.numpy() < targets)
    links = gaps(layers)
    assert np.flatnonzero(links.next >= 0).tolist() == nearer.tolist()
    assert links.next[nearer].tolist() == (2 * targets + order.numpy()[nearer]).tolist()


def test_at_the_floor_scores_decide_and_never_outweigh_a_link():
    made = three({0: [(0, LEAST), (1, LEAST)], 1: [(0, LEAST)], 2: [(1, 1e-9), (2, 1e-9)]}, {})
    scores = made.pairs["a", "b"].candidates.score
    # a0 prefers b0 by more than a1 does, but a1 has nothing else
    scores[0], scores[1, 0] = (9.0, 1.0), 2.0
    assert paths(gaps(made)) >= {("a0", "b1"), ("a1", "b0"), ("a2", "b2")}
    # one of two sources, listed last, is the better one
    made = three({0: (0, LEAST), 1: (0, LEAST)}, {})
    made.pairs["a", "b"].candidates.score[:2, 0] = 1.0, 2.0
    assert paths(gaps(made)) >= {("a1", "b0"), ("a0",)}


def test_features_that_take_no_part_are_no_tests():
    # of 4 tests 3 may pass up to 0.0075, of 30 not one up to 0.001
    found = {i: (i, 0.007) for i in range(3)}
    sizes = (30, 30, 3)
    made = three(found, {}, sizes=sizes)
    made.excluded["a"][4:] = made.excluded["b"][4:] = True
    together = {(f"a{i}", f"b{i}") for i in range(3)}
    assert paths(feature_flow(made)) >= together
    assert paths(gaps(made)) >= together
    # a significant source is known too: b2 splits off a0 and is not born
    made = three({0: [(0, 0.007), (2, 0.007)], 1: (1, 0.007)}, {}, sizes=sizes)
    made.excluded["a"][2:] = made.excluded["b"][4:] = True
    assert turnover(feature_flow(made))["births"].to_list() == [None, 1, 3]


def test_flow_is_feature_flow_whatever_is_excluded(tmp_path):
    first, second = (make_sae(d_in=24, d_sae=240, layer=layer) for layer in (0, 1))
    # cosines of all sizes, so that some lie close to the cut
    share = torch.linspace(0, 0.8, 240)[:, None]
    noise = torch.randn(240, 24, generator=torch.Generator().manual_seed(1))
    used = (torch.arange(240) % 4 == 1)[:, None]
    saes = [
        replace(first, W_dec=first.W_dec * used),
        replace(second, W_dec=(share * first.W_dec + (1 - share) * noise) * used),
    ]
    run = Run.create(tmp_path, "flow", {"fdr": 0.2}, saes)
    found = match(saes[0], saes[1], "feature-flow", fdr=0.2)
    a, b = run.names
    run.add_pair(a, b, found)
    links = feature_flow(Layers.of(run))
    assert (links.next[:240] >= 0).tolist() == found.matched.tolist()
    # were the excluded features tests that failed, there would be fewer
    assert found.n_matched > int((found.p_value <= cut(found.p_value.numpy(), 0.2)).sum()) > 0


def test_without_p_values_each_feature_flows_to_its_best(tmp_path):
    saes = [make_sae(layer=layer, seed=layer) for layer in (0, 1)]
    run = Run.create(tmp_path, "flow", {}, saes)
    found = match(saes[0], saes[1], "cosine", null="none")
    a, b = run.names
    run.add_pair(a, b, found)
    links = feature_flow(Layers.of(run))
    assert (links.next[:96] - 96).tolist() == found.candidates.index[:, 0].tolist()
    assert found.candidates.index[:, 0].tolist() != found.target.tolist()


def test_best_paths_against_enumeration():
    rng = np.random.default_rng(3)
    for _ in range(30):
        source, target = rng.integers(0, 5, 9), rng.integers(5, 10, 9)
        gain = rng.random(9) + 0.01
        every = (np.array(chosen, bool) for chosen in product([0, 1], repeat=9))
        best = max(gain[c].sum() for c in every if _fits(c, source, target))
        found = best_paths(source, target, gain)
        assert _fits(found, source, target)
        assert gain[found].sum() == pytest.approx(best)


def _fits(chosen, source, target) -> bool:
    return all(len(np.unique(side[chosen])) == chosen.sum() for side in (source, target))


def test_layers_of_other_widths_and_excluded_features():
    made = three({0: (4, STRONG)}, {4: (1, STRONG)}, sizes=(2, 5, 3))
    made.excluded["b"][3] = True
    for mode in (chained, feature_flow):
        links = mode(made)
        assert ("a0", "b4", "c1") in paths(links)
        assert ("b3",) not in paths(links)
        assert turnover(links)["features"].to_list() == [2, 4, 3]
        assert turnover(links)["births"].to_list() == [None, 3, 2]


def test_what_cannot_be_tracked_is_said():
    made = three({}, {})
    del made.pairs["b", "c"]  # pyright: ignore[reportIndexIssue]
    with pytest.raises(MatchError, match="b and c are neighbours but not matched"):
        chained(made)
    with pytest.raises(MatchError, match="two layers"):
        feature_flow(by_hand.layers({"a": 3}, {}))
    with pytest.raises(MatchError, match="need p-values"):
        gaps(three({}, {}))

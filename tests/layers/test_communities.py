"""Communities and their labels: planted groups, and tokens that set them apart."""

from itertools import pairwise

import numpy as np
import polars as pl
import pytest

from saematch import RunError
from saematch.labels.top_tokens import feature_labels, top_tokens
from saematch.layers.communities import distinctive_tokens, find_communities
from saematch.layers.graph import FlowGraph
from support.by_hand import layers, pair

LAYERS, GROUPS, EACH = 6, 8, 3


def planted(strength=1e-8):
    """Groups of EACH features a layer; every feature leads to all of its group in the next."""
    names = [f"l{i}" for i in range(LAYERS)]
    n = GROUPS * EACH
    found = {}
    for a, b in pairwise(names):
        to = {}
        for i in range(n):
            first = i // EACH * EACH
            members = [first + (i + k) % EACH for k in range(EACH)]
            stray = (i + EACH) % n
            to[i] = [*((j, strength * (k + 1)) for k, j in enumerate(members)), (stray, 0.3)]
        found[a, b] = pair(n, n, to)
    return FlowGraph.of(layers(dict.fromkeys(names, n), found))


def groups(frame):
    return {frozenset((m["site"], m["feature"]) for m in members) for members in frame["members"]}


def test_planted_groups_are_found():
    found = find_communities(planted(), resolution=0.5)
    expected = {
        frozenset((f"l{i}", g * EACH + k) for i in range(LAYERS) for k in range(EACH))
        for g in range(GROUPS)
    }
    assert groups(found) == expected
    assert found["size"].to_list() == [LAYERS * EACH] * GROUPS
    assert found["sites"].to_list() == [LAYERS] * GROUPS
    assert found.select("first_layer", "last_layer").unique().rows() == [(0, LAYERS - 1)]
    # in each step EACH matches of weight 1, and as many candidates of rank 2 and 3
    weight = (LAYERS - 1) * EACH * (1 + 1 / 2 + 1 / 3)
    assert found["weight"].to_list() == pytest.approx([weight] * GROUPS, rel=1e-5)


def test_a_chain_through_all_layers_holds_together_and_two_do_not():
    names = [f"l{i}" for i in range(12)]
    steps = pairwise(names)
    found = {s: pair(2, 2, {0: (0, 1e-9), 1: (1, 1e-9)}) for s in steps}
    graph = FlowGraph.of(layers(dict.fromkeys(names, 2), found))
    assert groups(find_communities(graph)) == {
        frozenset((name, feature) for name in names) for feature in (0, 1)
    }


def test_one_seed_gives_one_answer_and_the_graphs_size_none():
    graph = planted()
    assert find_communities(graph, seed=3).equals(find_communities(graph, seed=3))
    twice = find_communities(planted(), resolution=0.5)
    assert groups(twice) == groups(find_communities(planted(), resolution=0.5, seed=9))


def test_edges_beyond_the_p_value_do_not_count():
    nothing = find_communities(planted(strength=0.02).keep(kinds=["candidate", "target"]))
    assert len(nothing) == 0
    assert nothing.columns == find_communities(planted()).columns
    assert len(find_communities(planted(strength=0.02), max_p=0.05)) > 0


def test_without_p_values_matches_count_by_cosine():
    graph = planted()
    blank = pl.lit(None, dtype=pl.Float64)
    table = graph.table.with_columns(p_value=blank, source_p_value=blank)
    bare = FlowGraph(graph.names, graph.features, graph.sites, graph.members, table)
    found = find_communities(bare)
    matched = graph.keep(kinds=["match"]).table
    assert found["weight"].sum() == pytest.approx(matched["cosine"].sum())
    assert found["size"].max() == LAYERS  # chains of matches, one feature a layer


def test_every_community_is_connected():
    rng = np.random.default_rng(1)
    names = [f"l{i}" for i in range(5)]
    steps = list(pairwise(names))
    found = {
        s: pair(60, 60, {i: [(int(j), 1e-5) for j in rng.choice(60, 2, False)] for i in range(60)})
        for s in steps
    }
    graph = FlowGraph.of(layers(dict.fromkeys(names, 60), found))
    made = find_communities(graph, resolution=0.2)
    edges = graph.edges().with_columns(pl.col("source_site", "target_site").cast(pl.String))
    ends = edges.select("source_site", "source", "target_site", "target").rows()
    for group in groups(made):
        within = [((a, i), (b, j)) for a, i, b, j in ends if {(a, i), (b, j)} <= group]
        reached = {next(iter(group))}
        while grown := {n for e in within for n in e if {*e} & reached} - reached:
            reached |= grown
        assert reached == group


def test_bad_arguments():
    with pytest.raises(RunError, match="max_p is 0"):
        find_communities(planted(), max_p=0)
    with pytest.raises(RunError, match="resolution is 0"):
        find_communities(planted(), resolution=0)


def test_labels_are_of_tokens_that_others_lack():
    # all fire on "the" most; the members alone on "dog"
    rows = [("l0", i, "the", 0.6) for i in range(40)]
    rows += [("l0", i, "dog" if i < 4 else f"w{i}", 0.4) for i in range(40)]
    tokens = pl.DataFrame(rows, ["site", "feature", "token", "weight"], orient="row")
    members = pl.DataFrame({"community": [7] * 4, "site": ["l0"] * 4, "feature": [0, 1, 2, 3]})
    found = distinctive_tokens(members, tokens)
    assert found["community"].unique().to_list() == [7]
    assert found["token"][0] == "dog"
    assert found["weight"][0] == pytest.approx(1.6)
    # a token that is as common without as within sets nobody apart
    assert "the" not in found["token"].to_list()


def test_the_log_odds_by_hand():
    rows = [("a", 0, "x", 1.0), ("a", 1, "y", 1.0), ("a", 2, "y", 1.0)]
    tokens = pl.DataFrame(rows, ["site", "feature", "token", "weight"], orient="row")
    members = pl.DataFrame({"community": [0], "site": ["a"], "feature": [0]})
    # prior 0.5 a token, shared out by frequency: x 1/3, y 2/3, of 1 in all
    inside = np.log((1 + 1 / 3) / (1 + 1 - 1 - 1 / 3))
    outside = np.log((0 + 1 / 3) / (2 + 1 - 0 - 1 / 3))
    spread = np.sqrt(1 / (1 + 1 / 3) + 1 / (0 + 1 / 3))
    assert distinctive_tokens(members, tokens).rows() == [
        (0, "x", 1.0, pytest.approx((inside - outside) / spread))
    ]


def test_tokens_that_differ_by_rounding_come_in_order():
    rows = [("a", 0, "b", 0.6), ("a", 0, "c", 0.6 * (1 + 1e-13))]
    rows += [("a", 3, f"w{i}", 0.5) for i in range(8)]
    tokens = pl.DataFrame(rows, ["site", "feature", "token", "weight"], orient="row")
    members = pl.DataFrame({"community": [0], "site": ["a"], "feature": [0]})
    found = distinctive_tokens(members, tokens)
    assert found["z"][0] < found["z"][1]
    assert found["token"].to_list() == ["b", "c"]


class Texts:
    """A run of two SAEs, one of which has contexts."""

    names = ("a", "b")

    @staticmethod
    def contexts(name):
        def at(*tokens):
            texts = {"before": "", "after": "", "source": "", "activation": 1.0}
            return [{**texts, "token": token} for token in tokens]

        if name == "b":
            return None
        listed = [at(" The", "the", "dog", "the "), at("\n   ", " ", "\n  "), []]
        return pl.DataFrame({"feature": [0, 4, 5], "contexts": listed})


def test_tokens_that_differ_in_case_and_spaces_alike_are_one():
    tokens = top_tokens(Texts())  # pyright: ignore[reportArgumentType]
    found = {(f, t): w for f, t, w in tokens.select("feature", "token", "weight").rows()}
    third = pytest.approx(1 / 3)
    assert found == {
        (0, "the"): 0.75,
        (0, "dog"): 0.25,
        (4, "↵␣"): pytest.approx(2 / 3),
        (4, "␣"): third,
    }
    assert feature_labels(tokens).sort("feature").rows() == [
        ("a", 0, "the, dog"),
        ("a", 4, "↵␣, ␣"),
    ]


def test_tokens_of_a_group_are_written_as_most_of_it_writes_them():
    tokens = pl.DataFrame(
        [
            *(("a", i, "␣P", 1.0) for i in range(9)),
            ("a", 9, "p", 1.0),
            *(("b", i, "␣She", 1.0) for i in range(3)),
            *(("b", i, "she", 1.0) for i in range(3, 6)),
            *(("c", i, f"␣other{i}", 1.0) for i in range(20)),
        ],
        schema=["site", "feature", "token", "weight"],
        orient="row",
    )
    members = pl.DataFrame(
        [*((0, "a", i) for i in range(10)), *((1, "b", i) for i in range(6))],
        schema=["community", "site", "feature"],
        orient="row",
    )
    found = distinctive_tokens(members, tokens)
    assert found.select("community", "token", "weight").rows() == [
        (0, "␣P", 10.0),
        (1, "she", 6.0),
    ]

"""The flow graph: what becomes an edge, and what lies around a feature."""

from itertools import pairwise

import numpy as np
import polars as pl
import pytest

from saematch import Run, RunError, match
from saematch.layers.exports import attribution
from saematch.layers.graph import FlowGraph
from support.by_hand import layers, pair
from support.saes import make_sae

SIZES = {"l0": 3, "l1": 4, "l2": 2}
# l0/0 has a match and another candidate, l0/1 a target that is not accepted, l0/2 nothing
FIRST = {0: [(1, 1e-6), (3, 1e-3)], 1: (2, 0.5)}
SECOND = {1: (0, 1e-5), 3: (1, 1e-4)}


@pytest.fixture
def graph():
    return FlowGraph.of(
        layers(SIZES, {("l1", "l2"): pair(4, 2, SECOND), ("l0", "l1"): pair(3, 4, FIRST)})
    )


def rows(graph, *columns):
    return graph.edges().select(*columns).rows()


def test_each_pair_of_features_is_one_edge_of_its_strongest_kind(graph):
    columns = "source_site", "source", "target_site", "target", "kind", "rank", "source_rank"
    assert rows(graph, *columns) == [
        ("l0", 0, "l1", 1, "match", 1, 1),
        ("l0", 0, "l1", 3, "candidate", 2, 1),
        ("l0", 1, "l1", 2, "target", 1, 1),
        ("l1", 1, "l2", 0, "match", 1, 1),
        ("l1", 3, "l2", 1, "match", 1, 1),
    ]
    assert rows(graph, "score", "p_value", "source_p_value")[1] == (3.0, 1e-3, 1e-3)
    # by hand, cosines are a tenth of the score, of candidates as of sources
    assert rows(graph, "cosine")[:2] == [pytest.approx((0.6,)), pytest.approx((0.3,))]


def test_a_source_that_is_no_candidate_is_an_edge_of_its_own():
    found = pair(2, 3, {0: (0, 1e-4), 1: (1, 1e-4)})
    found.sources.index[2] = 1
    found.sources.score[2], found.sources.p_value[2] = 2.5, 0.02
    edges = FlowGraph.of(layers({"a": 2, "b": 3}, {("a", "b"): found})).edges()
    last = edges.row(2, named=True)
    assert (last["source"], last["target"], last["kind"]) == (1, 2, "source")
    assert (last["rank"], last["source_rank"]) == (None, 1)
    assert (last["score"], last["p_value"], last["source_p_value"]) == (2.5, None, 0.02)


def test_nodes_are_the_features_that_take_part(graph):
    assert len(graph.nodes()) == 9
    assert graph.nodes().row(4) == (4, "l1/1", "l1", 1, 1)
    made = layers(SIZES, {})
    made.excluded["l1"][1] = True
    left = FlowGraph.of(made)
    assert left.nodes()["id"].to_list() == [n for n in graph.nodes()["id"] if n != "l1/1"]
    assert left.edges().columns == graph.edges().columns


def test_around_a_feature(graph):
    def seen(**depth):
        return set(graph.around("l0", 0, **depth).nodes()["id"])

    assert seen() == {"l0/0", "l1/1", "l1/3", "l2/0", "l2/1"}
    assert seen(forward=1) == {"l0/0", "l1/1", "l1/3"}
    assert seen(forward=0) == {"l0/0"}
    back = graph.around("l2", 1)
    assert set(back.nodes()["id"]) == {"l2/1", "l1/3", "l0/0"}
    assert rows(back, "source", "target") == [(0, 3), (3, 1)]
    alone = graph.around("l0", 2)
    assert (len(alone.nodes()), len(alone.edges())) == (1, 0)


def test_neither_direction_leaks_into_the_other(graph):
    # l1/1 and l1/3 have one source: what comes back from it is not around either of them
    assert set(graph.around("l1", 1).nodes()["id"]) == {"l0/0", "l1/1", "l2/0"}


def test_a_loop_ends():
    there, back = pair(1, 1, {0: (0, 1e-4)}), pair(1, 1, {0: (0, 1e-4)})
    both = FlowGraph.of(layers({"a": 1, "b": 1}, {("a", "b"): there, ("b", "a"): back}))
    assert len(both.around("a", 0).edges()) == 2


def test_keep(graph):
    assert rows(graph.keep(kinds=["match"]), "target") == [(1,), (0,), (1,)]
    assert rows(graph.keep(max_p=1e-4), "target") == [(1,), (0,), (1,)]
    assert rows(graph.keep(min_score=5), "target") == [(1,), (0,)]
    assert len(graph.keep(kinds=["match"]).members) == 9
    with pytest.raises(RunError, match="no 'matched' edges; the kinds are match, target"):
        graph.keep(kinds=["matched"])


def test_unknown_sites_and_features_are_errors(graph):
    with pytest.raises(RunError, match="no SAE 'l9'; it has l0, l1, l2"):
        graph.around("l9", 0)
    for feature in (-1, 4):
        with pytest.raises(RunError, match=f"l1 has no feature {feature}; it has 0 to 3"):
            graph.around("l1", feature)


def test_transports_are_edges_weighed_by_their_share(tmp_path):
    saes = [make_sae(name=name, seed=i) for i, name in enumerate("ab")]
    run = Run.create(tmp_path / "run", "match", {}, saes)
    a, b = run.names
    run.add_pair(a, b, match(saes[0], saes[1]))
    with pytest.raises(RunError, match=r"no sparse transports: .* --transport 2 fits them"):
        FlowGraph.of_transports(run, 2)
    shares = [
        (2, False, 3, 5, "here", 0.5),
        (2, False, 3, 5, "previous", 0.25),
        (2, False, 4, 5, "here", 0.25),
        (2, False, 3, 6, "so far", 1.0),
        (2, False, 3, 7, "here", None),  # of a target that never fired
        (2, True, 9, 9, "here", 1.0),
        (1, False, 8, 8, "here", 1.0),
    ]
    named = ("k", "carried", "source", "target", "reach", "share")
    table = pl.DataFrame(shares, schema=named, orient="row").with_columns(
        a=pl.lit(a), b=pl.lit(b), weight=pl.lit(2.0), sufficient=pl.lit(True)
    )
    run.add("evaluation", {"transports": table}, {"options": {}, "texts": {}, "fit_texts": ""})
    graph = FlowGraph.of_transports(run, 2)
    columns = "source_site", "source", "target_site", "target", "kind", "score", "rank"
    assert rows(graph, *columns, "source_rank") == [
        (a, 3, b, 6, "transport", 1.0, 1, 1),
        (a, 3, b, 5, "transport", 0.75, 2, 1),
        (a, 4, b, 5, "transport", 0.25, 1, 2),
    ]
    assert rows(FlowGraph.of_transports(run.path, 2, carried=True), "source") == [(9,)]
    around = attribution(graph.around(b, 5))
    weights = sorted(link["weight"] for link in around["links"])
    assert weights == [0.25, 0.75]
    with pytest.raises(RunError, match="no transports of 4 edges; it has those of 1, 2"):
        FlowGraph.of_transports(run, 4)


def test_it_agrees_with_a_walk_by_hand_on_a_random_graph():
    rng = np.random.default_rng(0)
    sizes = {f"l{i}": 30 for i in range(5)}
    names = list(sizes)
    found = {
        (a, b): pair(
            30,
            30,
            {i: [(int(j), 1e-3) for j in rng.choice(30, 2, replace=False)] for i in range(25)},
        )
        for a, b in pairwise(names)
    }
    graph = FlowGraph.of(layers(sizes, found))
    edges = graph.edges().with_columns(pl.col("source_site", "target_site").cast(pl.String))
    forward: dict = {}
    backward: dict = {}
    for a, i, b, j in edges.select("source_site", "source", "target_site", "target").rows():
        forward.setdefault((a, i), set()).add((b, j))
        backward.setdefault((b, j), set()).add((a, i))

    def walk(start, steps, depth):
        seen = ring = {start}
        for _ in range(depth):
            ring = set().union(*(steps.get(node, set()) for node in ring))
            seen = seen | ring
        return seen

    got = graph.around("l2", 7, forward=2, backward=1).nodes()
    expected = walk(("l2", 7), forward, 2) | walk(("l2", 7), backward, 1)
    assert set(got.select(pl.col("site").cast(pl.String), "feature").rows()) == expected
    assert len(expected) > 5

"""Circuits: features of a track as one, edges between them, the run, and the exported file."""

import json

import polars as pl
import pytest

from saematch import RunError
from saematch.circuits.circuit import EDGES, NODES, Circuit, with_names, with_tracks
from saematch.circuits.export import circuit_graph, export_circuit
from saematch.circuits.kept import circuits, is_kept, keep_circuit, read_circuit
from saematch.layers.attribution_graph import LISTING
from saematch.runs.records import CircuitFigures
from saematch.runs.run import Run
from support.saes import make_sae

SITES = ("resid_post_1", "resid_post_2", "resid_post_3")


def features(*rows) -> pl.DataFrame:
    """Nodes of features: site, feature, position, influence."""
    schema = {"site": pl.String, "feature": pl.Int64, "position": pl.Int64, "influence": pl.Float64}
    return pl.DataFrame(rows, schema, orient="row").with_columns(
        pl.int_range(pl.len()).alias("node"), pl.lit("feature").alias("kind")
    )


def tracks(*rows) -> pl.DataFrame:
    return pl.DataFrame(
        rows, {"site": pl.String, "feature": pl.Int64, "track": pl.Int64}, orient="row"
    )


def test_features_of_a_track_at_one_token_are_one():
    nodes = features(
        ("a", 1, 3, 0.1), ("a", 2, 3, 0.1), ("b", 5, 3, 0.1), ("b", 5, 4, 0.1), ("c", 9, 3, 0.1)
    )
    found = with_tracks(nodes, tracks(("a", 1, 7), ("b", 5, 7), ("c", 9, 7), ("a", 2, 8)))
    assert found["track"].to_list() == [7, 8, 7, 7, 7]
    # the same feature at another token is another node; alone it is no supernode
    assert found["group"].to_list() == [0, None, 0, None, 0]


def test_of_tracks_that_run_together_the_one_with_most_is_taken():
    nodes = features(("a", 1, 0, 0.1), ("b", 1, 0, 0.1), ("c", 1, 0, 0.1))
    # b and c are in both; a only in track 4
    known = tracks(("b", 1, 2), ("c", 1, 2), ("a", 1, 4), ("b", 1, 4), ("c", 1, 4))
    found = with_tracks(nodes, known)
    assert found["track"].to_list() == [4, 4, 4]
    assert found["group"].to_list() == [0, 0, 0]


def test_without_tracks_every_node_is_alone():
    found = with_tracks(features(("a", 1, 0, 0.1), ("b", 1, 0, 0.1)), None)
    assert found["track"].null_count() == found["group"].null_count() == 2


def test_supernodes_are_called_as_somebody_said_else_by_their_tokens():
    nodes = features(
        ("a", 1, 0, 0.1), ("b", 1, 0, 0.5), ("a", 2, 0, 0.1), ("b", 2, 0, 0.2), ("b", 3, 0, 0.2)
    ).with_columns(
        pl.Series("group", [0, 0, 1, 1, None]),
        pl.lit("x").alias("circuit"),
        *(pl.lit(None).alias(n) for n in ("layer", "activation", "token", "probability", "track")),
    )
    labels = pl.DataFrame(
        [
            ("a", 1, "rivers", "Ann"),
            ("b", 1, "running water", "Bob"),
            ("a", 2, "sea, mill", "top tokens"),
            ("b", 2, "sea", "top tokens"),
            ("b", 3, "hill", "top tokens"),
        ],
        ["site", "feature", "label", "source"],
        orient="row",
    )
    tokens = pl.DataFrame(
        [("a", 2, "mill", 0.4), ("a", 2, "sea", 0.3), ("b", 2, "sea", 1.0)],
        ["site", "feature", "token", "weight"],
        orient="row",
    )
    found = with_names(nodes, labels, tokens)
    assert found.columns == [*NODES]
    # of the most influential feature; tokens summed over all
    assert found["group_name"].to_list() == ["running water"] * 2 + ["sea, mill"] * 2 + [None]
    assert found["label"].to_list() == ["rivers", "running water", "sea, mill", "sea", "hill"]


# a circuit by hand: two tokens, a track over two layers, an error, a lone feature, two logits


def circuit(slug="by-hand", **figures) -> Circuit:
    rows = [
        ("token", None, None, None, 1, None, 0.6, "the", None, None, None),
        ("token", None, None, None, 2, None, 0.3, " sea", None, None, None),
        ("feature", "resid_post_1", 1, 5, 2, 2.5, 0.4, None, None, 3, 0),
        ("error", "resid_post_1", 1, None, 2, None, 0.1, None, None, None, None),
        ("feature", "resid_post_2", 2, 6, 2, 1.5, 0.2, None, None, 3, 0),
        ("feature", "resid_post_3", 3, 5, 2, 0.5, 0.5, None, None, 8, None),
        ("logit", None, None, None, 2, None, 0.75, " side", 0.6, None, None),
        ("logit", None, None, None, 2, None, 0.25, " shore", 0.2, None, None),
    ]
    names = "kind site layer feature position activation influence token probability track group"
    nodes = pl.DataFrame(rows, names.split(), orient="row").with_columns(
        pl.lit(slug).alias("circuit"),
        pl.int_range(pl.len()).alias("node"),
        pl.when(pl.col("group") == 0).then(pl.lit("water")).alias("group_name"),
        pl.when(pl.col("kind") == "feature").then(pl.lit("a label")).alias("label"),
    )
    edges = pl.DataFrame(
        [
            (0, 2, 1.0, 0.5),
            (1, 2, -1.0, 0.5),
            (2, 4, 3.0, 0.9),
            (1, 4, 0.5, 0.1),
            (3, 5, 0.5, 0.2),
            (2, 5, 2.0, 0.3),
            (4, 5, -0.5, 0.4),
            (5, 6, 4.0, 0.8),
            (4, 7, 1.0, 0.6),
        ],
        ["source", "target", "effect", "share"],
        orient="row",
    ).with_columns(pl.lit(slug).alias("circuit"))
    known = {
        "prompt": "the sea",
        "sites": [*SITES],
        "model": "small",
        "attention": "frozen",
        "options": {"nodes": 0.8},
        "tokens": ["<s>", "the", " sea"],
        "words": [0, 11, 12],
        "logits": [21, 22],
        "influence_before": 2.5,
        **figures,
    }
    made = CircuitFigures(slug=slug, **known)
    return Circuit(
        made,
        nodes.select(pl.col(name).cast(kind) for name, kind in NODES.items()),
        edges.select(pl.col(name).cast(kind) for name, kind in EDGES.items()),
    )


def test_edges_between_supernodes_are_sums():
    made = circuit()
    units = made.units()
    assert units.filter(unit=2).row(0, named=True) == {
        "unit": 2,
        "nodes": [2, 4],
        "kind": "feature",
        "position": 2,
        "influence": 0.4,
        "name": "water",
    }
    assert len(units) == len(made.nodes) - 1
    found = {(r[0], r[1]): r[2:] for r in made.between().iter_rows()}
    assert found[2, 5] == pytest.approx((2.0 - 0.5, 0.3 + 0.4))
    # into nodes with influence 0.4 and 0.2: two thirds of one share, one third of the other
    assert found[1, 2] == pytest.approx((-1.0 + 0.5, (2 * 0.5 + 0.1) / 3))
    assert (2, 2) not in found  # its own edge is inside


# in a run


@pytest.fixture
def run(tmp_path):
    saes = [make_sae(layer=layer, seed=layer, name=f"x/resid_post_{layer}") for layer in (1, 2, 3)]
    made = Run.create(tmp_path / "run", "flow", {}, saes)
    made.finish()
    assert tuple(made.names) == SITES
    return made


def test_circuits_stand_side_by_side(run):
    one, other = circuit("one"), circuit("other", prompt="the hill")
    for some in (one, other, one):
        keep_circuit(run, some)
    again = Run.open(run.path)
    assert [some.slug for some in circuits(again)] == ["other", "one"]
    for some in (one, other):
        read = read_circuit(again, some.name)
        assert read.figures == some.figures
        assert read.nodes.equals(some.nodes)
        assert read.edges.equals(some.edges)
    assert again.finished is not None
    with pytest.raises(RunError, match="several circuits, name one: other, one"):
        read_circuit(again)
    with pytest.raises(RunError, match="no circuit 'ano'"):
        read_circuit(again, "ano")


def test_a_run_without_circuits_says_what_makes_them(run):
    assert circuits(run) == []
    with pytest.raises(RunError, match="saematch circuit makes them"):
        read_circuit(run)


def test_another_circuit_of_the_same_name_is_refused(run):
    keep_circuit(run, circuit("one"))
    assert is_kept(run, circuit("one", tokens=[], words=[], seconds=9).figures)
    assert not is_kept(run, circuit("two").figures)
    asked = circuit("one", prompt="the hill", options={"nodes": 0.5}).figures
    with pytest.raises(RunError, match=r"options: nodes is 0.8 there, 0.5 here; prompt is the sea"):
        is_kept(run, asked)
    assert not is_kept(run, asked, overwrite=True)


def test_rows_of_circuits_that_are_not_listed_do_not_count(run):
    keep_circuit(run, circuit("one"))
    # as a writer that was killed leaves it: a table with rows, of which run.json knows nothing
    stray = pl.concat([circuit("one").nodes, circuit("stray").nodes])
    stray.write_parquet(run.path / "circuits" / "nodes.parquet")
    keep_circuit(run, circuit("two"))
    assert run.table("circuits", "nodes")["circuit"].unique().sort().to_list() == ["one", "two"]


def test_a_damaged_circuit_is_told(run):
    keep_circuit(run, circuit("one"))
    lost = circuit("one").nodes.filter(pl.col("node") != 4)
    lost.write_parquet(run.path / "circuits" / "nodes.parquet")
    with pytest.raises(RunError, match="not numbered from 0"):
        read_circuit(run, "one")
    beyond = circuit("one").nodes.with_columns(pl.col("feature") + 1000)
    beyond.write_parquet(run.path / "circuits" / "nodes.parquet")
    with pytest.raises(RunError, match="beyond its features"):
        read_circuit(run, "one")


# as a file; what Neuronpedia's schema asks of each part

METADATA = {"slug": str, "scan": str, "prompt_tokens": list, "prompt": str, "schema_version": int}
NODE = {
    "node_id": str,
    "feature": int,
    "layer": str,
    "ctx_idx": int,
    "feature_type": str,
    "token_prob": float,
    "is_target_logit": bool,
    "jsNodeId": str,
    "clerp": str,
}
LINK = {"source": str, "target": str, "weight": float}


def fits(part, required):
    return all(type(part[key]) is kind for key, kind in required.items())


def test_the_file_fits_the_schema():
    made = json.loads(json.dumps(circuit_graph(circuit(), "mine", "gpt2")))
    assert made.keys() == {"metadata", "qParams", "nodes", "links"}
    assert fits(made["metadata"], METADATA)
    assert made["metadata"]["prompt_tokens"] == ["<s>", "the", " sea"]
    assert all(fits(node, NODE) for node in made["nodes"])
    assert all(fits(link, LINK) for link in made["links"])
    ids = [node["node_id"] for node in made["nodes"]]
    assert ids == [
        "E_11_1", "E_12_2", "1_5_2", "1_-1_2", "2_6_2", "3_5_2", "4_21_2", "4_22_2",
    ]  # fmt: skip
    assert len({node["jsNodeId"] for node in made["nodes"]}) == len(ids)
    feature = made["nodes"][2]
    together = 1 + 5
    assert feature["feature"] == together * (together + 1) // 2 + 5
    assert (feature["activation"], feature["clerp"]) == (2.5, "a label")
    links = {(link["source"], link["target"]): link["weight"] for link in made["links"]}
    assert links["2_6_2", "4_22_2"] == 1.0
    assert len(links) == 9
    assert made["qParams"]["supernodes"] == [["water", "1_5_2", "2_6_2"]]
    assert [node["is_target_logit"] for node in made["nodes"]] == [False] * 6 + [True, False]
    # cumulative, as a page's slider cuts it
    by = {node["node_id"]: node["influence"] for node in made["nodes"]}
    assert by["E_11_1"] == pytest.approx(0.6 / 2.5)
    assert by["3_5_2"] == pytest.approx((0.6 + 0.5) / 2.5)
    assert by["1_-1_2"] == pytest.approx(2.1 / 2.5)
    assert by["4_21_2"] is None


def test_sites_of_one_layer_do_not_share_names():
    beside = circuit()
    nodes = beside.nodes.with_columns(
        pl.when(pl.col("layer").is_not_null()).then(pl.lit(2)).alias("layer"),
        pl.when(pl.col("kind") == "feature").then(pl.lit(5)).alias("feature"),
    )
    made = circuit_graph(Circuit(beside.figures, nodes, beside.edges), "mine")
    ids = [node["node_id"] for node in made["nodes"] if node["feature_type"][0] == "c"]
    assert ids == ["1_5_2", "2_5_2", "3_5_2"]  # places in order of depth


def test_files_are_listed_for_circuit_tracer(tmp_path):
    for name in ("one", "two-words", "one"):
        export_circuit(circuit(), tmp_path / f"{name}.json")
    listed = json.loads((tmp_path / LISTING).read_text())["graphs"]
    assert [entry["slug"] for entry in listed] == ["two-words", "one"]
    with pytest.raises(RunError, match=r"must end in \.json"):
        export_circuit(circuit(), tmp_path / "one.graphml")
    with pytest.raises(RunError, match="'two words' must be of letters"):
        export_circuit(circuit(), tmp_path / "two words.json")

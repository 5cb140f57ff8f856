"""The graph in files of other programs: read back by networkx, and held against the schema."""

import json

import networkx as nx
import polars as pl
import pytest

from saematch import RunError
from saematch.layers.attribution_graph import LISTING
from saematch.layers.exports import attribution, export, graphml, node_link
from saematch.layers.graph import FlowGraph
from saematch.sae.sae import Site
from support.by_hand import layers, pair

HOSTILE = "</data><x>&\"'\x00\x1b[31m\ufffe ]]>"


@pytest.fixture
def graph():
    found = {
        ("l0", "l1"): pair(2, 3, {0: [(1, 1e-6), (2, 1e-3)], 1: (0, 0.5)}),
        ("l1", "l2"): pair(3, 2, {1: (0, 1e-5)}),
    }
    return FlowGraph.of(layers({"l0": 2, "l1": 3, "l2": 2}, found))


@pytest.fixture
def labels():
    return pl.DataFrame({"site": ["l1", "l2"], "feature": [1, 0], "label": ["the", HOSTILE]})


def test_networkx_reads_node_link(graph, labels):
    read = nx.node_link_graph(json.loads(node_link(graph, labels)), edges="edges")
    assert isinstance(read, nx.DiGraph)
    assert set(read) == set(graph.nodes()["id"])
    assert read.nodes["l2/0"] == {"site": "l2", "feature": 0, "layer": 2, "label": HOSTILE}
    assert read.number_of_edges() == 4
    edge = read.edges["l0/0", "l1/1"]
    assert (edge["kind"], edge["rank"], edge["p_value"]) == ("match", 1, 1e-6)
    assert edge["cosine"] == pytest.approx(0.6)


def test_networkx_reads_graphml(graph, labels, tmp_path):
    (tmp_path / "g.graphml").write_text(graphml(graph, labels), encoding="utf-8")
    read = nx.read_graphml(tmp_path / "g.graphml")
    assert set(read) == set(graph.nodes()["id"])
    assert read.nodes["l1/1"] == {"site": "l1", "feature": 1, "layer": 1, "label": "the"}
    # what XML cannot hold is replaced, and nothing of it is taken for an element
    assert read.nodes["l2/0"]["label"] == "</data><x>&\"'\ufffd\ufffd[31m\ufffd ]]>"
    assert read.nodes["l0/0"].keys() == {"site", "feature", "layer"}
    assert read.edges["l1/1", "l2/0"]["score"] == pytest.approx(5)
    assert read.number_of_edges() == 4


# what Neuronpedia's schema, "Anthropic Attribution Graph" 1.0.0, asks of each part
METADATA = {"slug": str, "scan": str, "prompt_tokens": list, "prompt": str}
NODE = {
    "node_id": str,
    "feature": int,
    "layer": str,
    "ctx_idx": int,
    "feature_type": str,
    "jsNodeId": str,
    "clerp": str,
}
LINK = {"source": str, "target": str, "weight": float}


def fits(part, required):
    return all(type(part[key]) is kind for key, kind in required.items())


def uncantor(number):
    """As Neuronpedia's page finds layer and feature again."""
    w = int(((8 * number + 1) ** 0.5 - 1) / 2)
    index = number - (w * w + w) // 2
    return w - index, index


def test_attribution_graph_fits_the_schema(graph, labels):
    made = json.loads(json.dumps(attribution(graph, labels=labels, slug="mine", model="gpt2")))
    assert made.keys() == {"metadata", "qParams", "nodes", "links"}
    assert fits(made["metadata"], METADATA)
    assert made["metadata"]["scan"] == "gpt2"
    assert all(fits(node, NODE) for node in made["nodes"])
    assert all(fits(link, LINK) for link in made["links"])
    ids = [node["node_id"] for node in made["nodes"]]
    assert len(set(ids)) == len(ids) == 7
    assert len({node["jsNodeId"] for node in made["nodes"]}) == 7
    assert {end for link in made["links"] for end in (link["source"], link["target"])} <= {*ids}
    for node in made["nodes"]:
        layer, feature = uncantor(node["feature"])
        assert node["node_id"] == f"{layer}_{feature}_{node['ctx_idx']}"
        assert node["layer"] == str(layer)
        assert 0 <= node["ctx_idx"] < len(made["metadata"]["prompt_tokens"])
    clerps = {node["node_id"]: node["clerp"] for node in made["nodes"]}
    assert (clerps["1_1_0"], clerps["2_0_0"], clerps["0_0_0"]) == ("the", HOSTILE, "")
    weights = {(k["source"], k["target"]): k["weight"] for k in made["links"]}
    assert weights["0_0_0", "1_1_0"] == pytest.approx(0.6)


def test_sites_of_one_layer_stand_side_by_side():
    sites = {
        "pre": Site("", "resid_pre", 2),
        "mlp": Site("", "mlp_out", 2),
        "post": Site("", "resid_post", 2),
        "seed": Site("", "resid_post", 2),
    }
    graph = FlowGraph.of(layers(dict.fromkeys(sites, 1), {}, sites))
    made = attribution(graph)
    assert made["metadata"]["prompt_tokens"] == [
        "resid_pre",
        "mlp_out",
        "resid_post",
        "resid_post (2)",
    ]
    assert [node["node_id"] for node in made["nodes"]] == ["2_0_0", "2_0_1", "2_0_2", "2_0_3"]


@pytest.mark.parametrize(
    "known",
    [
        {"a": Site("", "resid_pre", 0), "b": Site("", "resid_post", 0)},
        {"a": None, "b": Site("", "resid_post", 3)},
    ],
)
def test_without_layers_places_stand_for_them(known):
    # a page that finds no layer beyond 0 refuses the graph
    graph = FlowGraph.of(layers({"a": 1, "b": 1}, {}, known))
    assert [node["layer"] for node in attribution(graph)["nodes"]] == ["1", "2"]


def test_the_listing_keeps_other_graphs(graph, tmp_path):
    for name in ("one", "two", "one"):
        export(graph, tmp_path / f"{name}.json", "attribution", title=name)
    listed = json.loads((tmp_path / LISTING).read_text())["graphs"]
    assert [entry["slug"] for entry in listed] == ["two", "one"]
    assert json.loads((tmp_path / "one.json").read_text())["metadata"] in listed
    (tmp_path / LISTING).write_text("[]")
    with pytest.raises(RunError, match="no listing of graphs"):
        export(graph, tmp_path / "one.json", "attribution")


def test_files_of_every_format(graph, tmp_path):
    table = pl.read_parquet(export(graph, tmp_path / "e.parquet", "parquet"))
    assert table.rows() == graph.edges().rows()
    assert "<node id=" in export(graph, tmp_path / "e.graphml", "graphml").read_text()
    assert json.loads(export(graph, tmp_path / "e.json", "node-link").read_text())["directed"]


def test_what_cannot_be_written_is_an_error(graph, tmp_path):
    with pytest.raises(RunError, match=r"'gexf'; there are node-link, graphml"):
        export(graph, tmp_path / "g.gexf", "gexf")
    with pytest.raises(RunError, match="'a b' must be of letters"):
        export(graph, tmp_path / "a b.json", "attribution")
    (tmp_path / "file").touch()
    with pytest.raises(RunError, match="cannot be written"):
        export(graph, tmp_path / "file" / "g.json", "node-link")
    nothing = FlowGraph.of(layers({}, {}))
    with pytest.raises(RunError, match="no nodes"):
        attribution(nothing)

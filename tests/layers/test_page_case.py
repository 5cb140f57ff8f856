"""The case that the page's own exporter is held against is what the exporter here gives.

`python tests/layers/test_page_case.py` writes it anew.
"""

import json
from pathlib import Path

import polars as pl

import saematch
from saematch.layers.exports import attribution
from saematch.layers.graph import FlowGraph
from saematch.sae.sae import Site
from support.by_hand import layers, pair

CASE = Path(__file__).parents[2] / "web" / "tests" / "attribution.json"


def made() -> dict:
    """Graphs as the page has them, and as attribution graphs."""
    found = {
        ("l0", "l1"): pair(2, 3, {0: [(1, 1e-6), (2, 1e-3)], 1: (0, 0.5)}),
        ("l0", "l2"): pair(2, 2, {0: (1, 1e-8)}),
        ("m1", "l2"): pair(3, 2, {0: (1, 1e-7), 2: [(0, 1e-4), (1, 0.2)]}),
        ("l1", "l2"): pair(3, 2, {1: (0, 1e-5), 2: [(0, 2e-3), (1, 3e-3)]}),
    }
    known = {
        "l0": Site("l0", "resid_post", 0),
        "l1": Site("l1", "resid_post", 1),
        "m1": Site("m1", "resid_post", 1),  # two SAEs of one place
        "l2": Site("l2", "mlp_out", 2),
    }
    sizes = {"l0": 2, "l1": 3, "m1": 3, "l2": 2}
    labels = pl.DataFrame(
        {"site": ["l1", "l2"], "feature": [1, 0], "label": ["the", "</script><b>\"&'"]}
    )
    cases = {}
    for name, sites in (("layers", known), ("places", {**known, "m1": None})):
        graph = FlowGraph.of(layers(sizes, found, sites=sites))
        graph = graph.around("l0", 0, forward=2, backward=2)
        cases[name] = {
            "sites": [
                {"name": n, "layer": s and s.layer, "kind": s and s.kind} for n, s in sites.items()
            ],
            "nodes": _nodes(graph, labels),
            "links": graph.table.with_columns(pl.col("kind").cast(pl.String)).to_dicts(),
            "attribution": attribution(graph, labels=labels, slug="mine", title="l0 #0"),
        }
    return json.loads(json.dumps({"version": saematch.__version__, "cases": cases}))


def _nodes(graph: FlowGraph, labels: pl.DataFrame) -> list[dict]:
    nodes = graph.nodes().with_columns(pl.col("site").cast(pl.String))
    joined = nodes.join(labels, on=["site", "feature"], how="left", maintain_order="left")
    return joined.select("node", "site", "feature", "label").to_dicts()


def test_the_page_is_held_against_this_exporter():
    assert json.loads(CASE.read_text(encoding="utf-8")) == made()


if __name__ == "__main__":
    CASE.write_text(json.dumps(made(), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")

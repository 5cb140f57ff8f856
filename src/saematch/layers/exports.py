"""A flow graph in the files of other programs: networkx, GraphML, circuit-tracer, Neuronpedia."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars as pl

from saematch.errors import RunError
from saematch.files.directory import writing
from saematch.layers.attribution_graph import (
    attribution_graph,
    check_slug,
    node_id,
    paired,
    write_attribution_graph,
    write_text,
)
from saematch.layers.graph import FlowGraph

FORMATS = ("node-link", "graphml", "attribution", "parquet")
# what XML 1.0 cannot hold, however it is written
_NO_XML = r"[^\t\n\r\x{20}-\x{D7FF}\x{E000}-\x{FFFD}\x{10000}-\x{10FFFF}]"


def export(
    graph: FlowGraph,
    path: str | Path,
    kind: str,
    *,
    labels: pl.DataFrame | None = None,
    title: str = "saematch",
    model: str | None = None,
) -> Path:
    """Write a graph to `path` as one of `FORMATS`; the file appears whole or not at all.

    `node-link` is what `networkx.node_link_graph` reads, `attribution` what circuit-tracer and
    Neuronpedia open (see `attribution`; circuit-tracer's listing beside it is brought up to date),
    `parquet` the edges alone.

    Raises:
        RunError: an unknown format, a graph that the format cannot hold, or a file that cannot be
            written.
    """
    path = Path(path)
    if kind not in FORMATS:
        raise RunError(f"no format is called {kind!r}; there are {', '.join(FORMATS)}")
    try:
        if kind == "parquet":
            with writing(path.parent, path.name) as partial:
                graph.edges().write_parquet(partial)
        elif kind == "attribution":
            content = attribution(graph, labels=labels, slug=path.stem, title=title, model=model)
            write_attribution_graph(path, content)
        elif kind == "graphml":
            write_text(path, graphml(graph, labels))
        else:
            write_text(path, node_link(graph, labels))
    except OSError as error:
        raise RunError(f"{path} cannot be written: {error}") from error
    return path


def node_link(graph: FlowGraph, labels: pl.DataFrame | None = None) -> str:
    """The JSON that `networkx.node_link_graph` reads: nodes `id`, edges `source`, `target`.

    Nodes carry `site`, `feature`, `layer` and, with `labels` (`site`, `feature`, `label`),
    `label`; edges what `FlowGraph.table` has. What is not known is null.
    """
    nodes, edges = _tables(graph, labels)
    parts = {
        "directed": "true",
        "multigraph": "false",
        "graph": json.dumps({"names": list(graph.names)}),
        "nodes": nodes.write_json(),
        "edges": edges.write_json(),
    }
    return "{" + ",".join(f'"{name}":{text}' for name, text in parts.items()) + "}"


def graphml(graph: FlowGraph, labels: pl.DataFrame | None = None) -> str:
    """The graph as GraphML 1.0 (http://graphml.graphdrawing.org), with the same values."""
    nodes, edges = _tables(graph, labels)
    ends = edges.select("source", "target")
    nodes, edges = nodes.rename({"id": "node"}), edges.drop("source", "target")
    keys = [
        f'<key id="{side}_{name}" for="{side}" attr.name="{name}" attr.type="{_xml_type(kind)}"/>'
        for side, frame in (("node", nodes.drop("node")), ("edge", edges))
        for name, kind in frame.schema.items()
    ]
    node_lines = nodes.select(
        pl.concat_str(
            [
                pl.format('<node id="{}">', _escaped(pl.col("node"))),
                *_data("node", nodes.drop("node")),
                pl.lit("</node>"),
            ]
        )
    ).to_series()
    edge_lines = (
        pl.concat([ends, edges], how="horizontal")
        .select(
            pl.concat_str(
                [
                    pl.format(
                        '<edge source="{}" target="{}">',
                        _escaped(pl.col("source")),
                        _escaped(pl.col("target")),
                    ),
                    *_data("edge", edges),
                    pl.lit("</edge>"),
                ]
            )
        )
        .to_series()
    )
    return "\n".join(
        [
            '<?xml version="1.0" encoding="UTF-8"?>',
            '<graphml xmlns="http://graphml.graphdrawing.org/xmlns">',
            *keys,
            '<graph edgedefault="directed">',
            *node_lines,
            *edge_lines,
            "</graph>\n</graphml>\n",
        ]
    )


def attribution(
    graph: FlowGraph,
    *,
    labels: pl.DataFrame | None = None,
    slug: str = "saematch",
    title: str = "saematch",
    model: str | None = None,
) -> dict[str, Any]:
    """The graph as an attribution graph: what circuit-tracer and Neuronpedia open.

    There is no prompt in a flow of features: the columns, which a page labels as its tokens, are
    kinds of site (several where two SAEs share kind and layer). A link weighs the decoder cosine
    where it is known, else one minus its p-value, else 1; of a transport its share, and where
    average effects are known the effect.
    Where no SAE lies beyond layer 0, or not every layer is known, places in order of depth stand
    for layers, from 1.

    Args:
        graph: such as a subgraph around a feature; pages become slow beyond some thousand nodes.
        labels: `site`, `feature`, `label`.
        slug: the name that a page asks for the graph by; letters, digits, `-` and `_`.
        title: shown in place of a prompt.
        model: its name on Neuronpedia, such as `gemma-2-2b`; the slug unless given.

    Raises:
        RunError: the slug has other characters, or the graph has no nodes.
    """
    check_slug(slug)
    if not len(graph.members):
        raise RunError("there is nothing to write: the graph has no nodes")
    layer, column, titles = _columns(graph)
    nodes = _labelled(graph, labels).with_columns(pl.col("site").cast(pl.String))
    nodes = nodes.with_columns(
        pl.col("site").replace_strict(layer, return_dtype=pl.Int64).alias("layer"),
        pl.col("site").replace_strict(column, return_dtype=pl.Int64).alias("ctx_idx"),
        pl.col("label").fill_null("").alias("clerp"),
    )
    layers, features, columns = pl.col("layer"), pl.col("feature"), pl.col("ctx_idx")
    nodes = nodes.with_columns(
        node_id(layers, features, columns).alias("node_id"),
        pl.format("{}_{}-{}", layers, features, columns).alias("jsNodeId"),
        paired(layers, features).alias("feature"),
    )
    names = nodes.select("node", "node_id")
    certainty = 1 - pl.min_horizontal("p_value", "source_p_value")
    effect = [pl.col("effect")] if "effect" in graph.table.columns else []
    links = (
        graph.table.join(names, left_on="source", right_on="node", maintain_order="left")
        .join(names, left_on="target", right_on="node", suffix="_to", maintain_order="left")
        .select(
            pl.col("node_id").alias("source"),
            pl.col("node_id_to").alias("target"),
            pl.when(kind="transport")
            .then("score")
            .otherwise(pl.coalesce(*effect, "cosine", certainty, pl.lit(1.0)))
            .alias("weight"),
        )
    )
    return attribution_graph(nodes, links, slug=slug, prompt=title, tokens=titles, model=model)


def _tables(graph: FlowGraph, labels: pl.DataFrame | None) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Nodes by `id`, and edges by the ids of both ends."""
    nodes = _labelled(graph, labels)
    names = nodes.select("node", "id")
    edges = (
        graph.table.join(names, left_on="source", right_on="node", maintain_order="left")
        .join(names, left_on="target", right_on="node", suffix="_to", maintain_order="left")
        .select(
            pl.col("id").alias("source"),
            pl.col("id_to").alias("target"),
            *graph.table.columns[2:],
        )
    )
    return nodes.drop("node"), edges


def _labelled(graph: FlowGraph, labels: pl.DataFrame | None) -> pl.DataFrame:
    nodes = graph.nodes().with_columns(pl.col("site").cast(pl.String))
    if labels is None:
        return nodes.with_columns(pl.lit(None, dtype=pl.String).alias("label"))
    known = labels.select("site", "feature", "label")
    return nodes.join(known, on=["site", "feature"], how="left", maintain_order="left")


def _columns(graph: FlowGraph) -> tuple[dict[str, int], dict[str, int], list[str]]:
    """Layer and column of each SAE, no two at one place, and what the columns are called."""
    sites = {name: graph.sites[name] for name in graph.names}
    known = {name: s.layer for name, s in sites.items() if s is not None and s.layer is not None}
    if len(known) < len(sites) or not any(known.values()):
        layers = {name: place for place, name in enumerate(graph.names, start=1)}
        return layers, dict.fromkeys(graph.names, 0), ["features"]
    titles: list[str] = []
    columns: dict[str, int] = {}
    taken: set[tuple[int, str]] = set()
    for name, layer in known.items():
        site = sites[name]
        kind = title = "features" if site is None else site.kind
        number = 1
        while (layer, title) in taken:
            number += 1
            title = f"{kind} ({number})"
        taken.add((layer, title))
        if title not in titles:
            titles.append(title)
        columns[name] = titles.index(title)
    return known, columns, titles


def _data(side: str, frame: pl.DataFrame) -> list[pl.Expr]:
    """A `<data>` element for each column; nothing for what is null."""
    return [
        pl.format(f'<data key="{side}_{name}">{{}}</data>', _escaped(pl.col(name))).fill_null("")
        for name in frame.columns
    ]


def _escaped(column: pl.Expr) -> pl.Expr:
    return (
        column.cast(pl.String)
        .str.replace_all(_NO_XML, "\ufffd")
        .str.replace_many(["&", "<", ">", '"'], ["&amp;", "&lt;", "&gt;", "&quot;"])
    )


def _xml_type(kind: pl.DataType) -> str:
    if kind.is_integer():
        return "long"
    return "double" if kind.is_float() else "string"

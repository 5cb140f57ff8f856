"""A circuit as an attribution graph: what circuit-tracer and Neuronpedia open."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from saematch.circuits.circuit import Circuit
from saematch.errors import RunError
from saematch.layers.attribution_graph import (
    FEATURE,
    attribution_graph,
    check_slug,
    node_id,
    paired,
    write_attribution_graph,
)

_TYPES = {
    "feature": FEATURE,
    "error": "mlp reconstruction error",
    "token": "embedding",
    "logit": "logit",
}


def export_circuit(circuit: Circuit, path: str | Path, model: str | None = None) -> Path:
    """Write a circuit to a file; circuit-tracer's listing beside it is brought up to date.

    Args:
        circuit: the circuit.
        path: NAME.json; the name is of letters, digits, - and _, as pages ask for it by that.
        model: its name on Neuronpedia, such as `gemma-2-2b`.

    Raises:
        RunError: another name, or a file that cannot be written.
    """
    path = Path(path)
    check_export(path)
    try:
        write_attribution_graph(path, circuit_graph(circuit, path.stem, model))
    except OSError as error:
        raise RunError(f"{path} cannot be written: {error}") from error
    return path


def check_export(path: Path) -> None:
    """Raise RunError where `export_circuit` writes no such file."""
    if path.suffix != ".json":
        raise RunError(f"{path}: an attribution graph is JSON, so the name must end in .json")
    check_slug(path.stem)


def circuit_graph(circuit: Circuit, slug: str, model: str | None = None) -> dict[str, Any]:
    """A circuit as an attribution graph.

    Columns are the prompt's tokens. Layers are the model's; where two SAEs share one, or one is not
    known, the places of the SAEs in order of depth stand for layers, from 1, so that no two
    nodes have one name. `influence` is cumulative, as pages expect it: the share that nodes of this
    influence and more have of all.
    """
    figures, layers = circuit.figures, _layers(circuit)
    top = max(layers.values(), default=0) + 1
    kind, position = pl.col("kind"), pl.col("position")
    words = [*figures.words, *figures.logits]
    ends = circuit.nodes.filter(kind == "logit")["node"].to_list()
    of_logits = dict(zip(ends, figures.logits, strict=True))
    cumulative = _cumulative(circuit.nodes, figures.influence_before or 1.0)
    nodes = circuit.nodes.with_columns(
        pl.when(kind == "logit")
        .then(pl.lit(top))
        .otherwise(pl.col("site").replace_strict(layers, default=0, return_dtype=pl.Int64))
        .alias("layer"),
        pl.when(kind == "token")
        .then(position.replace_strict(dict(enumerate(words)), return_dtype=pl.Int64))
        .when(kind == "logit")
        .then(pl.col("node").replace_strict(of_logits, default=None, return_dtype=pl.Int64))
        .when(kind == "error")
        .then(pl.lit(-1))
        .otherwise("feature")
        .alias("number"),
    )
    layer, number = pl.col("layer"), pl.col("number")
    row = pl.when(kind == "token").then(pl.lit("E")).otherwise(layer.cast(pl.String))
    chance = pl.format(" (p={})", pl.col("probability").round(3))
    rows = nodes.select(
        "node",
        node_id(row, number, position).alias("node_id"),
        pl.when(kind == "feature")
        .then(paired(layer, number))
        .when(kind == "token")
        .then(position)
        .otherwise(number)
        .alias("feature"),
        row.alias("layer"),
        position.alias("ctx_idx"),
        kind.replace_strict(_TYPES).alias("feature_type"),
        pl.col("probability").fill_null(0.0).alias("token_prob"),
        (pl.col("node") == min(ends, default=-1)).alias("is_target_logit"),
        pl.format(
            "{}_{}-{}", pl.when(kind == "logit").then(pl.lit("L")).otherwise(row), number, position
        ).alias("jsNodeId"),
        pl.when(kind == "logit")
        .then(pl.format('Output "{}"', pl.col("token")) + chance)
        .when(kind == "token")
        .then(pl.format('Emb: "{}"', pl.col("token")))
        .when(kind == "error")
        .then(pl.format("Err: {}", pl.col("site")))
        .otherwise(pl.col("label").fill_null(""))
        .alias("clerp"),
        pl.when(kind != "logit").then(cumulative).alias("influence"),
        "activation",
    )
    ids = dict(rows.select("node", "node_id").iter_rows())
    links = circuit.edges.select(
        pl.col("source").replace_strict(ids, return_dtype=pl.String),
        pl.col("target").replace_strict(ids, return_dtype=pl.String),
        pl.col("effect").alias("weight"),
    )
    return attribution_graph(
        rows,
        links,
        slug=slug,
        prompt=figures.prompt,
        tokens=figures.tokens,
        model=model,
        supernodes=_supernodes(circuit, ids),
        node_threshold=figures.options.get("nodes"),
    )


def _layers(circuit: Circuit) -> dict[str, int]:
    """The layer of each site, no two the same."""
    known = circuit.nodes.drop_nulls("site").select("site", "layer").unique().rows()
    layers = dict(known)
    if None not in layers.values() and len({*layers.values()}) == len(layers):
        return layers
    return {site: place for place, site in enumerate(circuit.figures.sites, start=1)}


def _supernodes(circuit: Circuit, ids: dict[int, str]) -> list[list[str]]:
    units = circuit.units().filter(pl.col("nodes").list.len() > 1)
    return [
        [name or f"track at {position}", *(ids[node] for node in nodes)]
        for nodes, position, name in units.select("nodes", "position", "name").iter_rows()
    ]


def _cumulative(nodes: pl.DataFrame, whole: float) -> pl.Series:
    """Of each node: the share of all influence that is its own or of more influential ones."""
    own = np.where(nodes["kind"] == "logit", 0.0, nodes["influence"])
    order = np.argsort(-own, kind="stable")
    found = np.empty(len(own))
    found[order] = own[order].cumsum() / whole
    return pl.Series("cumulative", found.clip(max=1.0))

# pyright: strict, reportUnknownMemberType=false
"""A feature circuit: what is active on a prompt and matters, with features of one track as one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import polars as pl
import torch

from saematch.circuits.effects import Effects
from saematch.circuits.pruning import Pruned, Roles
from saematch.labels.of_run import TOP_TOKENS
from saematch.labels.top_tokens import SHOWN, joined, merged
from saematch.runs.records import CircuitFigures

NODES = {
    "circuit": pl.String,
    "node": pl.Int64,
    "kind": pl.String,
    "site": pl.String,
    "layer": pl.Int64,
    "feature": pl.Int64,
    "position": pl.Int64,
    "activation": pl.Float64,
    "influence": pl.Float64,
    "token": pl.String,
    "probability": pl.Float64,
    "track": pl.Int64,
    "group": pl.Int64,
    "group_name": pl.String,
    "label": pl.String,
}
EDGES = {
    "circuit": pl.String,
    "source": pl.Int64,
    "target": pl.Int64,
    "effect": pl.Float64,
    "share": pl.Float64,
}


@dataclass(frozen=True, eq=False)
class Circuit:
    """The nodes and edges that a prompt's predictions rest on.

    `nodes` and `edges` have the columns of `circuits/nodes` and `circuits/edges` of a run.
    """

    figures: CircuitFigures
    nodes: pl.DataFrame
    edges: pl.DataFrame

    @property
    def name(self) -> str:
        """Its slug."""
        return self.figures.slug

    def units(self) -> pl.DataFrame:
        """Supernodes, and the nodes that are in none.

        `unit` (the first of its nodes), `nodes` (all of them), `kind`, `position`, `influence` (the
        largest of its nodes: what goes through several in a row counts once), `name`.
        """
        named = pl.coalesce("group_name", "label", "token", pl.lit(""))
        return (
            self.nodes.with_columns(_unit().alias("unit"), named.alias("name"))
            .sort("node")
            .group_by("unit", maintain_order=True)
            .agg(
                pl.col("node").alias("nodes"),
                pl.col("kind", "position").first(),
                pl.col("influence").max(),
                pl.col("name").first(),
            )
        )

    def between(self) -> pl.DataFrame:
        """Edges between units, each the sum of those between their nodes, strongest first.

        `source`, `target` (units), `effect`, and `share` of what comes into the target: the mean
        over its nodes, weighted by their influence.
        """
        units = self.nodes.select("node", _unit().alias("unit"), "influence")
        weight = units.with_columns(
            (pl.col("influence") / pl.col("influence").sum().over("unit")).alias("weight")
        )
        joined = self.edges.join(
            weight.select("node", pl.col("unit").alias("from")), left_on="source", right_on="node"
        ).join(
            weight.select("node", pl.col("unit").alias("to"), "weight"),
            left_on="target",
            right_on="node",
        )
        return (
            joined.filter(pl.col("from") != pl.col("to"))
            .group_by("from", "to")
            .agg(pl.col("effect").sum(), (pl.col("share") * pl.col("weight")).sum())
            .rename({"from": "source", "to": "target"})
            .sort("share", "source", "target", descending=[True, False, False])
        )


def _unit() -> pl.Expr:
    """The first node of a node's supernode; itself where it is in none."""
    first = pl.col("node").min().over("group")
    return pl.when(pl.col("group").is_null()).then("node").otherwise(first)


def roles_of(found: Effects) -> Roles:
    """What the nodes are, for pruning."""
    nodes = found.nodes
    return Roles(
        nodes["probability"].fill_null(0.0).to_torch().to(found.matrix.dtype),
        (nodes["kind"] == "token").to_torch(),
        (nodes["kind"] == "error").to_torch(),
    )


def circuit_nodes(
    slug: str,
    found: Effects,
    kept: Pruned,
    layers: Mapping[str, int | None],
    pieces: Sequence[str],
) -> pl.DataFrame:
    """The nodes of a pruned graph, numbered from 0, without tracks, groups and labels.

    Args:
        slug: of the circuit.
        found: the effects.
        kept: what of it is kept.
        layers: of the sites.
        pieces: the text of each of `found.nodes` that is a token or logit, by `word`.
    """
    some = found.nodes[kept.nodes.numpy()]
    text = dict(zip(found.nodes["word"].drop_nulls().to_list(), pieces, strict=True))
    return some.select(
        pl.lit(slug).alias("circuit"),
        pl.int_range(pl.len()).alias("node"),
        "kind",
        "site",
        pl.col("site").replace_strict(dict(layers), return_dtype=pl.Int64).alias("layer"),
        "feature",
        "position",
        "activation",
        pl.Series("influence", kept.influence[kept.nodes].double().numpy()),
        pl.col("word").replace_strict(text, return_dtype=pl.String).alias("token"),
        "probability",
    )


def circuit_edges(slug: str, found: Effects, kept: Pruned) -> pl.DataFrame:
    """The edges of a pruned graph, by the numbers of `circuit_nodes`, strongest first."""
    target, source = kept.edges.T
    effect = found.matrix[target, source].double()
    whole = found.matrix.abs().sum(1).double()
    number = torch.full((len(found.nodes),), -1)
    number[kept.nodes] = torch.arange(len(kept.nodes))
    return pl.DataFrame(
        {
            "circuit": [slug] * len(effect),
            "source": number[source].numpy(),
            "target": number[target].numpy(),
            "effect": effect.numpy(),
            "share": (effect.abs() / whole[target]).numpy(),
        },
        schema=EDGES,
    ).sort("share", "source", "target", descending=[True, False, False])


def with_tracks(nodes: pl.DataFrame, tracks: pl.DataFrame | None) -> pl.DataFrame:
    """Nodes with `track` and `group`: features of one track at one token are one supernode.

    Where features are in several tracks, as flows that run together are, that with the most of
    them at the token is taken, and of those of equal size the first.

    Args:
        nodes: as of `circuit_nodes`.
        tracks: `site`, `feature`, `track`; none where the run has none.
    """
    none = pl.lit(None, pl.Int64)
    if tracks is None:
        return nodes.with_columns(none.alias("track"), none.alias("group"))
    known = tracks.select(pl.col("site").cast(pl.String), "feature", "track")
    every = nodes.select("node", "site", "feature", "position").join(known, on=["site", "feature"])
    chosen = (
        every.with_columns(pl.len().over("track", "position").alias("size"))
        .sort("size", "track", descending=[True, False])
        .unique("node", keep="first")
        .select("node", "track", "position")
    )
    groups = (
        chosen.group_by("track", "position")
        .agg(pl.len(), pl.col("node").min())
        .filter(pl.col("len") > 1)
        .sort("node")
        .with_columns(pl.int_range(pl.len()).alias("group"))
    )
    return (
        nodes.join(chosen.select("node", "track"), on="node", how="left")
        .join(groups.select("track", "position", "group"), on=["track", "position"], how="left")
        .sort("node")
    )


def with_names(nodes: pl.DataFrame, labels: pl.DataFrame, tokens: pl.DataFrame) -> pl.DataFrame:
    """Nodes with the columns of a run: labels of features, and names of supernodes.

    A supernode is called what somebody said of the most influential of its features that has such
    a label, else by the tokens that its features fire on most.

    Args:
        nodes: as of `with_tracks`.
        labels: as of `saematch.labels.labels_of`.
        tokens: as of `saematch.labels.top_tokens`.
    """
    said = labels.select("site", "feature", "label", "source")
    labelled = nodes.join(said, on=["site", "feature"], how="left", maintain_order="left")
    grouped = labelled.filter(pl.col("group").is_not_null())
    given = (
        grouped.filter(pl.col("source") != TOP_TOKENS)
        .sort("influence", "node", descending=[True, False])
        .group_by("group", maintain_order=True)
        .agg(pl.col("label").first().alias("said"))
    )
    of_groups = grouped.select("group", "site", "feature").join(tokens, on=["site", "feature"])
    fired = (
        merged(of_groups.select("group", "token", "weight"), "group")
        .sort("weight", "token", descending=[True, False])
        .group_by("group", maintain_order=True)
        .agg(pl.col("token").head(SHOWN))
        .select("group", joined("token").alias("fires"))
    )
    return (
        labelled.join(given, on="group", how="left", maintain_order="left")
        .join(fired, on="group", how="left", maintain_order="left")
        .with_columns(pl.coalesce("said", "fires").alias("group_name"))
        .select(pl.col(name).cast(kind) for name, kind in NODES.items())
    )

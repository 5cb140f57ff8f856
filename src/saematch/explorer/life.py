"""One row per feature in the order of tracks, so that the page reads a whole track at once."""

from __future__ import annotations

import polars as pl

from saematch.explorer.nodes import Nodes
from saematch.layers.graph import KINDS, FlowGraph
from saematch.runs.run import Run

MEASURES = (
    "decoder_cosine",
    "encoder_cosine",
    "decoder_mse",
    "encoder_mse",
    "decoder_mse_folded",
    "encoder_mse_folded",
)
MODES = ("chained", "flow", "gaps")
# of an edge, besides the feature at its other end
_EDGE = ("kind", "rank", "source_rank", "score", "cosine", "p_value", "source_p_value", "pearson")


def life(run: Run, nodes: Nodes, pearson: pl.DataFrame) -> pl.DataFrame:
    """One row per feature: its track, the link into it, and its edges.

    Features of one track of `nodes.mode` follow each other; features without a track come last.
    docs/reference/explorer.md has the columns.

    Args:
        run: the run of `nodes`.
        nodes: its features.
        pearson: `source`, `target` (nodes), `pearson`: the known correlations.

    Raises:
        RunError: a table of the run cannot be read.
    """
    main = nodes.tracks.filter(mode=nodes.mode or "").drop("mode", "row")
    frame = (
        nodes.features.join(main, on="node", how="left", maintain_order="left")
        .sort("track", "position", "node", nulls_last=True)
        .with_columns(
            (pl.int_range(pl.len(), dtype=pl.Int32) - pl.col("position").fill_null(0))
            .cast(pl.Int32)
            .alias("first"),
            pl.col("length").fill_null(1),
            pl.when(pl.col("position") > 0).then(pl.col("node").shift(1)).alias("source"),
        )
        .rename({"node": "target"})
    )
    frame = frame.join(
        _measures(run, nodes, frame), on=["source", "target"], how="left", maintain_order="left"
    )
    frame = frame.join(pearson, on=["source", "target"], how="left", maintain_order="left")
    others = [*_rows(nodes), *_edges(run, nodes, pearson), *_groups(nodes)]
    others += [nodes.origins(), nodes.communities()]
    for other in others:
        frame = frame.join(
            other, left_on="target", right_on="node", how="left", maintain_order="left"
        )
    return frame.select(
        "site",
        "feature",
        "label",
        "label_source",
        "frequency",
        "threshold",
        "max_activation",
        "first",
        "length",
        "track",
        "score",
        "p_value",
        *MEASURES,
        "pearson",
        *(f"{mode}_{what}" for mode in MODES for what in ("row", "length")),
        pl.col("out", "in").fill_null([]),
        "split",
        "merge",
        "origin",
        "community",
        "context",
    )


def _measures(run: Run, nodes: Nodes, frame: pl.DataFrame) -> pl.DataFrame:
    """`source`, `target` and their measures, where a pair of the run has them."""
    kinds = {"source": pl.Int64, "target": pl.Int64, **dict.fromkeys(MEASURES, pl.Float32)}
    parts = [pl.DataFrame(schema=kinds)]
    names, done = nodes.layers.names, set(run.pairs)
    sites = frame.select("site", before=pl.col("site").shift(1)).filter(frame["source"] >= 0)
    for later, before in sites.unique().iter_rows():
        a, b = names[before], names[later]
        if (a, b) in done:
            pair = run.pair(a, b).drop_nulls("target")
            parts.append(
                pair.select(
                    (pl.col("feature") + nodes.starts[a]).alias("source"),
                    (pl.col("target") + nodes.starts[b]).alias("target"),
                    *(
                        (pl.col(name) if name in pair.columns else pl.lit(None))
                        .cast(pl.Float32)
                        .alias(name)
                        for name in MEASURES
                    ),
                )
            )
    return pl.concat(parts)


def _rows(nodes: Nodes) -> list[pl.DataFrame]:
    """The row of each node's track in flow/tracks.parquet, by mode."""
    found = []
    for mode in MODES:
        of = nodes.tracks.filter(mode=mode)
        names = {"row": f"{mode}_row", "length": f"{mode}_length"}
        found.append(of.select("node", "row", "length").rename(names))
    return found


def _edges(run: Run, nodes: Nodes, pearson: pl.DataFrame) -> list[pl.DataFrame]:
    """`node` and `out`, `node` and `in`: lists of the edges of each, best first."""
    edges = _table(run, nodes).join(
        pearson, on=["source", "target"], how="left", maintain_order="left"
    )
    found = []
    for here, there, rank, name in (
        ("source", "target", "rank", "out"),
        ("target", "source", "source_rank", "in"),
    ):
        other = pl.col(there).cast(pl.Int32).alias("other")
        found.append(
            edges.sort(here, "kind", rank, there, nulls_last=True)
            .group_by(here, maintain_order=True)
            .agg(pl.struct(other, *_EDGE).alias(name))
            .rename({here: "node"})
        )
    return found


def _table(run: Run, nodes: Nodes) -> pl.DataFrame:
    """The edges by node; of pairs that are not neighbours, only matches and targets."""
    edges = nodes.flow_table("edges")
    if not len(edges):
        edges = FlowGraph.of(nodes.layers).edges()
    chain = {name: place for place, name in enumerate(nodes.layers.chain)}
    far = [
        f"{a}--{b}" for a, b in run.pairs if a in chain and b in chain and chain[b] > chain[a] + 1
    ]
    pair = pl.concat_str(
        pl.col("source_site").cast(pl.String), pl.col("target_site").cast(pl.String), separator="--"
    )
    kind = pl.col("kind").cast(pl.Enum(KINDS)).to_physical().cast(pl.Int8)
    if far:
        edges = edges.filter(~pair.is_in(far) | (kind <= KINDS.index("target")))
    return edges.select(
        nodes.number("source_site", "source").alias("source"),
        nodes.number("target_site", "target").alias("target"),
        kind.alias("kind"),
        "rank",
        "source_rank",
        pl.col("score", "cosine").cast(pl.Float32),
        "p_value",
        "source_p_value",
    )


def _groups(nodes: Nodes) -> list[pl.DataFrame]:
    """`node` and `split`, `node` and `merge`: the most features it splits into, or merges."""
    table = nodes.flow_table("splits")
    found = []
    for kind, site in (("split", "a"), ("merge", "b")):
        if len(table):
            of = table.filter(kind=kind).select(
                nodes.number(site, "feature").alias("node"), pl.col("parts").cast(pl.Int32)
            )
        else:
            of = pl.DataFrame(schema={"node": pl.Int64, "parts": pl.Int32})
        found.append(of.group_by("node").agg(pl.col("parts").max().alias(kind)))
    return found

"""What a list shows of each track, those first that are good to begin with."""

from __future__ import annotations

import polars as pl

from saematch.explorer.nodes import RARE, Nodes
from saematch.labels.top_tokens import folded

# a token that is all of a label, and begins with a space or is of a script that has none
WORD = r"^(␣\p{L}{3,}|[\p{L}--\p{Latin}--\p{Cyrillic}--\p{Greek}]{2,})$"
# how a feature stands in `line`; both splits and merges: "b"
ALONE, SPLITS, MERGES, BOTH, NOWHERE = "o", "s", "m", "b", "."


def tracks(nodes: Nodes, lives: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """One row per track of `nodes.mode` and per feature on none, and the row of each node.

    `clarity` is the largest share of its features' top contexts that is on one token, in any case.
    The order is that of a list that nobody sorted: first tracks of which no feature fires on `RARE`
    of all tokens or more; of each token the best track before a second one; whole words before
    pieces of words and marks; the largest `clarity * length / (length + 1)`; the rarest.

    Args:
        nodes: the run's features.
        lives: as `saematch.explorer.life.life` makes them.

    Returns:
        The table `tracks` of docs/reference/explorer.md, and `node`, `track` (row of it).
    """
    starts = dict(enumerate(nodes.starts.values()))
    start = pl.col("site").replace_strict(starts, return_dtype=pl.Int64)
    members = lives.select(
        pl.int_range(pl.len(), dtype=pl.Int32).alias("life"),
        pl.col("first").cast(pl.Int32),
        "length",
        (start + pl.col("feature")).alias("node"),
        "site",
        "frequency",
        "label",
        _sign().alias("sign"),
    )
    rows = members.group_by("first", maintain_order=True).agg(
        pl.col("length").first(), pl.col("frequency").max()
    )
    tokens = nodes.top_tokens.select(
        nodes.number("site", "feature").alias("node"), "token", "weight"
    )
    for other in (_clarity(members, tokens), _lines(members, nodes)):
        rows = rows.join(other, on="first", how="left", maintain_order="left")
    # a track without contexts is shown by its first feature
    of_first = members.filter(pl.col("life") == pl.col("first")).select("first", own="node")
    rows = (
        rows.join(of_first, on="first", how="left", maintain_order="left")
        .with_columns(pl.coalesce("node", "own").alias("node"))
        .join(members.select("node", "label"), on="node", how="left", maintain_order="left")
        .with_columns(
            (pl.col("frequency") < RARE).fill_null(value=False).alias("rare"),
            pl.col("label").str.contains(WORD).fill_null(value=False).alias("word"),
            (pl.col("clarity") * pl.col("length") / (pl.col("length") + 1)).alias("worth"),
        )
        .sort("worth", "frequency", "first", descending=[True, False, False], nulls_last=True)
        .with_columns(pl.int_range(pl.len()).over("rare", "token").alias("turn"))
        .with_columns(pl.col("turn").clip(0, 1), unclear=pl.col("clarity").is_null())
        .sort(
            "unclear", "rare", "turn", "word",
            descending=[False, True, False, True], maintain_order=True,
        )
        .with_columns(pl.int_range(pl.len(), dtype=pl.Int32).alias("track"))
    )  # fmt: skip
    places = members.join(rows.select("first", "track"), on="first").select("node", "track")
    table = rows.select(
        pl.col("first").alias("life"),
        pl.col("length").cast(pl.Int32),
        pl.col("node").cast(pl.Int32),
        "label",
        "line",
        pl.col("frequency").cast(pl.Float32),
        pl.col("clarity").cast(pl.Float32),
    )
    return table, places


def _sign() -> pl.Expr:
    splits, merges = pl.col("split") > 1, pl.col("merge") > 1
    return (
        pl.when(splits & merges)
        .then(pl.lit(BOTH))
        .when(splits)
        .then(pl.lit(SPLITS))
        .when(merges)
        .then(pl.lit(MERGES))
        .otherwise(pl.lit(ALONE))
    )


def _clarity(members: pl.DataFrame, tokens: pl.DataFrame) -> pl.DataFrame:
    """`first`, `clarity`, `node`, `token`: how much is on one token, and whose is most."""
    fired = members.select("first", "length", "node").join(
        tokens.select("node", folded("token").alias("token"), "weight"), on="node"
    )
    return (
        fired.sort("first", "weight", "node", descending=[False, True, False])
        .group_by("first", "token", maintain_order=True)
        .agg(
            (pl.col("weight").sum() / pl.col("length").first()).alias("clarity"),
            pl.col("node").first(),
        )
        .sort("first", "clarity", "token", descending=[False, True, False])
        .group_by("first", maintain_order=True)
        .agg(pl.col("clarity", "node", "token").first())
    )


def _lines(members: pl.DataFrame, nodes: Nodes) -> pl.DataFrame:
    """`first`, `line`: a sign for every SAE of the chain, as far as the track's last feature."""
    codes = {name: code for code, name in enumerate(nodes.layers.names)}
    chain = {codes[name]: place for place, name in enumerate(nodes.layers.chain)}
    place = pl.col("site").replace_strict(chain, default=None, return_dtype=pl.Int64)
    before = pl.col("place").shift(1).over("first").fill_null(-1)
    gap = pl.lit(NOWHERE).repeat_by(pl.col("place") - before - 1).list.join("")
    return (
        members.with_columns(place.alias("place"))
        .drop_nulls("place")
        .sort("first", "place")
        .with_columns(gap.alias("gap"))
        .group_by("first", maintain_order=True)
        .agg((pl.col("gap") + pl.col("sign")).str.join("").alias("line"))
    )

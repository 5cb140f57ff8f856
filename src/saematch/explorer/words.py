"""Which features fire on a token: a vocabulary, and for each of its words a range of rows."""

from __future__ import annotations

import polars as pl


def words(tokens: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Vocabulary and postings.

    Args:
        tokens: `node`, `token`, `weight`; see `saematch.explorer.nodes.Nodes.tokens`.

    Returns:
        `token` (in alphabetical order), `features` (how many fire on it), `first` (row of its first
        posting); and `node`, `weight` of every token in turn, the largest weight first.
    """
    ordered = tokens.sort("token", "weight", "node", descending=[False, True, False])
    vocabulary = ordered.group_by("token", maintain_order=True).agg(
        pl.len().cast(pl.Int32).alias("features")
    )
    first = (pl.col("features").cum_sum() - pl.col("features")).cast(pl.Int32).alias("first")
    postings = ordered.select(pl.col("node").cast(pl.Int32), pl.col("weight").cast(pl.Float32))
    return vocabulary.with_columns(first), postings

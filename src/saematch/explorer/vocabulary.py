"""Which features fire on a token: a vocabulary, and a range of postings for each token."""

from __future__ import annotations

import polars as pl


def postings_of(tokens: pl.DataFrame, tracks: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Vocabulary and postings.

    Args:
        tokens: `node`, `token`, `weight`; see `saematch.explorer.nodes.Nodes.tokens`.
        tracks: `node`, `track`; see `saematch.explorer.tracks.tracks`.

    Returns:
        Vocabulary: `token` (in alphabetical order), `features` (how many fire on it), `first` (row
        of its first posting). Postings: `node`, `weight`, `track`, token by token, largest weight
        first.
    """
    ordered = tokens.sort("token", "weight", "node", descending=[False, True, False])
    vocabulary = ordered.group_by("token", maintain_order=True).agg(
        pl.len().cast(pl.Int32).alias("features")
    )
    first = (pl.col("features").cum_sum() - pl.col("features")).cast(pl.Int32).alias("first")
    postings = ordered.join(tracks, on="node", how="left", maintain_order="left").select(
        pl.col("node").cast(pl.Int32), pl.col("weight").cast(pl.Float32), "track"
    )
    return vocabulary.with_columns(first), postings

"""The words of labels, by which features are found."""

from __future__ import annotations

import polars as pl

_MARKS = ".,;:!?\"'`()[]{}<>\u201c\u201d\u2018\u2019«»"


def label_words(labels: pl.DataFrame) -> pl.DataFrame:
    """`site`, `feature`, `token`, `weight`: the words of labels in lower case.

    Marks around a word do not count; the weights of a label sum to 1, as those of `top_tokens`.

    Args:
        labels: `site`, `feature`, `label`, one row per feature.
    """
    word = pl.col("label").str.to_lowercase().str.extract_all(r"\S+")
    bare = pl.col("token").str.strip_chars(_MARKS)
    return (
        labels.select("site", "feature", word.alias("token"))
        .explode("token")
        .drop_nulls("token")
        .with_columns(pl.when(bare == "").then("token").otherwise(bare).alias("token"))
        .unique(["site", "feature", "token"], maintain_order=True)
        .with_columns((1 / pl.len().over("site", "feature")).alias("weight"))
    )

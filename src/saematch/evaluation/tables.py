"""The table of an evaluation, read."""

from __future__ import annotations

import polars as pl


def nearest(table: pl.DataFrame) -> pl.DataFrame:
    """The rows of the least distance above 0; of distance 0 where there is no other."""
    apart = table.filter(pl.col("skipped") > 0)
    some = apart if len(apart) else table
    return some.filter(pl.col("skipped") == pl.col("skipped").min())


def main_carry(table: pl.DataFrame) -> pl.DataFrame:
    """Adds `main`: whether activations were rescaled in the first way, that of all variants."""
    first = table.filter(estimate="match + error").unique(["a", "b"]).select("a", "b", way="carry")
    chains = table.filter(estimate="composed").unique(["a", "b"]).select("a", "b", other="carry")
    found = table.join(first, on=["a", "b"], how="left", maintain_order="left").join(
        chains, on=["a", "b"], how="left", maintain_order="left"
    )
    way = pl.when(pl.col("estimate") == "composed").then("other").otherwise("way")
    main = pl.col("carry").is_null() | pl.col("carry").eq_missing(way)
    return found.with_columns(main=main).drop("way", "other")

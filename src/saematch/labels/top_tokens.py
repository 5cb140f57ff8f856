"""What features fire on in a word or two: the tokens of their top contexts."""

from __future__ import annotations

import polars as pl

from saematch.runs.run import Run

SHOWN = 4  # tokens of a label
# tokens of nothing else are shown by these signs
_SIGNS = {"\n": "↵", "\r": "↵", "\t": "⇥", " ": "␣"}


def top_tokens(run: Run) -> pl.DataFrame:
    """`site`, `feature`, `token`, `weight`: the tokens that features fire on most.

    One row per feature and token; the weights of a feature sum to 1, so that each counts alike
    however many contexts are known of it. Case and the spaces around a token do not count. Features
    without contexts have no row.

    Raises:
        RunError: a table of the run cannot be read.
    """
    tables = []
    for name in run.names:
        contexts = run.contexts(name)
        if contexts is not None:
            tables.append(feature_tokens(contexts).with_columns(pl.lit(name).alias("site")))
    if not tables:
        return pl.DataFrame(schema=_SCHEMA)
    return pl.concat(tables).select(*_SCHEMA)


def feature_labels(tokens: pl.DataFrame) -> pl.DataFrame:
    """`site`, `feature`, `label`: the commonest of a feature's `top_tokens`, joined."""
    return (
        tokens.sort("weight", "token", descending=[True, False])
        .group_by("site", "feature", maintain_order=True)
        .agg(pl.col("token").head(SHOWN))
        .select("site", "feature", joined("token").alias("label"))
    )


def joined(column: str) -> pl.Expr:
    """A list of tokens as one label."""
    return pl.col(column).list.join(", ")


def feature_tokens(contexts: pl.DataFrame) -> pl.DataFrame:
    """`feature`, `token`, `weight` of an SAE's contexts; see `top_tokens`."""
    plain = pl.col("token").str.strip_chars().str.to_lowercase()
    blank = pl.col("token").str.replace_many([*_SIGNS], [*_SIGNS.values()])
    blank = blank.str.replace_all(r"␣{2,}", "␣")
    return (
        contexts.select("feature", pl.col("contexts").list.eval(pl.element().struct["token"]))
        .explode("contexts")
        .drop_nulls()
        .rename({"contexts": "token"})
        .filter(pl.col("token") != "")
        .with_columns(pl.when(plain == "").then(blank).otherwise(plain).alias("token"))
        .group_by("feature", "token")
        .len()
        .with_columns((pl.col("len") / pl.col("len").sum().over("feature")).alias("weight"))
    )


_SCHEMA = {"site": pl.String, "feature": pl.Int64, "token": pl.String, "weight": pl.Float64}

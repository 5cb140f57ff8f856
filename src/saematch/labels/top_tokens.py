"""What features fire on in a word or two: the tokens of their top contexts."""

from __future__ import annotations

import polars as pl

from saematch.runs.run import Run

SHOWN = 4  # tokens of a label
LONGEST = 24  # characters of a token in it
SPACE = "␣"  # what stands for spaces before a token, and for tokens of nothing else
ALIKE = 0.8  # of a token's weight: above it, one way of writing is the token's own
# tokens of nothing else are shown by these signs
_SIGNS = {"\n": "↵", "\r": "↵", "\t": "⇥", " ": SPACE}


def top_tokens(run: Run) -> pl.DataFrame:
    """`site`, `feature`, `token`, `weight`: the tokens that features fire on most.

    One row per feature and token; the weights of a feature sum to 1, so that each counts alike
    however many contexts are known of it. Tokens are as `merged` writes them: ` d` is `␣d` and `P`
    is `P`, and a feature that fires on `she` and `She` alike has one token, `she`. Features without
    contexts have no row.

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
    """A list of tokens as one label, in which long ones are cut."""
    token = pl.element()
    cut = token.str.head(LONGEST - 1) + "…"
    short = pl.when(token.str.len_chars() > LONGEST).then(cut).otherwise(token)
    return pl.col(column).list.eval(short).list.unique(maintain_order=True).list.join(", ")


def feature_tokens(contexts: pl.DataFrame) -> pl.DataFrame:
    """`feature`, `token`, `weight` of an SAE's contexts; see `top_tokens`."""
    bare = pl.col("token").str.strip_chars()
    spaced = pl.when(pl.col("token").str.contains(r"^\s")).then(pl.lit(SPACE)).otherwise(pl.lit(""))
    blank = pl.col("token").str.replace_many([*_SIGNS], [*_SIGNS.values()])
    blank = blank.str.replace_all(f"{SPACE}{{2,}}", SPACE)
    written = (
        contexts.select("feature", pl.col("contexts").list.eval(pl.element().struct["token"]))
        .explode("contexts")
        .drop_nulls()
        .rename({"contexts": "token"})
        .filter(pl.col("token") != "")
        .with_columns(pl.when(bare == "").then(blank).otherwise(spaced + bare).alias("token"))
        .group_by("feature", "token")
        .len("weight")
    )
    share = pl.col("weight") / pl.col("weight").sum().over("feature")
    return merged(written, "feature").with_columns(share)


def folded(column: str) -> pl.Expr:
    """A token without its case and the space before it: what `She`, `␣she` and `she` share."""
    plain = pl.col(column).str.strip_prefix(SPACE).str.to_lowercase()
    return pl.when(plain == "").then(pl.col(column)).otherwise(plain)


def merged(tokens: pl.DataFrame, by: str) -> pl.DataFrame:
    """Tokens that differ in case or the space before them as one, with the sum of their weights.

    It is written as more than `ALIKE` of its weight is: with that case, else in lower case; with
    the space, else without.

    Args:
        tokens: `token`, `weight`, and the column `by`.
        by: whose tokens are merged.

    Returns:
        The same columns, one row per value of `by` and `folded` token.
    """
    key = [by, "folded"]
    bare = pl.col("token").str.strip_prefix(SPACE)
    spaced = pl.col("token") != pl.col("bare")
    written = tokens.with_columns(
        folded("token").alias("folded"),
        pl.when(bare == "").then("token").otherwise(bare).alias("bare"),
    ).with_columns(pl.when(spaced).then("weight").otherwise(0).alias("spaced"))
    cases = (
        written.group_by(*key, "bare")
        .agg(pl.col("weight", "spaced").sum())
        .sort("weight", "bare", descending=[True, False])
        .group_by(*key, maintain_order=True)
        .agg(
            pl.col("bare").first(),
            pl.col("weight").first().alias("most"),
            pl.col("weight", "spaced").sum(),
        )
    )
    own = pl.when(pl.col("most") > ALIKE * pl.col("weight")).then("bare").otherwise("folded")
    space = pl.when(pl.col("spaced") > ALIKE * pl.col("weight")).then(pl.lit(SPACE))
    return cases.select(by, (space.otherwise(pl.lit("")) + own).alias("token"), "weight")


_SCHEMA = {"site": pl.String, "feature": pl.Int64, "token": pl.String, "weight": pl.Float64}

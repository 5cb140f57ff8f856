"""How clean each community is: whether one thing can be said of all that is in it."""

from __future__ import annotations

import polars as pl

from saematch.explorer.nodes import Nodes
from saematch.runs.run import Run

_WORD = r"[\p{L}\p{N}_]"


def clean(run: Run, nodes: Nodes) -> pl.DataFrame:
    """Figures to order communities by, so that those which read well come first.

    Args:
        run: the run of `nodes`.
        nodes: its features.

    Returns:
        One row per community that has a label, of shares from 0 to 1: `community`; `agreement`,
        what share of its members' top contexts have a token of its label, on average over all
        members; `words`, how often these tokens are whole words in the strongest contexts, on
        average over the tokens; `clean`, the product of both and of the share of SAEs that the
        community touches.

    Raises:
        RunError: a table of the run cannot be read.
    """
    table = nodes.flow_table("communities")
    if not len(table) or not table["tokens"].drop_nulls().len():
        return pl.DataFrame()
    own = (
        table.select("community", "tokens")
        .explode("tokens")
        .drop_nulls()
        .select("community", _plain("tokens").alias("token"))
        .unique()
    )
    members = nodes.communities().with_columns(pl.col("community").cast(pl.Int64))
    said = (
        members.join(nodes.tokens.with_columns(_plain("token")), on="node")
        .join(own, on=["community", "token"], how="semi")
        .group_by("community", "node")
        .agg(pl.col("weight").sum().clip(upper_bound=1))
        .group_by("community")
        .agg(pl.col("weight").sum().alias("said"))
    )
    words = (
        own.join(_whole(run, nodes), on="token", how="left")
        .group_by("community")
        .agg(pl.col("whole").fill_null(0).mean().alias("words"))
    )
    span = pl.col("sites") / len(nodes.layers.names)
    return (
        table.join(words, on="community")
        .join(said, on="community", how="left")
        .with_columns((pl.col("said").fill_null(0) / pl.col("size")).alias("agreement"))
        .select(
            pl.col("community").cast(pl.Int32),
            pl.col("agreement", "words").cast(pl.Float32),
            (pl.col("agreement") * pl.col("words") * span).cast(pl.Float32).alias("clean"),
        )
        .sort("community")
    )


def _plain(name: str) -> pl.Expr:
    """A token without the marks by which runs of other versions tell it from others."""
    return pl.col(name).str.to_lowercase().str.strip_chars(" ␣")


def _whole(run: Run, nodes: Nodes) -> pl.DataFrame:
    """`token`, `whole`: the share of features that fire most on it in which it is a whole word."""
    parts = [pl.DataFrame(schema={"token": pl.String, "whole": pl.Boolean})]
    before = pl.col("token").str.contains(r"^\s") | ~pl.col("before").str.contains(f"{_WORD}$")
    after = ~pl.col("after").str.contains(f"^{_WORD}")
    for name in nodes.layers.names:
        contexts = run.contexts(name)
        if contexts is not None:
            best = contexts.select(pl.col("contexts").list.first()).drop_nulls().unnest("contexts")
            whole = before & after & pl.col("token").str.contains(r"\p{L}")
            parts.append(best.select(_plain("token"), whole.alias("whole")))
    return pl.concat(parts).group_by("token").agg(pl.col("whole").mean())

"""How features and their targets fire: correlations and tokens in common, for the page."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import polars as pl

from saematch.errors import RunError
from saematch.explorer.nodes import Nodes
from saematch.files.foreign import scan_parquet
from saematch.labels.top_tokens import folded
from saematch.runs.run import Run

STATISTIC = "pearson"
_RANGES = {
    "table": pl.String,
    "a": pl.String,
    "b": pl.String,
    "statistic": pl.String,
    "first": pl.Int32,
    "rows": pl.Int32,
}
_PEARSON = {"source": pl.Int64, "target": pl.Int64, STATISTIC: pl.Float32}
_SIDES = (("targets", "feature", "target"), ("sources", "source", "feature"))


@dataclass(frozen=True, eq=False)
class Correlations:
    """The correlations of activations that a run has, by node."""

    run: Run
    nodes: Nodes
    pearson: pl.DataFrame  # source, target, pearson

    def of_pairs(self) -> Iterator[tuple[tuple[str, str], pl.DataFrame]]:
        """For each pair, `pearson` and `common` of each feature of A and its target, in order."""
        tokens = {
            name: frame.select("feature", folded("token").alias("token"), "weight")
            for (name,), frame in self.nodes.top_tokens.partition_by("site", as_dict=True).items()
        }
        for a, b in self.run.pairs:
            pair = self.run.pair(a, b).select("feature", "target")
            ends = pair.select(
                (pl.col("feature") + self.nodes.starts[a]).alias("source"),
                (pl.col("target") + self.nodes.starts[b]).alias("target"),
            )
            of = self.pearson.filter(pl.col("source").is_between(*self._ends(a), closed="left"))
            known = ends.join(of, on=["source", "target"], how="left", maintain_order="left")
            common = pl.Series("common", [None] * len(pair), pl.Float32)
            if a in tokens and b in tokens:
                common = tokens_in_common(pair, tokens[a], tokens[b])
            yield (a, b), known.select(STATISTIC, common)

    def _ends(self, name: str) -> tuple[int, int]:
        """The first node of an SAE, and the one after its last."""
        start = self.nodes.starts[name]
        return start, start + self.nodes.layers.features[name]


def tokens_in_common(pair: pl.DataFrame, of_a: pl.DataFrame, of_b: pl.DataFrame) -> pl.Series:
    """How far a feature and its target fire on the same tokens: `common`, from 0 to 1.

    The sum over tokens of the lesser of both weights. 1: the same tokens, as often; 0: none in
    common; null: no contexts are known of one of them, or there is no target.

    Args:
        pair: `feature`, `target`.
        of_a: `feature`, `token`, `weight` of the features; see `saematch.labels.top_tokens`.
        of_b: the same of the targets.
    """
    both = (
        pair.join(of_a, on="feature")
        .join(of_b.rename({"feature": "target"}), on=["target", "token"], suffix="_target")
        .group_by("feature")
        .agg(pl.min_horizontal("weight", "weight_target").sum().alias("common"))
    )
    known = pl.col("feature").is_in(of_a["feature"].implode()) & pl.col("target").is_in(
        of_b["feature"].implode()
    )
    return (
        pair.join(both, on="feature", how="left", maintain_order="left")
        .select(pl.when(known).then(pl.col("common").fill_null(0)).cast(pl.Float32))
        .to_series()
        .alias("common")
    )


def rows_of_pairs(run: Run) -> pl.DataFrame:
    """The rows of relations/targets.parquet and sources.parquet that each pair and statistic has.

    Columns `table`, `a`, `b`, `statistic`, `first`, `rows`. No rows if there are no such tables, or
    if the rows of a pair are not contiguous.
    """
    parts = [pl.DataFrame(schema=_RANGES)]
    for table, _, _ in _SIDES:
        scan = _scan(run, table)
        if scan is None:
            continue
        found = (
            scan.select("a", "b", "statistic")
            .with_row_index("row")
            .group_by("a", "b", "statistic")
            .agg(
                pl.col("row").min().alias("first"),
                pl.len().alias("rows"),
                pl.col("row").max().alias("last"),
            )
            .sort("first")
            .collect()
        )
        if (found["last"] - found["first"] + 1 == found["rows"]).all():
            found = found.with_columns(pl.lit(table).alias("table"))
            parts.append(found.select(pl.col(name).cast(kind) for name, kind in _RANGES.items()))
    return pl.concat(parts)


def correlations(run: Run, nodes: Nodes) -> Correlations:
    """The correlations of the partners that a run keeps, of targets and sources."""
    parts = [pl.DataFrame(schema=_PEARSON)]
    for table, source, target in _SIDES:
        scan = _scan(run, table)
        if scan is None:
            continue
        known = pl.col("a").is_in(list(nodes.starts)) & pl.col("b").is_in(list(nodes.starts))
        rows = scan.filter(known, statistic=STATISTIC).collect()
        parts.append(
            rows.select(
                nodes.number("a", source).alias("source"),
                nodes.number("b", target).alias("target"),
                pl.col("value").cast(pl.Float32).alias(STATISTIC),
            )
        )
    pearson = pl.concat(parts).unique(["source", "target"], keep="first", maintain_order=True)
    return Correlations(run, nodes, pearson)


def _scan(run: Run, table: str) -> pl.LazyFrame | None:
    """A co-activation table, scanned lazily: a large run has many millions of rows."""
    found = run.section("relations")
    if found is None or table not in found.tables:
        return None
    return scan_parquet(run.path / found.tables[table], error=RunError)

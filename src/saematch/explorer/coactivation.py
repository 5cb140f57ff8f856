"""The co-activation of a run's pairs, if `saematch relate` computed it, as the page reads it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import polars as pl

from saematch.errors import RunError
from saematch.explorer.nodes import Nodes
from saematch.files.foreign import scan_parquet
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
    pairs: tuple[tuple[str, str], ...]  # matched pairs with any correlations

    def of_pairs(self) -> Iterator[tuple[tuple[str, str], pl.DataFrame]]:
        """For each matched pair, `pearson` of each feature of A and its target, in order."""
        for a, b in self.pairs:
            pair = self.run.pair(a, b).select(
                (pl.col("feature") + self.nodes.starts[a]).alias("source"),
                (pl.col("target") + self.nodes.starts[b]).alias("target"),
            )
            of = self.pearson.filter(pl.col("source").is_between(*self._ends(a), closed="left"))
            known = pair.join(of, on=["source", "target"], how="left", maintain_order="left")
            yield (a, b), known.select(STATISTIC)

    def _ends(self, name: str) -> tuple[int, int]:
        """The first node of an SAE, and the one after its last."""
        start = self.nodes.starts[name]
        return start, start + self.nodes.layers.features[name]


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
    pairs: dict[tuple[str, str], None] = {}
    for table, source, target in _SIDES:
        scan = _scan(run, table)
        if scan is None:
            continue
        known = pl.col("a").is_in(list(nodes.starts)) & pl.col("b").is_in(list(nodes.starts))
        rows = scan.filter(known, statistic=STATISTIC).collect()
        pairs |= dict.fromkeys(rows.select("a", "b").unique(maintain_order=True).iter_rows())
        parts.append(
            rows.select(
                nodes.number("a", source).alias("source"),
                nodes.number("b", target).alias("target"),
                pl.col("value").cast(pl.Float32).alias(STATISTIC),
            )
        )
    pearson = pl.concat(parts).unique(["source", "target"], keep="first", maintain_order=True)
    done = set(run.pairs)
    return Correlations(run, nodes, pearson, tuple(pair for pair in pairs if pair in done))


def _scan(run: Run, table: str) -> pl.LazyFrame | None:
    """A co-activation table, scanned lazily: a large run has many millions of rows."""
    found = run.section("relations")
    if found is None or table not in found.tables:
        return None
    return scan_parquet(run.path / found.tables[table], error=RunError)

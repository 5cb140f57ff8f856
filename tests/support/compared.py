"""Small comparisons and second runs of the same SAEs, for the page's views of both."""

import functools
import shutil
import tempfile
from itertools import combinations, pairwise
from pathlib import Path

import polars as pl

import saematch
from saematch.layers.shared import Comparison
from saematch.runs.run import Run
from support.stand_in import write_shipped

SAES = 4


def write_compared(root: Path) -> Run:
    """A run of `saematch compare` over four SAEs with contexts; matched only once."""
    return _copied(_compared(), root / "compared")


def write_other(root: Path) -> Run:
    """A run over the SAEs of `support.explored.write_run`, by another method; two steps of it."""
    return _copied(_other(), root / "other")


def _copied(kept: tempfile.TemporaryDirectory, target: Path) -> Run:
    shutil.copytree(Path(kept.name) / "run", target)
    return Run.open(target)


def _loaded(root: Path) -> list:
    folder = write_shipped(root / "data", d_in=32) / "saes"
    return [saematch.load(folder / f"resid_post_{layer}") for layer in range(SAES)]


@functools.cache
def _compared() -> tempfile.TemporaryDirectory:
    kept = tempfile.TemporaryDirectory()
    root = Path(kept.name)
    saes = _loaded(root)
    run = Run.create(root / "run", "compare", {"fdr": 0.05, "method": "paulo-belrose"}, saes)
    for (a, x), (b, y) in combinations(zip(run.names, saes, strict=True), 2):
        matching = saematch.match(x, y, "cosine")
        run.add_pair(a, b, matching)
    comparison = Comparison.of(run)
    run.add("compare", comparison.tables, comparison.summary())
    run.finish()
    return kept


@functools.cache
def _other() -> tempfile.TemporaryDirectory:
    kept = tempfile.TemporaryDirectory()
    root = Path(kept.name)
    saes = _loaded(root)
    run = Run.create(root / "run", "match", {"fdr": 0.05, "method": "feature-flow"}, saes)
    named = [*zip(run.names, saes, strict=True)]
    for (a, x), (b, y) in [*pairwise(named)][:2]:
        run.add_pair(a, b, saematch.match(x, y, "feature-flow"))
        _changed(run.path / "pairs" / f"{a}--{b}.parquet")
    run.finish()
    return kept


def _changed(place: Path) -> None:
    """Every fifth feature goes elsewhere, every fifth is matched where it was not, or reverse."""
    table, fifth = pl.read_parquet(place), pl.col("feature") % 5
    table.with_columns(
        target=pl.when(fifth == 0).then((pl.col("target") + 1) % len(table)).otherwise("target"),
        matched=pl.when(fifth == 1).then(~pl.col("matched")).otherwise("matched"),
    ).write_parquet(place)


def parts_of(run: Run, other: Run, a: str, b: str) -> list[str | None]:
    """The part that each feature of A is in, told one by one."""
    found: list[str | None] = []
    tables: tuple[pl.DataFrame, ...] = (run.pair(a, b), other.pair(a, b))
    for rows in zip(*(table.iter_rows(named=True) for table in tables), strict=True):
        used = [row["excluded"] is None for row in rows]
        seen = [row["matched"] and ok for row, ok in zip(rows, used, strict=True)]
        if all(seen):
            found.append("same" if rows[0]["target"] == rows[1]["target"] else "different")
        elif any(seen):
            found.append("first" if seen[0] else "second")
        else:
            found.append("neither" if any(used) else None)
    return found

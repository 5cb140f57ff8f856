"""Single numbers out of a reproduction's tables."""

from __future__ import annotations

import polars as pl

from saematch.evaluation.tables import main_carry
from saematch.plots import Missing
from saematch.reproduction.reproduction import Reproduction
from saematch.runs.run import Run


def evaluated_run(made: Reproduction, name: str) -> Run:
    """A run that is evaluated, or the reason why a section is left out."""
    run = made.runs[name]
    if run.section("evaluation") is None:
        raise Missing(f"the run {name} is not evaluated")
    return run


def ratio(table: pl.DataFrame, way: str, base: str) -> float | None:
    """Median over pairs of a way's mean error as a share of another's."""
    both = table.filter(method=way).join(table.filter(method=base), on=["a", "b"], suffix="_base")
    found = (both["mean"] / both["mean_base"]).median()
    return found if isinstance(found, float) else None


def median_of(table: pl.DataFrame, way: str) -> float:
    """Median over pairs of the mean correlation of a way of matching."""
    found = table.filter(method=way)["mean"].median()
    return found if isinstance(found, float) else float("nan")


def won(table: pl.DataFrame, way: str) -> str:
    """In how many pairs the interval of the difference from SAE Match is above, or below, 0."""
    rows = table.filter(method=way)
    more, less = (
        rows.filter(pl.col("gain_low") > 0).height,
        rows.filter(pl.col("gain_high") < 0).height,
    )
    return f"better in {more} and worse in {less} of {rows.height} pairs"


def cost_of(table: pl.DataFrame, name: str, links: str | None = None) -> float | None:
    """Median over cases of an estimate's figure."""
    rows = table.filter(pl.col("estimate") == name, pl.col("q").is_null())
    if links is not None:
        rows = rows.filter(pl.col("links") == links)
    found = rows["value"].median()
    return found if isinstance(found, float) else None


def against_drop(near: pl.DataFrame, name: str, links: str) -> tuple[int, int, int]:
    """In how many cases an estimate costs more than dropping the layer, less, and all cases."""
    rows = near.filter(
        pl.col("estimate") == name,
        pl.col("links") == links,
        pl.col("q").is_null(),
        metric="delta-loss less drop's",
    )
    more, less = rows.filter(pl.col("low") > 0).height, rows.filter(pl.col("high") < 0).height
    return more, less, rows.height


def one(table: pl.DataFrame, a: str, b: str, column: str) -> float | None:
    """The figure of one pair."""
    rows = table.filter(a=a, b=b)
    return rows[column][0] if len(rows) else None


def costs(run: Run, a: str, b: str) -> dict[str, float | None]:
    """Mean over text sets of what the estimate along a pair's matches explains and costs."""
    if run.section("evaluation") is None:
        return {}
    table = main_carry(run.table("evaluation", "values")).filter("main")
    rows = table.filter(a=a, b=b, estimate="match", links="assigned")
    found = {}
    for metric, name in (
        ("explained variance", "explained_variance"),
        ("delta-loss", "delta_loss"),
    ):
        found[name] = rows.filter(metric=metric)["value"].mean()
    return found

"""What the first view tells: how features continue from each SAE to the others."""

from __future__ import annotations

from statistics import NormalDist

import numpy as np
import polars as pl

from saematch.explorer.nodes import Nodes
from saematch.layers.splits import splits
from saematch.runs.run import Run

COLUMNS = {
    "a": pl.String,
    "b": pl.String,
    "adjacent": pl.Boolean,
    "used_a": pl.Int32,
    "used_b": pl.Int32,
    "assigned": pl.Int32,
    "matched": pl.Int32,
    "unmatched_a": pl.Int32,
    "reached": pl.Int32,
    "unmatched_b": pl.Int32,
    "splits": pl.Int32,
    "split_parts": pl.Int32,
    "merges": pl.Int32,
    "merge_parts": pl.Int32,
    "beyond": pl.Float64,
}
LINKS = {
    "mode": pl.String,
    "a": pl.String,
    "b": pl.String,
    "leaving": pl.Int32,
    "arriving": pl.Int32,
}
EXAMPLES = 3
# of a normal distribution, as far below and above the median as one standard deviation
_BELOW, _ABOVE = NormalDist().cdf(-1), NormalDist().cdf(1)


def overview(run: Run, nodes: Nodes) -> pl.DataFrame:
    """The counts of every pair, in the order of the run (docs/reference/explorer.md: `pairs`)."""
    groups = nodes.flow_table("splits")
    if not len(groups):
        groups = splits(nodes.layers)
    counted = {
        (kind, a, b): (features, parts)
        for kind, a, b, features, parts in groups.group_by("kind", "a", "b")
        .agg(pl.col("feature").n_unique(), pl.len())
        .iter_rows()
    }
    adjacent = set(nodes.layers.adjacent())
    rows = []
    for (a, b), figures in run.summaries.items():
        used = [figures[f"features_{side}"] - figures[f"excluded_{side}"] for side in "ab"]
        reached = run.pair(a, b).filter("matched")["target"].n_unique()
        matched = figures["matched"]
        row = [a, b, (a, b) in adjacent, *used, figures["assigned"], matched, used[0] - matched]
        row += [reached, used[1] - reached]
        row += [*counted.get(("split", a, b), (0, 0)), *counted.get(("merge", a, b), (0, 0))]
        row.append(beyond(run.null(a, b), figures.median_statistic))
        rows.append(row)
    return pl.DataFrame(rows, schema=COLUMNS, orient="row")


def beyond(histogram: pl.DataFrame, median: float | None) -> float | None:
    """How far matches lie above chance, in spreads of chance: a unit that pairs share.

    Scores of two pairs are not in one unit: their chance differs, in height and in spread. The
    distance of the median match from the median of chance, divided by the spread of chance (half of
    what holds its middle 68 %, for a normal distribution one standard deviation), is.

    Args:
        histogram: `low`, `high` and `null` of the bins of the statistic tested, as in nulls/.
        median: of the same statistic, over the matches.

    Returns:
        None without a null or matches, or where nearly all of chance is in one bin: then the
        histogram does not say what its spread is.
    """
    weight = histogram["null"].to_numpy()
    if median is None or not weight.sum():
        return None
    edges = np.append(histogram["low"].to_numpy(), histogram["high"][-1])
    share = np.append(0.0, weight.cumsum() / weight.sum())
    low, middle, high = np.interp([_BELOW, 0.5, _ABOVE], share, edges)
    spread, width = (high - low) / 2, edges[1] - edges[0]
    if spread < 0.6 * width:
        return None
    # as if chance were even within a bin, the histogram is wider than it (Sheppard)
    return float((median - middle) / np.sqrt(spread**2 - width**2 / 12))


def links(nodes: Nodes) -> pl.DataFrame:
    """How many features tracks lead from one SAE to another, by mode.

    `mode`, `a`, `b`; `leaving`, features of A whose link leads to B, and `arriving`, features of B
    that one of them leads to: fewer, where tracks run together. All links out of an SAE and its
    deaths add up to its features; so do, unless tracks run together, all links into it and its
    births.
    """
    tracks = nodes.flow_table("tracks")
    if not len(tracks):
        return pl.DataFrame(schema=LINKS)
    place = {name: i for i, name in enumerate(nodes.layers.chain)}
    order = [pl.col(name).replace_strict(place) for name in "ab"]
    before = pl.col("site", "feature").shift(1).name.suffix("_a")
    return (
        tracks.with_columns(before)
        .filter(pl.col("position") > 0)
        .group_by("mode", pl.col("site_a").alias("a"), pl.col("site").alias("b"))
        .agg(
            pl.col("feature_a").n_unique().alias("leaving"),
            pl.col("feature").n_unique().alias("arriving"),
        )
        .sort("mode", *order)
        .select(pl.col(name).cast(kind) for name, kind in LINKS.items())
    )


def examples(tracks: pl.DataFrame, layers: int) -> list[int]:
    """Rows of tracks to begin with: one that lives throughout, one that is born, one that dies.

    Args:
        tracks: the page's table of them, those first that are clear and rare (`line`: a sign for
            each layer up to the track's last, `.` where it has no feature; `length`; `label`).
        layers: how many there are.

    Returns:
        At most `EXAMPLES`; where one of these kinds is missing, the next best. They live for a
        third of the layers where such are there, and their labels begin with different tokens.
    """
    known = tracks.with_row_index("row").filter(pl.col("length") > 1, pl.col("line").is_not_null())
    known = known.with_columns(
        pl.col("label").fill_null("").str.split(", ").list.first().str.to_lowercase().alias("token")
    )
    born, whole = pl.col("line").str.starts_with("."), pl.col("line").str.len_chars() == layers
    long = 3 * pl.col("line").str.strip_chars_start(".").str.len_chars() >= layers
    kinds = [~born & whole, born & long, ~born & ~whole & long, *[long] * EXAMPLES]
    chosen: list[int] = []
    for kind in (*kinds, *[pl.lit(value=True)] * EXAMPLES):
        if len(chosen) == EXAMPLES:
            break
        some = known.filter(kind).head(1)
        chosen += some["row"].to_list()
        known = known.join(some, on="token", how="anti", maintain_order="left")
    return chosen

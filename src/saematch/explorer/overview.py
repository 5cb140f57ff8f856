"""One row per pair of SAEs: how features continue from one to the other."""

from __future__ import annotations

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
}


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
        rows.append(row)
    return pl.DataFrame(rows, schema=COLUMNS, orient="row")

"""What the page shows of a comparison: of every feature, which other SAEs share it."""

from __future__ import annotations

import polars as pl

from saematch.errors import RunError
from saematch.explorer.nodes import Nodes
from saematch.runs.run import Run

COLUMNS = {"shared_with": pl.Int32, "cluster": pl.Int32, "nearest": pl.Float32}


def shared(run: Run, nodes: Nodes) -> pl.DataFrame | None:
    """One row per feature, in the order of nodes; None of a run that was not compared.

    Args:
        run: the run of `nodes`.
        nodes: its features.

    Returns:
        `shared_with` (how many other SAEs share it; null if it takes no part), `cluster` (null of
        orphans), `nearest` (the largest decoder cosine with the features of other SAEs that it is
        assigned to, shared or not).

    Raises:
        RunError: a table of the run cannot be read, or knows SAEs that the run does not have.
    """
    if run.section("compare") is None:
        return None
    table = run.table("compare", "features")
    if unknown := set(table["sae"]) - set(nodes.starts):
        raise RunError(f"{run.path}: compare/features names SAEs that the run lacks: {unknown}")
    found = table.select(
        nodes.number("sae", "feature").alias("node"),
        pl.col("shared_with", "cluster").cast(pl.Int32),
    )
    every = pl.DataFrame({"node": range(nodes.total)}, schema={"node": pl.Int64})
    return (
        every.join(found, on="node", how="left", maintain_order="left")
        .join(_nearest(run, nodes), on="node", how="left", maintain_order="left")
        .select(pl.col(name).cast(kind) for name, kind in COLUMNS.items())
    )


def _nearest(run: Run, nodes: Nodes) -> pl.DataFrame:
    parts = [pl.DataFrame(schema={"node": pl.Int64, "nearest": pl.Float32})]
    for a, b in run.pairs:
        pair = run.pair(a, b).drop_nulls("target")
        for site, feature in ((a, "feature"), (b, "target")):
            node = (pl.col(feature).cast(pl.Int64) + nodes.starts[site]).alias("node")
            parts.append(pair.select(node, pl.col("decoder_cosine").alias("nearest")))
    return pl.concat(parts).group_by("node").agg(pl.col("nearest").max())

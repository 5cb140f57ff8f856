"""`saematch.changes`: which features of a layer are new, gone, split, merged."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from saematch.errors import SaematchError
from saematch.files.directory import writing
from saematch.labels.of_run import labels_of
from saematch.layers.changes import changes as changes_of
from saematch.layers.layers import Layers
from saematch.layers.tracing import site_of
from saematch.workflows.runs import GivenRun, opened_run

ENDINGS = (".csv", ".json", ".parquet")


def changes(run: GivenRun, site: str | int, *, export: str | Path | None = None) -> pl.DataFrame:
    """The features of a layer that are new in it, gone after it, split or merged.

    Compared with the nearest layers before and after that the run has matched with it, the surest
    of each kind first.

    Args:
        run: a run or its directory.
        site: the name of an SAE, or a layer of the residual stream.
        export: also write the table to NAME.csv, .json or .parquet.

    Returns:
        One row per feature and kind: the columns of `saematch.layers.changes.changes`, and `label`,
        what the feature is said to mean, else the tokens it fires on most; null where
        neither is known.

    Raises:
        RunError: there is no such run or SAE, the run has matched no neighbour of it, or it was
            matched without a null.
        SaematchError: another ending, or the file cannot be written.
    """
    if export is not None and Path(export).suffix not in ENDINGS:
        raise SaematchError(f"{export}: the name must end in {', '.join(ENDINGS)}")
    opened = opened_run(run)
    name = site_of(Layers.of(opened), str(site))
    labels = labels_of(opened).filter(site=name).select("feature", "label")
    found = changes_of(opened, name).join(labels, on="feature", how="left", maintain_order="left")
    if export is not None:
        _write(found, Path(export))
    return found


def _write(found: pl.DataFrame, place: Path) -> None:
    with writing(place.parent, place.name) as partial:
        if place.suffix == ".parquet":
            found.write_parquet(partial)
        elif place.suffix == ".json":
            found.write_json(partial)
        else:  # a cell holds no list
            joined = pl.col("partners").cast(pl.List(pl.String)).list.join(" ")
            found.with_columns(joined).write_csv(partial)

"""The tables that figures are made of."""

from __future__ import annotations

import polars as pl

from saematch.flow.layers import Layers
from saematch.runs import Run

MODES = {
    "chained": "one-to-one matches, chained",
    "flow": "each feature to its best target, many to one",
    "gaps": "tracks that may skip a layer",
}


class Missing(Exception):  # noqa: N818 - not an error: a figure that a run has no data for
    """What a figure would need and the run does not have."""


def neighbours(run: Run) -> list[tuple[str, str]]:
    """The pairs along the layers that are done, in order of depth; else all pairs of the run."""
    done = set(run.pairs)
    if not done:
        raise Missing("the run has no pair")
    along = [pair for pair in Layers.of(run).adjacent() if pair in done]
    return along or run.pairs


def flow_table(run: Run, name: str) -> pl.DataFrame:
    """A table of `saematch flow`."""
    if name not in (run.flow or {}).get("tables", {}):
        raise Missing(f"the run has no table {name}: `saematch flow` makes it")
    return run.flow_table(name)


def by_mode(table: pl.DataFrame) -> dict[str, pl.DataFrame]:
    """A table of tracks by how they were made, in the order of the table."""
    if "mode" not in table.columns:
        return {"": table}
    return {str(mode[0]): part for mode, part in table.partition_by("mode", as_dict=True).items()}


def named(figure: str, mode: str) -> str:
    """What the figure of a mode is called."""
    return f"{figure}_{mode}" if mode else figure


def subtitle(mode: str, more: str) -> str:
    """How the tracks of a mode were made, and more."""
    return "; ".join(part for part in (MODES.get(mode, mode), more) if part)

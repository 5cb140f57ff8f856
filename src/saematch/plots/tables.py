"""The tables that figures are drawn from."""

from __future__ import annotations

import polars as pl

from saematch.layers.layers import Layers, depth
from saematch.runs.run import Run

EVERY = "from A to B"  # pairs without an order
MODES = {
    "chained": "one-to-one matches, chained",
    "flow": "each feature to its best target, many to one",
    "gaps": "tracks that may skip a layer",
}


class Missing(Exception):  # noqa: N818 - not an error: a figure that a run has no data for
    """The run lacks what a figure needs; the message says what."""


def neighbours(run: Run) -> tuple[list[tuple[str, str]], str]:
    """The matched pairs of neighbouring layers, in order of depth, and a phrase for what they are.

    All pairs of the run if it has no neighbours, or several SAEs of one depth.
    """
    done = set(run.pairs)
    if not done:
        raise Missing("the run has no pair")
    layers = Layers.of(run)
    depths = [depth(layers.sites[name]) for name in layers.chain]
    along = [pair for pair in layers.adjacent() if pair in done]
    if along and len(set(depths)) == len(depths):
        return along, "from layer to layer"
    return run.pairs, EVERY


def flow_table(run: Run, name: str) -> pl.DataFrame:
    """A table of `saematch flow`."""
    if name not in run.tables("flow"):
        raise Missing(f"the run has no table {name}: `saematch flow` makes it")
    return run.table("flow", name)


def judgements(run: Run) -> pl.DataFrame:
    """The grades that judges gave, people among them, in the order of layers."""
    if run.section("judging") is None:
        raise Missing("the run is not judged: `saematch judge` does it")
    from saematch.judging import judged

    table = judged(run).drop_nulls("grade").sort("step", maintain_order=True)
    if not len(table.filter(kind="match")):
        raise Missing("no judge gave a grade to a match of this run")
    return table


def by_mode(table: pl.DataFrame) -> dict[str, pl.DataFrame]:
    """A table of tracks, split by mode, in the order of the table."""
    if "mode" not in table.columns:
        return {"": table}
    return {str(mode[0]): part for mode, part in table.partition_by("mode", as_dict=True).items()}


def named(figure: str, mode: str) -> str:
    """The name of the figure of a mode."""
    return f"{figure}_{mode}" if mode else figure


def subtitle(mode: str, more: str) -> str:
    """How the tracks of a mode were made, and further text."""
    return "; ".join(part for part in (MODES.get(mode, mode), more) if part)

"""What the page shows of interventions: the figures that `saematch intervene` prints, as tables.

They are drawn anew from the cases of a run (`saematch.causal.findings`), so that no statistics are
computed twice, in two languages.
"""

from __future__ import annotations

from collections.abc import Iterator

import polars as pl

from saematch.causal.findings import (
    STREAM_WORDS,
    by_place,
    deactivations,
    quality_curve,
    substitutions,
    together,
)
from saematch.causal.substitution import AFFECTED, NEAREST, RANDOM
from saematch.runs.run import Run

POINTS = 200  # of a curve, at most
STEP = ["a", "b"]


def cause_tables(run: Run) -> Iterator[tuple[str, pl.DataFrame]]:
    """The tables by name (docs/reference/explorer.md), of those that the run has.

    Args:
        run: the run.

    Raises:
        RunError: a table of the run cannot be read.
    """
    if run.section("causes") is None:
        return
    made = {
        "deactivation": _deactivation,
        "substitution": _substitution,
        "tracks": _tracks,
    }
    there = run.tables("causes")
    for name, make in made.items():
        frame = run.table("causes", name) if name in there else pl.DataFrame()
        if len(frame):
            yield f"causes_{name}", make(frame, run)
            if name == "substitution":
                yield "causes_curves", _curves(frame)


def _deactivation(removals: pl.DataFrame, run: Run) -> pl.DataFrame:
    """By step, and of all steps (`a` and `b` null); those of several SAEs at once are `joint`.

    All steps are those within the stream, where there are any.
    """
    joint = pl.col("a").str.contains("+", literal=True)
    stream = by_place(removals, run).get(STREAM_WORDS)
    found = []
    for several in (False, True):
        some = removals.filter(joint == several)
        if len(some):
            every = some if several or stream is None else stream
            for frame, by in ((every, []), (some, STEP)):
                found.append(deactivations(frame, by).with_columns(joint=several))
    return _with_steps(found)


def _substitution(replaced: pl.DataFrame, run: Run) -> pl.DataFrame:
    return _with_steps([substitutions(replaced, by) for by in ([], STEP)])


def _with_steps(frames: list[pl.DataFrame]) -> pl.DataFrame:
    return pl.concat(frames, how="diagonal_relaxed").select(*STEP, pl.exclude(STEP))


def _curves(replaced: pl.DataFrame) -> pl.DataFrame:
    """Of each method that names partners, over all steps: `coverage`, `quality`."""
    found = []
    for (method,), some in replaced.group_by("method", maintain_order=True):
        if method in (RANDOM, NEAREST, AFFECTED):
            continue
        curve = pl.DataFrame(quality_curve(some), ["coverage", "quality"])
        every = -(-len(curve) // POINTS)
        # the last is the whole
        kept = curve.reverse().gather_every(every).reverse()
        found.append(kept.select(pl.lit(method).alias("method"), "coverage", "quality"))
    return (
        pl.concat(found) if found else pl.DataFrame({"method": [], "coverage": [], "quality": []})
    )


def _tracks(removed: pl.DataFrame, run: Run) -> pl.DataFrame:
    return together(removed).with_columns(length=pl.lit(removed["length"].mean()))

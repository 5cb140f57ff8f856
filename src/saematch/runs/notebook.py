"""A run in a notebook: its functions as methods, and what it looks like."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, cast

import polars as pl

from saematch.files.html import table
from saematch.runs.records import SECTIONS

if TYPE_CHECKING:
    from saematch.explorer import Explorer
    from saematch.layers.tracing import Trace
    from saematch.runs.run import Run
    from saematch.workflows.plot import Drawn

MOST = 40  # pairs that are shown


class Notebook:
    """What a run offers in a notebook; each method calls the function of its name."""

    def tracks(self, mode: Literal["chained", "flow", "gaps"] = "chained") -> pl.DataFrame:
        """One row per track and feature in it, from the first on; `.to_pandas()` for pandas.

        Args:
            mode: `chained`, one-to-one matches of neighbours; `flow`, each feature to its best
                target; `gaps`, the best set of tracks, which may skip layers.

        Raises:
            RunError: the run has no tracks: `saematch.flow` makes them.
        """
        found = cast("Run", self).table("flow", "tracks")
        return found.filter(pl.col("mode") == mode).drop("mode")

    def trace(self, site: str | int, feature: int | None = None, **options: Any) -> Trace:
        """`saematch.trace` of this run: one feature, backward and forward."""
        from saematch import trace

        return trace(cast("Run", self), site, feature, **options)

    def changes(self, site: str | int) -> pl.DataFrame:
        """`saematch.changes` of this run: what is new in a layer, gone after it, split, merged."""
        from saematch import changes

        return changes(cast("Run", self), site)

    def labels(self) -> pl.DataFrame:
        """`saematch.labels.labels_of` this run: what each feature means, and who says so."""
        from saematch.labels import labels_of

        return labels_of(cast("Run", self))

    def plot(self, *only: str, **options: Any) -> Drawn:
        """`saematch.plot` of this run: the figures of these names; all unless given."""
        from saematch import plot

        return plot(cast("Run", self), only or None, **options)

    def explore(self, **options: Any) -> Explorer:
        """`saematch.explore` of this run: its page in the browser."""
        from saematch import explore

        return explore(cast("Run", self), **options)

    def _repr_html_(self) -> str:
        run = cast("Run", self)
        saes = ", ".join(f"{sae.name} ({sae.d_sae:,})" for sae in run.record.saes)
        made = [name for name in SECTIONS if _has(run, name)]
        facts = [
            ("command", f"saematch {run.record.command}"),
            ("SAEs (features)", saes),
            ("also has", ", ".join(made) or "nothing yet"),
            ("state", "finished" if run.finished else "unfinished: the same call continues it"),
        ]
        rows = [
            (
                f"{a} → {b}",
                f"{pair.matched:,} ({_share(pair.matched, pair.features_a - pair.excluded_a)})",
                _figure(pair.get("median_decoder_cosine")),
                _figure(pair.mutual_share),
            )
            for (a, b), pair in run.summaries.items()
        ]
        head = ("pair", "matched", "median decoder cosine", "mutual share")
        shown = table(str(run.path), facts) + table("Pairs", rows[:MOST], head)
        more = len(rows) - MOST
        return shown if more <= 0 else f"{shown}<p>and {more:,} more pairs</p>"


def _has(run: Run, name: str) -> bool:
    return run.section(cast("Any", name)) is not None


def _share(part: int, whole: int) -> str:
    return f"{part / max(1, whole):.1%}"


def _figure(value: Any) -> str:
    return f"{value:.2f}" if isinstance(value, float) else "-"

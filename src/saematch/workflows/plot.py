"""`saematch.plot`: figures of a run."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from saematch.plots import figures, save
from saematch.workflows.runs import GivenRun, opened_run

if TYPE_CHECKING:
    import plotly.graph_objects as go


@dataclass(frozen=True, eq=False)
class Drawn:
    """Figures by name, why others could not be drawn, and the files that were written."""

    figures: dict[str, go.Figure]
    missing: dict[str, str]
    files: list[Path]

    def __getitem__(self, name: str) -> go.Figure:
        return self.figures[name]

    def __repr__(self) -> str:
        lines = [f"{len(self.figures)} figures: {', '.join(self.figures) or 'none'}"]
        return "\n".join(lines + [f"no {name}: {why}" for name, why in self.missing.items()])

    def _repr_html_(self) -> str:
        shown = [
            figure.to_html(full_html=False, include_plotlyjs="cdn")
            for figure in self.figures.values()
        ]
        return "\n".join(shown) or f"<pre>{self!r}</pre>"


def plot(
    run: GivenRun,
    only: str | Collection[str] | None = None,
    *,
    out: str | Path | None = None,
    png: bool = False,
) -> Drawn:
    """Draw a run: p-values and their null, quality by layer, lifespans, chains and direct matches.

    Args:
        run: a run or its directory.
        only: names from `saematch.plots.FIGURES`; all unless given.
        out: also write each figure to this folder, as an HTML file that needs nothing else.
        png: write PNG files too; needs kaleido and a Chrome or Chromium.

    Returns:
        The figures by name, and which the run has no tables for.

    Raises:
        RunError: there is no such run or figure, or a table cannot be read.
        SaematchError: a file cannot be written.
    """
    names = [only] if isinstance(only, str) else only
    made, missing = figures(opened_run(run), names)
    files = []
    if out is not None:
        endings = (".html", ".png") if png else (".html",)
        files = [
            save(figure, Path(out) / f"{name}{ending}")
            for name, figure in made.items()
            for ending in endings
        ]
    return Drawn(made, missing, files)

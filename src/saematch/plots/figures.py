"""What there is to draw of a run: each figure by name, from the tables that it needs."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import TYPE_CHECKING

from saematch.errors import RunError
from saematch.plots.composition import composition
from saematch.plots.evaluation import carried, distance, quantiles
from saematch.plots.lives import lifespans
from saematch.plots.p_values import p_values
from saematch.plots.quality import quality
from saematch.plots.survivors import survivors
from saematch.plots.tables import Missing
from saematch.runs.run import Run

if TYPE_CHECKING:
    import plotly.graph_objects as go

FIGURES: dict[str, Callable[[Run], dict[str, go.Figure]]] = {
    "p_values": p_values,
    "quality": quality,
    "survivors": survivors,
    "lifespans": lifespans,
    "composition": composition,
    "carried": carried,
    "quantiles": quantiles,
    "distance": distance,
}


def figures(
    run: Run, names: Collection[str] | None = None
) -> tuple[dict[str, go.Figure], dict[str, str]]:
    """The figures of a run by name, and why those that are left out are.

    Raises:
        RunError: there is no figure of that name, or a table of the run cannot be read.
    """
    if unknown := sorted({*(names or ())} - {*FIGURES}):
        raise RunError(f"there is no figure {unknown[0]!r}; there are {', '.join(FIGURES)}")
    made: dict[str, go.Figure] = {}
    missing: dict[str, str] = {}
    for name, draw in FIGURES.items():
        if names and name not in names:
            continue
        try:
            made |= draw(run)
        except Missing as reason:
            missing[name] = str(reason)
    return made, missing

"""The figures of a run, by name.

A figure is a function of a run that returns plotly figures by name, and raises `Missing` if the run
lacks the tables it is drawn from.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import TYPE_CHECKING

from saematch.errors import RunError
from saematch.plots.causes import causes
from saematch.plots.composition import composition
from saematch.plots.coverage import coverage
from saematch.plots.evaluation import carried, distance, quantiles
from saematch.plots.judging import judging
from saematch.plots.lifespans import lifespans
from saematch.plots.p_values import p_values
from saematch.plots.quality import quality
from saematch.plots.steering import steering
from saematch.plots.survivors import survivors
from saematch.plots.tables import Missing
from saematch.registry import Registry
from saematch.runs.run import Run

if TYPE_CHECKING:
    import plotly.graph_objects as go

FIGURES: Registry[Callable[[Run], dict[str, go.Figure]]] = Registry(
    "figure",
    {
        "p_values": p_values,
        "quality": quality,
        "survivors": survivors,
        "lifespans": lifespans,
        "composition": composition,
        "carried": carried,
        "quantiles": quantiles,
        "distance": distance,
        "judging": judging,
        "coverage": coverage,
        "causes": causes,
        "steering": steering,
    },
    RunError,
)


def figures(
    run: Run, names: Collection[str] | None = None
) -> tuple[dict[str, go.Figure], dict[str, str]]:
    """The figures of a run by name, and the reasons for those that are left out.

    Raises:
        RunError: there is no figure of that name, or a table of the run cannot be read.
    """
    wanted = {name: FIGURES[name] for name in names or FIGURES}
    made: dict[str, go.Figure] = {}
    missing: dict[str, str] = {}
    for name, draw in wanted.items():
        try:
            made |= draw(run)
        except Missing as reason:
            missing[name] = str(reason)
    return made, missing

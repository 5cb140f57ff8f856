"""Figures of a run, for reports and notebooks: plotly, legible from the back of a room."""

from saematch import lazy as _lazy
from saematch.plots.figures import FIGURES as FIGURES
from saematch.plots.figures import Missing as Missing
from saematch.plots.figures import figures as figures
from saematch.plots.save import save as save

__all__ = ["FIGURES", "Missing", "figures", "save"]


def __getattr__(name: str):
    return _lazy.attribute(__name__, __path__, {}, name)

"""Births, deaths and survivors: features from layer to layer, by the layer they started at."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import polars as pl
from numpy import ndarray

from saematch.plots.style import GREY, MANY, common, faded, plotly_objects, shades, short, styled
from saematch.plots.tables import by_mode, flow_table, named, subtitle
from saematch.runs.run import Run

if TYPE_CHECKING:
    import plotly.graph_objects as go

COLOURS = "colour: the layer that they start at; grey: those that end"
# why a column may be higher than its layer has features
COUNTED = {
    "flow": ["a feature counts once for each track through it"],
    "gaps": ["tracks count in layers they skip"],
}
WIDE = 0.05  # of half a column, in layers
BEND = np.linspace(0, 1, 25)
SMOOTH = 3 * BEND**2 - 2 * BEND**3


def survivors(run: Run) -> dict[str, go.Figure]:
    """A Sankey diagram of the tracks: a column per layer, stacked by the layer they started at."""
    tables = by_mode(flow_table(run, "lifespans"))
    return {named("survivors", mode): _drawn(table, mode) for mode, table in tables.items()}


def _drawn(table: pl.DataFrame, mode: str) -> go.Figure:
    """Draw the diagram by hand: plotly's Sankey puts all beginnings, or all ends, in one column."""
    go = plotly_objects()
    sites = table["site"].unique(maintain_order=True).to_list()
    place = {site: i for i, site in enumerate(sites)}
    n = len(sites)
    alive = np.zeros((n, n), dtype=np.int64)  # started at i, alive at j
    alive[[place[s] for s in table["start"]], [place[s] for s in table["site"]]] = table["alive"]
    top = alive.cumsum(0)
    bottom = top - alive
    total = top[-1]
    births = alive.diagonal()
    deaths = [int(total[j] + births[j + 1] - total[j + 1]) for j in range(n - 1)]

    ends: list[ndarray] = []
    bands: list[list[ndarray]] = [[] for _ in sites]
    columns: list[list[ndarray]] = [[] for _ in sites]
    for j in range(n):
        for i in range(j + 1):
            columns[i].append(_box(j, bottom[i, j], top[i, j]))
            if j + 1 == n:
                continue
            stays = bottom[i, j] + alive[i, j + 1]
            bands[i].append(_band(j, (bottom[i, j], stays), (bottom[i, j + 1], top[i, j + 1])))
            ends.append(_band(j, (stays, top[i, j]), (top[i, j + 1], top[i, j + 1])))
        if j + 1 < n:
            bands[j + 1].append(_band(j, (total[j],) * 2, (bottom[j + 1, j + 1], total[j + 1])))
    # in one-to-one tracks without gaps, a track has one feature per layer
    alike = mode == "chained"
    what, begin, begun = ("features", "are born", "born") if alike else ("tracks", "start", "start")
    figure = go.Figure()
    labels, colours = short(sites), shades(n)
    for i in range(n):
        for shapes, opacity in ((bands[i], 0.5), (columns[i], 1.0)):
            figure.add_trace(_filled(go, shapes, faded(colours[i], opacity), labels[i], opacity))
    figure.add_trace(_filled(go, ends, faded(GREY, 0.35), "end here", 1.0))
    styled(
        figure,
        f"{births[1:].sum():,} {what} {begin} after the first layer, "
        f"{sum(deaths):,} end before the last",
        subtitle(mode, "; ".join([*COUNTED.get(mode, ()), COLOURS])),
    )
    if n < MANY:
        born = ["", *(f"{count:,} {begun}" for count in births[1:])]
        gone = [*(f"{count:,} end" for count in deaths), ""]
        texts = [f"{a}<br>{b}<br>{c}" for a, b, c in zip(labels, born, gone, strict=True)]
        figure.update_layout(margin_b=110)
    else:
        texts = labels
    figure.update_xaxes(
        tickvals=list(range(n)),
        ticktext=texts,
        range=[-0.15, n - 0.85],
        showgrid=False,
        title_text=f"layer ({common(sites)})" if common(sites) else "SAE",
    )
    figure.update_yaxes(title_text=what, tickformat=",")
    figure.update_yaxes(range=[0, 1.03 * total.max()])
    figure.update_layout(
        legend={"title_text": "started at layer", "traceorder": "reversed"}, showlegend=n < MANY
    )
    return figure


def _box(x: int, low: float, high: float) -> ndarray:
    return np.array([[x - WIDE, low], [x - WIDE, high], [x + WIDE, high], [x + WIDE, low]])


def _band(x: int, start: tuple[float, float], end: tuple[float, float]) -> ndarray:
    """The outline of a band from column x to the next, `(points, 2)`; its ends are (low, high)."""
    along = x + WIDE + (1 - 2 * WIDE) * BEND
    low, high = (a + (b - a) * SMOOTH for a, b in zip(start, end, strict=True))
    return np.column_stack([np.r_[along, along[::-1]], np.r_[low, high[::-1]]])


def _filled(go, shapes: list[ndarray], colour: str, name: str, opacity: float):
    """All shapes of one colour as one trace, without those of zero height."""
    seen = [shape for shape in shapes if np.ptp(shape[:, 1]) > 0]
    gap = np.full((1, 2), np.nan)
    points = np.concatenate([part for shape in seen for part in (shape, shape[:1], gap)] or [gap])
    return go.Scatter(
        x=points[:, 0],
        y=points[:, 1],
        fill="toself",
        fillcolor=colour,
        mode="lines",
        line_width=0,
        name=name,
        legendgroup=name,
        showlegend=opacity == 1,
        hoverinfo="skip",
    )

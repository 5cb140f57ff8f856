"""Histograms of the p-values of best targets, beside those that the null gives."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from saematch.plots.style import (
    BLUE,
    LEGEND_ABOVE,
    MANY,
    RED,
    common,
    percent,
    plotly_objects,
    short,
    styled,
)
from saematch.plots.tables import Missing, neighbours
from saematch.runs.run import Run

if TYPE_CHECKING:
    import plotly.graph_objects as go
    from numpy import ndarray

PANEL = 220  # pixels of height
BINS = 20


def p_values(run: Run) -> dict[str, go.Figure]:
    """A panel per pair of neighbours: features by the p-value of their best target, and the null.

    Scores of different features are on different scales; p-values are not: features without a
    partner would be spread evenly over the bins. The best target is used, not the assigned one: a
    feature whose best target is taken is left with a target far from its best.
    """
    pairs, which = neighbours(run)
    found = {pair: _best(run, *pair) for pair in pairs}
    found = {pair: p for pair, p in found.items() if len(p)}
    if not found:
        raise Missing("the run has no p-values: its pairs were matched with --null none")
    go = plotly_objects()
    from plotly.subplots import make_subplots

    columns = min(len(found), 3 if len(found) < MANY else 5)
    rows = math.ceil(len(found) / columns)
    names = _ends(list(found))
    ends = dict(zip(names, short(names), strict=True))
    figure = make_subplots(
        rows,
        columns,
        subplot_titles=[f"{ends[a]} → {ends[b]}" for a, b in found],
        vertical_spacing=0.25 / rows,
        horizontal_spacing=0.06,
    )
    middle = (np.arange(BINS) + 0.5) / BINS
    for place, p in enumerate(found.values()):
        row, column = place // columns + 1, place % columns + 1
        figure.add_trace(
            go.Bar(
                x=middle,
                y=_counts(p),
                name="best targets found",
                legendgroup="found",
                showlegend=place == 0,
                marker_color=BLUE,
                hovertemplate="p around %{x:.3g}: %{y:,} features<extra></extra>",
            ),
            row=row,
            col=column,
        )
        figure.add_trace(
            go.Scatter(
                x=[0, 1],
                y=[len(p) / BINS] * 2,
                name="if all were chance",
                legendgroup="chance",
                showlegend=place == 0,
                mode="lines",
                line={"color": RED, "width": 3, "dash": "dash"},
                hovertemplate="chance: %{y:,.0f} features per bin<extra></extra>",
            ),
            row=row,
            col=column,
        )
    shares = [float((p <= 1 / BINS).mean()) for p in found.values()]
    low, high = percent(min(shares)), percent(max(shares))
    told = low if low == high else f"{low} to {high}"
    styled(
        figure,
        f"{told} of best targets have a p-value of {1 / BINS:g} or less; "
        f"chance alone gives {1 / BINS:.0%}",
        _where(list(found), which),
        height=(height := max(500, 195 + PANEL * rows)),
    )
    for place in range(max(0, len(found) - columns), len(found)):
        title = {"text": "p-value", "standoff": 4}
        figure.update_xaxes({"title": title}, row=place // columns + 1, col=place % columns + 1)
    figure.update_xaxes(range=[0, 1])
    figure.update_yaxes(title_text="features", col=1)
    figure.update_layout(bargap=0.05, legend={**LEGEND_ABOVE, "y": 1 + 40 / (height - 195)})
    return {"p_values": figure}


def _best(run: Run, a: str, b: str) -> ndarray:
    """The p-value of each feature's best target."""
    return run.candidates(a, b).filter(rank=1)["p_value"].drop_nulls().to_numpy()


def _counts(p: ndarray) -> ndarray:
    """The number of p-values in each bin; a value on a border belongs to the bin below."""
    place = np.ceil(p * BINS).astype(np.int64) - 1
    return np.bincount(place.clip(0, BINS - 1), minlength=BINS)


def _ends(pairs: list[tuple[str, str]]) -> list[str]:
    return list(dict.fromkeys(name for pair in pairs for name in pair))


def _where(pairs: list[tuple[str, str]], which: str) -> str:
    alike = common(_ends(pairs))
    return f"features of {alike}, {which}" if alike else f"features {which}"

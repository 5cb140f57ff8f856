"""Lifespans of features: how long the tracks that start at each layer last."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from saematch.plots.style import MANY, common, faded, percent, plotly_objects, shades, short, styled
from saematch.plots.tables import by_mode, flow_table, named, subtitle
from saematch.runs.run import Run

if TYPE_CHECKING:
    import plotly.graph_objects as go


def lifespans(run: Run) -> dict[str, go.Figure]:
    """For each starting layer, the share of its tracks that is alive at each later layer."""
    tables = by_mode(flow_table(run, "lifespans"))
    return {named("lifespans", mode): _curves(table, mode) for mode, table in tables.items()}


def _curves(table: pl.DataFrame, mode: str) -> go.Figure:
    go = plotly_objects()
    sites = table["site"].unique(maintain_order=True).to_list()
    labels = dict(zip(sites, short(sites), strict=True))
    starts = [s for s in table["start"].unique(maintain_order=True) if s != sites[-1]]
    figure = go.Figure()
    for start, colour in zip(starts, shades(len(starts)), strict=True):
        rows = table.filter(pl.col("start") == start)
        x = [labels[site] for site in rows["site"]]
        band = {"x": x + x[::-1], "y": [*rows["high"], *rows["low"].reverse()]}
        figure.add_trace(
            go.Scatter(
                **band,
                fill="toself",
                fillcolor=faded(colour, 0.18),
                mode="lines",
                line_width=0,
                hoverinfo="skip",
                showlegend=False,
                legendgroup=start,
            )
        )
        figure.add_trace(
            go.Scatter(
                x=x,
                y=rows["share"],
                customdata=rows["alive"],
                mode="lines+markers",
                name=f"{labels[start]} ({rows['started'][0]:,})",
                legendgroup=start,
                line={"color": colour, "width": 3},
                marker={"size": 8},
                hovertemplate=f"started at {labels[start]}: "
                "%{y:.1%} at %{x}, %{customdata:,} tracks<extra></extra>",
            )
        )
    styled(
        figure,
        f"{percent(_single(table, sites[-1]))} of tracks are in one layer only",
        subtitle(mode, "without tracks that start at the last layer; bands: 95 % (Wilson)"),
    )
    figure.update_yaxes(tickformat=".0%", range=[0, 1.03], title_text="share of tracks still alive")
    figure.update_xaxes(
        title_text=f"layer ({common(sites)})" if common(sites) else "SAE",
        type="category",
        categoryorder="array",
        categoryarray=[labels[site] for site in sites],
    )
    figure.update_layout(
        legend={"title_text": "started at layer<br>(tracks)"}, showlegend=len(sites) < MANY
    )
    return figure


def _single(table: pl.DataFrame, last: str) -> float:
    """The share of tracks with a single feature, among those that start before the last layer."""
    rows = table.filter(pl.col("start") != last)
    started, longer = (int(rows.filter(steps=steps)["alive"].sum()) for steps in (0, 1))
    return 1 - longer / max(1, started)

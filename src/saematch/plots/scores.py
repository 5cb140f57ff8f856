"""Histograms of the scores of matches beside those that chance gives."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import polars as pl

from saematch.plots.style import (
    BLUE,
    LEGEND_ABOVE,
    MANY,
    RED,
    common,
    faded,
    plotly_objects,
    short,
    styled,
)
from saematch.plots.tables import Missing, neighbours
from saematch.runs import Run

if TYPE_CHECKING:
    import plotly.graph_objects as go

PANEL = 220  # pixels of height


def scores(run: Run) -> dict[str, go.Figure]:
    """A panel per pair of neighbours: features by the score of their target, and the null."""
    tables = {}
    pairs, which = neighbours(run)
    for pair in pairs:
        table = run.null(*pair)
        if len(table):
            tables[pair] = table
    if not tables:
        raise Missing("the run has no null: its pairs were matched with --null none")
    go = plotly_objects()
    from plotly.subplots import make_subplots

    columns = min(len(tables), 3 if len(tables) < MANY else 5)
    rows = math.ceil(len(tables) / columns)
    ends = dict(zip(names := _ends(list(tables)), short(names), strict=True))
    titles = [f"{ends[a]} → {ends[b]}" for a, b in tables]
    figure = make_subplots(
        rows, columns, subplot_titles=titles, vertical_spacing=0.25 / rows, horizontal_spacing=0.06
    )
    for place, table in enumerate(tables.values()):
        row, column = place // columns + 1, place % columns + 1
        table = _merged(table, 180 // columns)
        middle = (table["low"] + table["high"]) / 2
        for values, name, colour in (
            (table["observed"], "targets found", BLUE),
            (table["null"], "best of as many random directions", RED),
        ):
            figure.add_trace(
                go.Scatter(
                    x=middle,
                    y=values,
                    name=name,
                    legendgroup=name,
                    showlegend=place == 0,
                    mode="lines",
                    line={"color": colour, "width": 2, "shape": "hvh"},
                    fill="tozeroy",
                    fillcolor=faded(colour, 0.25),
                    hovertemplate="score %{x:.3g}: %{y:,.0f} features<extra></extra>",
                ),
                row=row,
                col=column,
            )
    shares = [run.summaries[pair]["matched"] / run.summaries[pair]["features_a"] for pair in tables]
    low, high = (f"{share:.0%}" for share in (min(shares), max(shares)))
    told = f"{low}" if low == high else f"{low} to {high}"
    styled(
        figure,
        f"{told} of features are matched beyond chance",
        f"{_where(list(tables), which)}; each feature is judged by its own null",
        height=(height := max(500, 195 + PANEL * rows)),
    )
    method = next(iter(run.summaries.values()))["method"]
    for place in range(max(0, len(tables) - columns), len(tables)):
        title = {"text": f"score of {method}", "standoff": 4}
        row, column = place // columns + 1, place % columns + 1
        figure.update_xaxes({"title": title}, row=row, col=column)
    figure.update_yaxes(title_text="features", col=1)
    figure.update_layout(legend={**LEGEND_ABOVE, "y": 1 + 40 / (height - 195)})
    return {"scores": figure}


def _ends(pairs: list[tuple[str, str]]) -> list[str]:
    return list(dict.fromkeys(name for pair in pairs for name in pair))


def _where(pairs: list[tuple[str, str]], which: str) -> str:
    names = _ends(pairs)
    alike = common(names)
    return f"features of {alike}, {which}" if alike else f"features {which}"


def _merged(table: pl.DataFrame, bins: int) -> pl.DataFrame:
    """The histogram in wider bins, without the empty ends."""
    busy = table.with_row_index().filter((pl.col("observed") > 0) | (pl.col("null") > 0))
    if len(busy):
        table = table[busy["index"][0] : busy["index"][-1] + 1]
    step = max(1, len(table) // bins)
    return (
        table.with_row_index()
        .group_by(pl.col("index") // step, maintain_order=True)
        .agg(
            pl.col("low").first(),
            pl.col("high").last(),
            pl.col("observed").sum(),
            pl.col("null").sum(),
        )
    )

"""Figures of a reproduction that no single run has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import cycle
from typing import TYPE_CHECKING

import polars as pl

from saematch.plots.style import (
    BLUE,
    GREEN,
    GREY,
    INK,
    ORANGE,
    RED,
    faded,
    log_ticks,
    plotly_objects,
    short,
    styled,
)

if TYPE_CHECKING:
    import plotly.graph_objects as go

PURPLE, PINK = "#332288", "#CC79A7"  # Tol, 2021; Okabe and Ito, 2008
# what each way of matching is called, its colour, dash and symbol
WAYS: dict[str, tuple[str, str, str, str]] = {
    "best possible": ("best possible", INK, "dot", "star"),
    "fused": ("fused, given text", GREEN, "solid", "diamond"),
    "fused-generated": ("fused, generated text", GREEN, "dash", "diamond-open"),
    "many-to-one": ("many to one (Feature Flow)", PINK, "solid", "triangle-up"),
    "folded": ("SAE Match, folded", BLUE, "solid", "circle"),
    "unfolded": ("SAE Match, unfolded", BLUE, "dash", "circle-open"),
    "cosine": ("cosine, one to one", ORANGE, "solid", "square"),
    "chained": ("SAE Match, chained", PURPLE, "dot", "x"),
    "identity": ("feature i to feature i", RED, "dash", "square-open"),
    "random": ("random permutation", GREY, "dot", "cross"),
}
TERMS = {"decoder": "decoder", "encoder": "encoder", "encoder-bias": "encoder bias"}
LEGEND = {"orientation": "h", "x": 0, "xanchor": "left", "y": -0.2, "yanchor": "top"}


def steps_of(table: pl.DataFrame) -> dict[tuple[str, str], str]:
    """What to call each pair on an axis: 8→9."""
    pairs = table.select("a", "b").unique(maintain_order=True).rows()
    names = list(dict.fromkeys(name for pair in pairs for name in pair))
    ends = dict(zip(names, short(names), strict=True))
    return {(a, b): f"{ends[a]}→{ends[b]}" for a, b in pairs}


def folded_errors(table: pl.DataFrame, title: str) -> go.Figure:
    """The mean folded error of matched features by term and layer, a panel per term."""
    go = plotly_objects()
    from plotly.subplots import make_subplots

    steps = steps_of(table)
    figure = make_subplots(1, 3, subplot_titles=list(TERMS.values()), horizontal_spacing=0.06)
    for column, term in enumerate(TERMS, start=1):
        here = table.filter(term=term)
        for way, look in _present(here):
            rows = _ordered(here.filter(method=way), steps)
            figure.add_trace(
                _line(go, list(steps.values()), rows["mean"], look, column == 1), row=1, col=column
            )
        ticks = log_ticks(here["mean"])
        if ticks:
            shown = {"tickvals": ticks, "ticktext": [f"{tick:g}" for tick in ticks]}
            figure.update_yaxes(type="log", **shown, row=1, col=column)
    styled(
        figure, title, "mean over features, of all that are assigned; both SAEs folded alike", 640
    )
    figure.update_yaxes(title_text="folded MSE (log scale)", col=1)
    figure.update_xaxes(type="category", tickangle=-60)
    figure.update_layout(legend=LEGEND, margin_b=150)
    return figure


def correlations(table: pl.DataFrame, title: str) -> go.Figure:
    """The mean correlation of features with their targets, by layer and way of matching."""
    go = plotly_objects()
    steps, figure = steps_of(table), plotly_objects().Figure()
    for way, look in _present(table):
        rows = _ordered(table.filter(method=way), steps)
        figure.add_trace(_line(go, list(steps.values()), rows["mean"], look, spread=rows))
    styled(
        figure,
        title,
        "mean over features of A, zeros included, on text that no method was given; bars: 95 % "
        "over features",
        640,
    )
    figure.update_yaxes(title_text="correlation with the target", rangemode="tozero")
    figure.update_xaxes(type="category", title_text="layers")
    figure.update_layout(legend=LEGEND, margin_b=150)
    return figure


def by_distance(near: pl.DataFrame, far: pl.DataFrame, title: str) -> go.Figure:
    """Correlation by distance from each starting layer, a panel per start."""
    go = plotly_objects()
    from plotly.subplots import make_subplots

    starts = far["a"].unique(maintain_order=True).to_list()
    names = list(dict.fromkeys([*far["a"], *far["b"]]))
    label = dict(zip(names, short(names), strict=True))
    # one step along the chain is no chain
    table = pl.concat([near.filter(pl.col("a").is_in(starts)), far])
    titles = [f"from layer {label[start]}" for start in starts]
    figure = make_subplots(1, len(starts), subplot_titles=titles, shared_yaxes=True)
    ways = dict.fromkeys(far["method"])
    for column, start in enumerate(starts, start=1):
        here = table.filter(pl.col("a") == start, pl.col("method").is_in([*ways])).sort("skipped")
        for way, look in _present(here):
            rows = here.filter(method=way)
            line = _line(go, rows["skipped"], rows["mean"], look, column == 1, spread=rows)
            figure.add_trace(line, row=1, col=column)
    styled(figure, title, "mean over features; bars: 95 % over features", 600)
    figure.update_yaxes(title_text="correlation with the target", rangemode="tozero", col=1)
    figure.update_xaxes(title_text="layers apart", dtick=1 if far["skipped"].max() < 13 else 5)  # pyright: ignore[reportOperatorIssue, reportOptionalOperand]
    figure.update_layout(legend={**LEGEND, "y": -0.18}, margin_b=140)
    return figure


def by_l0(panels: Mapping[str, pl.DataFrame], reference: float, title: str) -> go.Figure:
    """What depends on the L0 of the target SAE: one panel per measure, over `l0` and `value`.

    Args:
        panels: by what is measured, a table with `l0`, `value`, `name`, `part` (a line each).
        reference: the L0 of the SAE that is matched, drawn as a line.
        title: what the figure says.
    """
    go = plotly_objects()
    from plotly.subplots import make_subplots

    figure = make_subplots(1, len(panels), subplot_titles=list(panels), horizontal_spacing=0.09)
    parts = dict.fromkeys(part for table in panels.values() for part in table["part"])
    colours = dict(zip(parts, cycle((BLUE, ORANGE, GREEN, RED, PURPLE)), strict=False))
    told: set[str] = set()
    for column, table in enumerate(panels.values(), start=1):
        for (part,), rows in table.sort("l0").group_by("part", maintain_order=True):
            figure.add_trace(
                go.Scatter(
                    x=rows["l0"],
                    y=rows["value"],
                    text=rows["name"],
                    name=part,
                    legendgroup=part,
                    showlegend=part not in told,
                    mode="lines+markers",
                    line={"color": colours[part], "width": 2.5},
                    marker={"size": 9},
                    hovertemplate="%{text}, L0 %{x:.0f}: %{y:.3f}<extra></extra>",
                ),
                row=1,
                col=column,
            )
            told.add(str(part))
        figure.add_vline(x=reference, line={"color": GREY, "dash": "dot"}, row=1, col=column)  # pyright: ignore[reportArgumentType]
    styled(figure, title, f"dotted: the L0 of the SAE that is matched, {reference:.0f}", 560)
    figure.update_xaxes(title_text="L0 of the target SAE", rangemode="tozero")
    figure.update_layout(legend=LEGEND, margin_b=140)
    return figure


def _present(table: pl.DataFrame) -> list[tuple[str, tuple[str, str, str, str]]]:
    there = set(table["method"])
    return [(way, look) for way, look in WAYS.items() if way in there]


def _ordered(rows: pl.DataFrame, steps: Mapping[tuple[str, str], str]) -> pl.DataFrame:
    """One row per step, null where there is none."""
    wanted = pl.DataFrame([*steps], schema=["a", "b"], orient="row")
    return wanted.join(rows, on=["a", "b"], how="left", maintain_order="left")


def _line(
    go,
    x: Sequence | pl.Series,
    y: pl.Series,
    look: tuple[str, str, str, str],
    legend: bool = True,
    spread: pl.DataFrame | None = None,
):
    name, colour, dash, symbol = look
    bars = None
    if spread is not None:
        bars = {
            "array": (spread["high"] - spread["mean"]).to_list(),
            "arrayminus": (spread["mean"] - spread["low"]).to_list(),
            "thickness": 1.2,
            "width": 2,
            "color": faded(colour, 0.5),
        }
    return go.Scatter(
        x=list(x),
        y=y.to_list(),
        error_y=bars,
        name=name,
        legendgroup=name,
        showlegend=legend,
        mode="lines+markers",
        line={"color": colour, "width": 2.5, "dash": dash},
        marker={"size": 8, "symbol": symbol},
        hovertemplate=f"{name}, %{{x}}: %{{y:.3f}}<extra></extra>",
    )

"""What estimates made from matches cost the model: by layer, by quantile, by distance."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import polars as pl

from saematch.evaluation.tables import main_carry, nearest
from saematch.plots.style import (
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    RED,
    common,
    faded,
    plotly_objects,
    shades,
    short,
    styled,
)
from saematch.plots.tables import Missing
from saematch.runs.run import Run

if TYPE_CHECKING:
    import plotly.graph_objects as go

INDIGO = "#332288"  # Tol, 2021: fits the other colours
PANEL = 420  # pixels of height
# name in the legend, estimate, links, colour, dash, symbol
SHOWN = (
    ("SAE Match", "match", "assigned", BLUE, "solid", "circle"),
    ("SAE Match, chained", "composed", "assigned", INDIGO, "dot", "circle-open"),
    ("significant matches, rest as it is", "partial", "matched", GREEN, "dash", "diamond"),
    ("layers dropped", "drop", None, RED, "solid", "square"),
    ("encode-decode at A", "encode-decode source", None, ORANGE, "dash", "triangle-up"),
    ("encode-decode at B", "encode-decode target", None, GREY, "dot", "triangle-down"),
    ("least squares", "least squares", None, "#000000", "solid", "x"),
    ("mean Jacobian", "jacobian", None, INDIGO, "solid", "star"),
)
METRICS = {"delta-loss": "delta-loss, nats", "explained variance": "explained variance"}


def carried(run: Run) -> dict[str, go.Figure]:
    """Delta loss and explained variance from layer to layer, a column of panels per text set."""
    near = nearest(_table(run))
    pairs = near.select("a", "b").unique(maintain_order=True).rows()
    label = _labels(near)
    x = [f"{label[a]}→<br>{label[b]}" for a, b in pairs]
    texts = near["texts"].unique(maintain_order=True).to_list()
    figure, go = _panels(texts)
    for column, name in enumerate(texts, start=1):
        for row, metric in enumerate(METRICS, start=1):
            here = near.filter(texts=name, metric=metric)
            for shown in SHOWN:
                rows = _of(here, shown).select("a", "b", "value", "low", "high")
                if len(rows):
                    wanted = pl.DataFrame(pairs, schema=["a", "b"], orient="row")
                    rows = wanted.join(rows, on=["a", "b"], how="left", maintain_order="left")
                    figure.add_trace(_line(go, x, rows, shown, (row, column)), row=row, col=column)
    won = _counts(near, "match", "assigned")
    _finished(figure, _said(won), _below(near))
    figure.update_xaxes(type="category", row=1)
    axis = f"layers ({common(list(label))})" if common(list(label)) else "A → B"
    figure.update_xaxes(type="category", title_text=axis, tickangle=0, tickfont_size=12, row=2)
    return {"carried": figure}


def quantiles(run: Run) -> dict[str, go.Figure]:
    """Delta loss and explained variance by the share of features decoded by B."""
    near = nearest(_table(run))
    if not len(near.filter(pl.col("estimate") == "partial", pl.col("q").is_not_null())):
        raise Missing("the run's evaluation has no quantiles: `saematch evaluate --quantiles`")
    # all of them is SAE Match itself
    whole = pl.col("estimate") == "match", pl.col("links") == "assigned"
    part = near.filter(pl.col("estimate") == "partial", pl.col("q").is_not_null())
    part = pl.concat([part, near.filter(*whole).with_columns(q=pl.lit(1.0))])
    texts = near["texts"].unique(maintain_order=True).to_list()
    label = _labels(near)
    figure, go = _panels(texts)
    pairs = near.select("a", "b").unique(maintain_order=True).rows()
    for (a, b), colour in zip(pairs, shades(len(pairs)), strict=True):
        name = f"{label[a]}→{label[b]}"
        for column, which in enumerate(texts, start=1):
            for row, metric in enumerate(METRICS, start=1):
                rows = part.filter(a=a, b=b, texts=which, metric=metric).sort("q")
                shown = (name, "", None, colour, "solid", "circle")
                line = _line(go, rows["q"].to_list(), rows, shown, (row, column))
                figure.add_trace(line, row=row, col=column)
                drop = near.filter(a=a, b=b, texts=which, metric=metric, estimate="drop")
                if len(drop):
                    figure.add_trace(
                        go.Scatter(
                            x=[0, 1],
                            y=[drop["value"][0]] * 2,
                            mode="lines",
                            line={"color": colour, "width": 1.5, "dash": "dot"},
                            legendgroup=name,
                            showlegend=False,
                            hovertemplate=f"{name}, layer dropped: %{{y:.3f}}<extra></extra>",
                        ),
                        row=row,
                        col=column,
                    )
    best = [
        part.filter(a=a, b=b, texts=which, metric="delta-loss").sort("value")["q"][0]
        for a, b in pairs
        for which in texts
    ]
    fewest = sum(q == 0 for q in best)
    title = f"Sending no feature ahead costs least in {fewest} of {len(best)} cases"
    if not fewest:
        title = f"The share sent ahead that costs least is {min(best):g} to {max(best):g}"
    below = "features in order of their match's folded decoder MSE; dotted: the layer dropped"
    _finished(figure, title, below, "pair")
    figure.update_xaxes(title_text="share sent ahead, q", row=2)
    return {"quantiles": figure}


def distance(run: Run) -> dict[str, go.Figure]:
    """Delta loss and explained variance by the number of skipped blocks, median over pairs."""
    table = _table(run).filter(pl.col("skipped") > 0)
    apart = table["skipped"].unique().sort().to_list()
    if len(apart) < 2:
        raise Missing(
            "the run's evaluation has pairs of one distance only: `saematch flow --pairs all`, or "
            "`saematch evaluate --reach 3`"
        )
    texts = table["texts"].unique(maintain_order=True).to_list()
    figure, go = _panels(texts)
    for column, name in enumerate(texts, start=1):
        for row, metric in enumerate(METRICS, start=1):
            here = table.filter(texts=name, metric=metric)
            for shown in SHOWN:
                rows = (
                    _of(here, shown)
                    .group_by("skipped")
                    .agg(
                        pl.col("value").median(),
                        low=pl.col("value").min(),
                        high=pl.col("value").max(),
                    )
                )
                rows = rows.sort("skipped")
                if len(rows):
                    at = rows["skipped"].to_list()
                    figure.add_trace(_line(go, at, rows, shown, (row, column)), row=row, col=column)
    first, last = (
        _median(table.filter(pl.col("skipped") == steps), "match", "assigned")
        for steps in (apart[0], apart[-1])
    )
    title = (
        f"SAE Match's estimate costs {first:.2f} nats over {_blocks(apart[0])}, {last:.2f} over "
        f"{apart[-1]:g}"
        if first is not None and last is not None
        else "What an estimate costs by distance"
    )
    below = "median over the pairs of a distance; bars: least and largest"
    _finished(figure, title, below)
    figure.update_xaxes(title_text="blocks left out", dtick=1, row=2)
    return {"distance": figure}


def _table(run: Run) -> pl.DataFrame:
    if run.section("evaluation") is None:
        raise Missing("the run is not evaluated: `saematch evaluate` does it")
    return main_carry(run.table("evaluation", "values")).filter("main")


def _panels(texts: Sequence[str]) -> tuple[go.Figure, Any]:
    go = plotly_objects()
    from plotly.subplots import make_subplots

    figure = make_subplots(
        2,
        len(texts),
        subplot_titles=[*texts, *[""] * len(texts)],
        shared_yaxes=True,  # along a row
        shared_xaxes=True,  # down a column
        vertical_spacing=0.08,
        horizontal_spacing=0.03,
    )
    return figure, go


def _line(go, x: Sequence, rows: pl.DataFrame, shown: tuple, at: tuple[int, int]):
    """One estimate with its intervals; it appears in the legend once."""
    name, _, _, colour, dash, symbol = shown
    spread = None
    if rows["low"].null_count() < len(rows):
        spread = {
            "array": (rows["high"] - rows["value"]).to_list(),
            "arrayminus": (rows["value"] - rows["low"]).to_list(),
            "thickness": 1.5,
            "width": 3,
            "color": faded(colour, 0.6),
        }
    return go.Scatter(
        x=list(x),
        y=rows["value"].to_list(),
        error_y=spread,
        mode="lines+markers",
        name=name,
        legendgroup=name,
        showlegend=at == (1, 1),
        line={"color": colour, "width": 2.5, "dash": dash},
        marker={"size": 8, "symbol": symbol},
        hovertemplate=f"{name}, %{{x}}: %{{y:.3f}}<extra></extra>",
    )


def _finished(
    figure: go.Figure, title: str, below: str, legend: str = "in place of B's state"
) -> None:
    styled(figure, title, below, height=2 * PANEL)
    for row, name in enumerate(METRICS.values(), start=1):
        figure.update_yaxes(title_text=name, row=row, col=1)
    figure.update_yaxes(rangemode="tozero", row=1)
    figure.update_layout(
        legend={"title_text": legend, "orientation": "h", "x": 0, "y": -0.14, "yanchor": "top"},
        margin_b=170,
    )


def _of(table: pl.DataFrame, shown: tuple) -> pl.DataFrame:
    _, estimate, links, *_ = shown
    found = table.filter(pl.col("estimate") == estimate, pl.col("q").is_null())
    return found if links is None else found.filter(pl.col("links") == links)


def _median(table: pl.DataFrame, estimate: str, links: str) -> float | None:
    rows = _of(table.filter(metric="delta-loss"), ("", estimate, links))
    median = rows["value"].median()
    return median if isinstance(median, float) else None


def _counts(near: pl.DataFrame, estimate: str, links: str) -> tuple[int, int, int]:
    """The number of cases in which an estimate costs more than `drop`, less, and all cases."""
    rows = _of(near.filter(metric="delta-loss less drop's"), ("", estimate, links))
    more, less = rows.filter(pl.col("low") > 0).height, rows.filter(pl.col("high") < 0).height
    return more, less, rows.height


def _said(won: tuple[int, int, int]) -> str:
    more, less, every = won
    if more >= less:
        return f"SAE Match's estimate costs more than dropping the layer in {more} of {every} cases"
    return f"SAE Match's estimate costs less than dropping the layer in {less} of {every} cases"


def _blocks(apart: float) -> str:
    return "one block" if apart == 1 else f"{apart:g} blocks"


def _below(near: pl.DataFrame) -> str:
    left_out = f"{_blocks(near['skipped'][0])} left out"
    return f"{left_out}; a case is a pair on a text set; bars: 95 % over examples"


def _labels(near: pl.DataFrame) -> dict[str, str]:
    names = list(dict.fromkeys([*near["a"], *near["b"]]))
    return dict(zip(names, short(names), strict=True))

"""Chained matchings compared with the direct matching of their two ends."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import polars as pl

from saematch.plots.style import (
    BLUE,
    GREEN,
    MANY,
    ORANGE,
    SCALE,
    faded,
    percent,
    plotly_objects,
    short,
    styled,
)
from saematch.plots.tables import Missing, flow_table
from saematch.runs.run import Run

if TYPE_CHECKING:
    import plotly.graph_objects as go


def composition(run: Run) -> dict[str, go.Figure]:
    """A heat map of how often chained and direct matchings agree, and the same by distance."""
    everything = flow_table(run, "composition")
    table = everything.filter(links="matched")
    assigned = everything.filter(pl.col("a").is_null(), links="assigned").sort("steps")
    single = table.filter(pl.col("a").is_not_null())
    pooled = table.filter(pl.col("a").is_null(), pl.col("both") > 0).sort("steps")
    if not len(single) or not len(pooled):
        raise Missing(
            "the run has no two layers matched directly and by a chain: `saematch flow` with "
            "--pairs all or --reach 2 makes them"
        )
    go = plotly_objects()
    from plotly.subplots import make_subplots

    names = list(dict.fromkeys([*single["a"], *single["b"]]))
    label = dict(zip(names, short(names), strict=True))
    starts, targets = (list(dict.fromkeys(single[side])) for side in ("a", "b"))
    grid: list[list[float | None]] = [[None] * len(targets) for _ in starts]
    told = [[""] * len(targets) for _ in starts]
    for row in single.iter_rows(named=True):
        if row["both"]:
            at = starts.index(row["a"]), targets.index(row["b"])
            grid[at[0]][at[1]] = row["agreement"]
            told[at[0]][at[1]] = f"{row['equal']:,} of {row['both']:,} features with both"
    ends = [pooled.row(place, named=True) for place in dict.fromkeys((0, len(pooled) - 1))]
    figure = make_subplots(
        1,
        2,
        column_widths=[0.56, 0.44],
        horizontal_spacing=0.16,
        subplot_titles=["by pair of layers", "by distance"],
    )
    few = len(names) < MANY
    figure.add_trace(
        go.Heatmap(
            x=[label[name] for name in targets],
            y=[label[name] for name in starts],
            z=grid,
            zmin=0,
            zmax=1,
            colorscale=SCALE,
            customdata=told,
            texttemplate="%{z:.0%}" if few else None,
            textfont_size=15,
            xgap=2,
            ygap=2,
            hoverongaps=False,
            colorbar={"tickformat": ".0%", "len": 0.9, "x": 0.5, "thickness": 14},
            hovertemplate="%{y} → %{x}: %{z:.1%}, %{customdata}<extra></extra>",
        ),
        row=1,
        col=1,
    )
    traces = _bars if len(pooled) == 1 else _lines
    for trace in traces(go, pooled, assigned):
        figure.add_trace(trace, row=1, col=2)
    told = [f"{percent(row['agreement'])} of targets over {row['steps']} layers" for row in ends]
    styled(
        figure,
        f"Chains and direct matchings agree on {', '.join(told)}",
        "of the features that both give a significant target; 95 % intervals: features that one "
        "chain connects count together",
        height=760,
    )
    figure.update_yaxes(title_text="from layer", type="category", autorange="reversed", col=1)
    figure.update_xaxes(title_text="to layer", type="category", col=1)
    figure.update_yaxes(range=[0, 1.03], tickformat=".0%", title_text="share of features", col=2)
    if len(pooled) == 1:
        figure.update_xaxes(showticklabels=False, title_text=f"{ends[0]['steps']} layers", col=2)
    else:
        figure.update_xaxes(title_text="layers from end to end", dtick=1 if few else 5, col=2)
    figure.update_xaxes(showgrid=False, col=1)
    figure.update_yaxes(showgrid=False, col=1)
    figure.update_layout(
        legend={"title_text": "same target", "x": 0.62, "y": -0.16, "yanchor": "top"},
        margin_b=150,
    )
    return {"composition": figure}


def _shares(pooled: pl.DataFrame, assigned: pl.DataFrame):
    """The curves by distance: rows, column, name, colour, dash, symbol."""
    return (
        (pooled, "agreement", "significant, of features with both", BLUE, "solid", "circle"),
        (pooled, "kept", "significant, of all features", GREEN, "dash", "diamond"),
        (assigned, "agreement", "whatever is assigned", ORANGE, "dot", "square"),
    )


def _lines(go, pooled: pl.DataFrame, assigned: pl.DataFrame) -> Iterator:
    steps = pooled["steps"].to_list()
    yield go.Scatter(
        x=steps + steps[::-1],
        y=[*pooled["high"], *pooled["low"].reverse()],
        fill="toself",
        fillcolor=faded(BLUE, 0.2),
        mode="lines",
        line_width=0,
        hoverinfo="skip",
        showlegend=False,
    )
    for rows, column, name, colour, dash, symbol in _shares(pooled, assigned):
        yield go.Scatter(
            x=rows["steps"],
            y=rows[column],
            mode="lines+markers",
            name=name,
            line={"color": colour, "width": 3, "dash": dash},
            marker={"size": 10, "symbol": symbol},
            hovertemplate="%{x} layers: %{y:.1%}<extra></extra>",
        )


def _bars(go, pooled: pl.DataFrame, assigned: pl.DataFrame) -> Iterator:
    """Bars for a single distance, where a line would be a point."""
    for rows, column, name, colour, *_ in _shares(pooled, assigned):
        row = rows.row(0, named=True)
        share, spread = row[column], None
        if column == "agreement" and share is not None:
            over, under = row["high"] - share, share - row["low"]
            spread = {"array": [over], "arrayminus": [under], "thickness": 2}
        yield go.Bar(
            x=[name],
            y=[share],
            name=name,
            marker_color=colour,
            error_y=spread,
            text=[None if share is None else percent(share)],
            textposition="inside",
            insidetextanchor="middle",
            hovertemplate="%{y:.1%}<extra></extra>",
        )

"""What steering does by strength, to the theme and to the text: one way beside another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import polars as pl

from saematch.plots.style import (
    BLUE,
    GREEN,
    GREY,
    LEGEND_ABOVE,
    ORANGE,
    RED,
    faded,
    log_ticks,
    plotly_objects,
    styled,
)
from saematch.plots.tables import Missing
from saematch.runs.run import Run

if TYPE_CHECKING:
    import plotly.graph_objects as go

# by way: name in the legend, colour, symbol
WAYS = {
    "layer": ("the feature alone", BLUE, "circle"),
    "output-score": ("best output score", ORANGE, "diamond"),
    "track": ("its track", GREEN, "square"),
    "flow": ("its flow", RED, "triangle-up"),
}
# by column of the table: the title of its panel; with ratings what the language model says
SHOWN = {
    "activation": "theme",
    "perplexity": "perplexity",
    "distinct_2": "distinct pairs of tokens",
}
RATED = {"concept": "rated: concept", "fluency": "rated: fluency"}
PANEL, AROUND = 300, 215  # pixels of height: of a sweep's panels, and of all around them
TOP = 140  # pixels above the panels


def steering(run: Run) -> dict[str, go.Figure]:
    """Effect and damage by strength, a row of panels per sweep and a line per way."""
    go = plotly_objects()
    from plotly.subplots import make_subplots

    from saematch.steering.sweep import best_of, with_damage

    section = run.section("steering")
    if section is None:
        raise Missing("the run has no sweep of steering: `saematch steer --sweep` makes it")
    table = run.table("steering", "means")
    columns = {**SHOWN, **(RATED if table["concept"].count() else {})}
    sweeps = section.sweeps
    height = AROUND + PANEL * len(sweeps)
    figure = make_subplots(
        len(sweeps),
        len(columns),
        horizontal_spacing=0.18 / len(columns),
        vertical_spacing=80 / (PANEL * len(sweeps)) if len(sweeps) > 1 else 0,
        subplot_titles=[title for _ in sweeps for title in columns.values()],
    )
    best: dict[str, Mapping[str, Any] | None] = {}
    for row, sweep in enumerate(sweeps, start=1):
        rows = table.filter(sweep=sweep.name)
        best[sweep.name] = best_of(rows)
        rows = with_damage(rows)
        for place, column in enumerate(columns, start=1):
            for way in WAYS:
                some = rows.filter(pl.col("way") == way, pl.col(column).is_not_null())
                if len(some):
                    line = _line(go, some.sort("strength").rows(named=True), way, column)
                    line.showlegend = row == place == 1
                    figure.add_trace(line, row=row, col=place)
            usual = rows.filter(way="plain")[column][0]
            if usual is not None:
                where: Any = {"row": row, "col": place}
                figure.add_hline(usual, line={"dash": "dot", "color": GREY, "width": 1.5}, **where)
            _axes(figure, rows, column, row, place, last=row == len(sweeps))
    styled(figure, _said([*best.values()]), _below(), height)
    notes: Any = figure.layout["annotations"]
    for number, sweep in enumerate(sweeps):
        note = notes[number * len(columns)]
        note.text = f"<b>{_what(sweep.features, sweep.concept)}</b>: {note.text}"
    _titles(figure)
    figure.update_layout(
        legend={**LEGEND_ABOVE, "y": 1 + 34 / (height - TOP - 75)}, margin={"t": TOP, "l": 60}
    )
    return {"steering": figure}


def _line(go, rows: Sequence[Mapping[str, Any]], way: str, column: str) -> Any:
    """A way's values by strength; hollow where the text is damaged."""
    name, colour, symbol = WAYS[way]
    spread = {}
    if f"{column}_high" in rows[0] and column != "distinct_2":
        half = [None if (h := row[f"{column}_high"]) is None else h - row[column] for row in rows]
        spread["error_y"] = {
            "array": half,
            "color": faded(colour, 0.4),
            "thickness": 1.5,
            "width": 0,
        }
    return go.Scatter(
        x=[row["strength"] for row in rows],
        y=[row[column] for row in rows],
        name=name,
        legendgroup=way,
        mode="lines+markers",
        line={"color": colour, "width": 2},
        marker={
            "symbol": symbol,
            "size": 10,
            "color": ["white" if row["damaged"] else colour for row in rows],
            "line": {"color": colour, "width": 2},
        },
        customdata=["damaged" if row["damaged"] else "" for row in rows],
        hovertemplate="strength %{x:g}: %{y:.3g} %{customdata}<extra>%{fullData.name}</extra>",
        **spread,
    )


def _axes(
    figure: go.Figure, rows: pl.DataFrame, column: str, row: int, place: int, last: bool
) -> None:
    where: Any = {"row": row, "col": place}
    strengths = sorted({*rows.filter(pl.col("way") != "plain")["strength"]})
    figure.update_xaxes(
        type="log" if strengths[0] > 0 else "linear",
        tickvals=strengths,
        ticktext=[f"{strength:g}" for strength in strengths],
        title_text="strength" if last else None,
        **where,
    )
    if column == "perplexity":
        ticks = log_ticks(rows[column])
        ticks = ticks if len(ticks) < 7 else [tick for tick in ticks if f"{tick:g}"[0] == "1"]
        shown = [f"{tick:,.0f}" for tick in ticks]
        figure.update_yaxes(type="log", tickvals=ticks, ticktext=shown, **where)
    elif column == "distinct_2":
        figure.update_yaxes(range=[0, 1.04], tickformat=".0%", **where)
    elif column in RATED:
        figure.update_yaxes(range=[0, 2.08], dtick=1, **where)
    else:
        figure.update_yaxes(rangemode="tozero", **where)


def _titles(figure: go.Figure) -> None:
    """Titles of panels begin where their panel does."""
    notes: Any = figure.layout["annotations"]
    for number, note in enumerate(notes):
        axis: Any = figure.layout[f"xaxis{number + 1 if number else ''}"]
        note.update(x=axis.domain[0], xanchor="left", font_size=15, yshift=6)


def _what(features: Sequence[str], concept: str) -> str:
    """The named feature and what it means, in few words."""
    words = concept if len(concept) <= 20 else concept[:19].rstrip(" ,") + "…"
    site, _, number = features[0].partition("/")
    more = "" if len(features) == 1 else f" and {len(features) - 1} more"
    return f"{site} #{number}{more} ({words})"


def _said(best: Sequence[Mapping[str, Any] | None]) -> str:
    """Which way brought most of the theme in text that is not damaged."""
    found = [str(one["way"]) for one in best if one is not None]
    failed = len(best) - len(found)
    if not found:
        return "No way of steering brought the theme without damage"
    counts = {way: found.count(way) for way in WAYS if way in found}
    said = ", ".join(f"{WAYS[way][0]} ({n})" for way, n in counts.items())
    said = f"Most of the theme without damage: {said if len(best) > 1 else WAYS[found[0]][0]}"
    return said + (f"; in {failed} of {len(best)} sweeps nothing" if failed else "")


def _below() -> str:
    return (
        "strength 1: each feature's largest activation; dotted: the plain model; hollow: damaged "
        "(over twice its perplexity, or under 80 % of its distinct pairs)"
    )

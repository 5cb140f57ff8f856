"""What judges say of matches, layer by layer, and of controls beside them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import polars as pl

from saematch.plots.style import (
    BLUE,
    HEIGHT,
    INK,
    LEGEND_ABOVE,
    MANY,
    ORANGE,
    percent,
    plotly_objects,
    short,
    styled,
)
from saematch.plots.tables import judgements
from saematch.runs.run import Run

if TYPE_CHECKING:
    import plotly.graph_objects as go

GRADES = {"same": ("SAME", BLUE), "maybe": ("MAYBE", "#D0D0D0"), "different": ("DIFFERENT", ORANGE)}
CONTROLS = {
    "self": "the same<br>feature",
    "near": "nearest<br>other",
    "identity": "feature i<br>and i",
    "random": "random<br>partner",
}
PANEL, AROUND = 180, 260  # pixels of height: of a judge's panels, and of all around them
ROOM = 0.15  # of a panel's height, for a share in its bar
Row = Mapping[str, Any]


def judging(run: Run) -> dict[str, go.Figure]:
    """Shares of SAME, MAYBE and DIFFERENT of matches by pair and of controls, a row per judge."""
    go = plotly_objects()
    from plotly.subplots import make_subplots

    from saematch.judging import shares

    table = judgements(run)
    matches = table.filter(kind="match")
    judges = matches["judge"].unique(maintain_order=True).to_list()
    whole = {row["judge"]: row for row in shares(matches, ["judge"]).iter_rows(named=True)}
    steps, axis = _steps(matches)
    near = _by(shares(matches, ["judge", "a", "b"]), "judge", "a", "b")
    beside = _by(shares(table, ["judge", "kind"]), "judge", "kind")
    kinds = [kind for kind in CONTROLS if any((judge, kind) in beside for judge in judges)]
    height = AROUND + PANEL * len(judges)
    figure = make_subplots(
        len(judges),
        2,
        shared_xaxes=True,
        shared_yaxes=True,
        column_widths=[0.64, 0.36],
        horizontal_spacing=0.04,
        vertical_spacing=50 / (PANEL * len(judges)),
        subplot_titles=[
            title
            for judge in judges
            for title in (f"<b>{judge}</b>: matches", "controls" if kinds else "")
        ],
    )
    for row, judge in enumerate(judges, start=1):
        for column, (x, rows) in enumerate(
            (
                ([*steps.values()], [near.get((judge, *pair)) for pair in steps]),
                ([CONTROLS[kind] for kind in kinds], [beside.get((judge, k)) for k in kinds]),
            ),
            start=1,
        ):
            for bars in _stack(go, x, rows, legend=row == column == 1):
                figure.add_trace(bars, row=row, col=column)
    figure.update_annotations(yshift=5)
    styled(figure, _said(whole, beside), _below(matches), height)
    figure.update_yaxes(tickformat=".0%", range=[0, 1.001], dtick=0.5)
    figure.update_yaxes(title_text="share", col=1)
    figure.update_xaxes(type="category", tickangle=0, showgrid=False)
    figure.update_xaxes(title_text=axis, row=len(judges), col=1)
    figure.update_layout(
        barmode="stack",
        bargap=0.25,
        legend={**LEGEND_ABOVE, "y": 1 + 30 / (height - 195), "traceorder": "normal"},
        margin_t=HEIGHT // 5,
    )
    return {"judging": figure}


def _by(rows: pl.DataFrame, *columns: str) -> dict[tuple[Any, ...], Row]:
    return {tuple(row[name] for name in columns): row for row in rows.iter_rows(named=True)}


def _steps(matches: pl.DataFrame) -> tuple[dict[tuple[str, str], str], str]:
    """What to call each pair on the axis, and the axis."""
    pairs = matches.select("a", "b").unique(maintain_order=True).rows()
    names = list(dict.fromkeys(name for pair in pairs for name in pair))
    ends = dict(zip(names, short(names), strict=True))
    if len(pairs) >= MANY and len({a for a, _ in pairs}) == len(pairs):
        return {(a, b): ends[a] for a, b in pairs}, "from layer"
    return {(a, b): f"{ends[a]}→{ends[b]}" for a, b in pairs}, "layers"


def _stack(go, x: Sequence[str], rows: Sequence[Row | None], legend: bool) -> Iterator:
    """The bars of each grade, SAME at the bottom; over them its interval and share."""
    known = [row or dict.fromkeys((*GRADES, "same_low", "same_high")) for row in rows]
    counted = [f"of {row['cases']:,}" if row else "" for row in rows]
    for grade, (name, colour) in GRADES.items():
        yield go.Bar(
            x=x,
            y=[row[grade] for row in known],
            name=name,
            legendgroup=grade,
            showlegend=legend,
            marker_color=colour,
            customdata=counted,
            hovertemplate=f"%{{x}}: %{{y:.1%}} {name} %{{customdata}}<extra></extra>",
        )
    # the next bar of the stack would cover an interval of the bars' own
    over = {"x": x, "hoverinfo": "skip", "showlegend": False}
    yield go.Scatter(
        **over,
        y=[row["same"] for row in known],
        mode="markers",
        marker={"color": INK, "size": 1},
        error_y={
            "array": _apart(known, "same_high", "same"),
            "arrayminus": _apart(known, "same", "same_low"),
            "color": INK,
            "thickness": 1.5,
            "width": 4,
        },
    )
    if len(x) < MANY:
        inside = [row["same_low"] is not None and row["same_low"] >= ROOM for row in known]
        above = [row["same_high"] for row in known]
        yield go.Scatter(
            **over,
            y=[0 if here else high for here, high in zip(inside, above, strict=True)],
            mode="text",
            text=["" if row["same"] is None else percent(row["same"]) for row in known],
            textposition="top center",
            textfont={"color": ["white" if within else INK for within in inside], "size": 14},
        )


def _apart(rows: Sequence[Row], more: str, less: str) -> list[float | None]:
    return [
        None if row[more] is None or row[less] is None else row[more] - row[less] for row in rows
    ]


def _said(whole: Mapping[str, Row], beside: Mapping[tuple[Any, ...], Row]) -> str:
    """The range over judges of SAME among matches, and among random partners."""
    said = f"{_range([row['same'] for row in whole.values()])} of matches are judged SAME"
    chance = [beside[judge, "random"]["same"] for judge in whole if (judge, "random") in beside]
    return f"{said}, {_range(chance)} of random partners" if chance else said


def _range(values: Sequence[float]) -> str:
    return " to ".join(dict.fromkeys(percent(value) for value in (min(values), max(values))))


def _below(matches: pl.DataFrame) -> str:
    return (
        f"{matches['case'].n_unique():,} matches along {matches['path'].n_unique():,} paths; "
        "lines: 95 % intervals of SAME, over paths"
    )

"""What interventions found: features that no longer fire, and partners in the place of others."""

from __future__ import annotations

from itertools import cycle
from typing import TYPE_CHECKING, Any

import polars as pl

from saematch.plots.coverage import COLOURS
from saematch.plots.style import BLUE, GREY, INK, plotly_objects, styled
from saematch.plots.tables import Missing
from saematch.runs.run import Run

if TYPE_CHECKING:
    import plotly.graph_objects as go


def causes(run: Run) -> dict[str, go.Figure]:
    """Shares that no longer fire by method, and quality of partners against coverage."""
    if not run.tables("causes"):
        raise Missing("nothing was changed in a model: `saematch intervene` does it")
    found: dict[str, go.Figure] = {}
    if "deactivation" in run.tables("causes"):
        found["deactivation"] = _deactivation(run)
    if "substitution" in run.tables("causes"):
        found["substitution"] = _substitution(run.table("causes", "substitution"))
    if not found:
        raise Missing("no feature was deactivated, and none replaced: `saematch intervene`")
    return found


def _deactivation(run: Run) -> go.Figure:
    """A dot with its interval for each method, a hollow one for its control."""
    go = plotly_objects()
    from saematch.causal.deactivation import CEILING, RANDOM
    from saematch.causal.findings import by_place, deactivations

    place, single = next(iter(by_place(run.table("causes", "deactivation"), run).items()))
    rows = deactivations(single).to_dicts()
    own = sorted((row for row in rows if not row["control"]), key=lambda row: row["success"])
    order = [row["method"] for row in own]
    figure = go.Figure()
    for control, name, colour in (
        (False, "its predecessor removed", BLUE),
        (True, "control", GREY),
    ):
        some = [row for row in rows if row["control"] == control]
        some.sort(key=lambda row: order.index(row["method"]))
        figure.add_trace(
            go.Scatter(
                x=[row["success"] for row in some],
                y=[row["method"] for row in some],
                mode="markers",
                name=name,
                marker={
                    "color": "white" if control else colour,
                    "size": 11,
                    "line": {"color": colour, "width": 2},
                },
                error_x={
                    "array": [row["success_high"] - row["success"] for row in some],
                    "arrayminus": [row["success"] - row["success_low"] for row in some],
                    "color": colour,
                },
                hovertemplate="%{y}: %{x:.1%}<extra></extra>",
            )
        )
    by = {row["method"]: row["success"] for row in own}
    named = [row for row in own if row["method"] not in (CEILING, RANDOM)]
    alone = max(row["success"] for row in named if not row["method"][0].isdigit())
    styled(
        figure,
        f"A feature's predecessor {place} removed: {alone:.0%} fall silent; at best "
        f"{by[CEILING]:.0%}",
        "share of features that no longer fire, 95 % intervals; control: as much removed along "
        "another feature that fires",
    )
    figure.update_xaxes(tickformat=".0%", range=[0, 1], title_text="no longer fire")
    figure.update_yaxes(categoryorder="array", categoryarray=order, title_text="")
    return figure


def _substitution(replaced: pl.DataFrame) -> go.Figure:
    """Mean causal equivalence of the first partners by p-value, a line per method."""
    go = plotly_objects()
    from saematch.causal.findings import quality_curve, substitutions
    from saematch.causal.substitution import NEAREST, RANDOM

    figure = go.Figure()
    rows = substitutions(replaced).to_dicts()
    named = [row for row in rows if row["ausqc"] is not None]
    named.sort(key=lambda row: row["ausqc"], reverse=True)
    for row, colour in zip(named, cycle(COLOURS), strict=False):
        curve = quality_curve(replaced.filter(method=row["method"]))
        first = max(1, len(curve) // 20)  # a mean of fewer is noise
        figure.add_trace(
            go.Scatter(
                x=curve[first - 1 :, 0],
                y=curve[first - 1 :, 1],
                mode="lines",
                name=f"{row['method']} ({row['ausqc']:.2f})",
                line={"color": colour, "width": 2.5},
                hovertemplate=f"{row['method']}, %{{x:.0%}}: %{{y:.2f}}<extra></extra>",
            )
        )
    controls: dict[str, Any] = {row["method"]: row["equivalence"] for row in rows}
    for name in (NEAREST, RANDOM):
        if controls.get(name) is not None:
            figure.add_hline(
                controls[name],
                line={"color": INK, "width": 1, "dash": "dot"},
                annotation={"text": name, "font": {"color": INK}},
            )
    figure.add_hline(0, line={"color": GREY, "width": 1})
    best = named[0]
    styled(
        figure,
        f"Partners of {best['method']} do best in the place of features: {best['ausqc']:.2f}",
        "mean causal equivalence of the first partners, least p-value first; 0: as if the feature "
        "were only removed",
    )
    figure.update_xaxes(tickformat=".0%", range=[0, 1.005], title_text="share of features")
    figure.update_yaxes(title_text="mean causal equivalence")
    figure.update_layout(legend={"title_text": "method (area)"})
    return figure

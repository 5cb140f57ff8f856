"""How many features match from layer to layer and how closely, beside i -> i."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from saematch.plots.style import (
    BLUE,
    LEGEND_ABOVE,
    MANY,
    ORANGE,
    log_ticks,
    percent,
    plotly_objects,
    short,
    styled,
)
from saematch.plots.tables import EVERY, neighbours
from saematch.runs.run import Run

if TYPE_CHECKING:
    import plotly.graph_objects as go

TERMS = {
    "decoder_mse_folded": "decoder",
    "encoder_mse_folded": "encoder",
    "encoder_bias_mse_folded": "encoder bias",
}

KINDS = {
    "median": ("matched pairs", BLUE, "solid"),
    "identity": ("feature i to feature i", ORANGE, "dash"),
}


def quality(run: Run) -> dict[str, go.Figure]:
    """Share of matched features, and the median folded MSE per term, with that of i -> i."""
    go = plotly_objects()
    from plotly.subplots import make_subplots

    pairs, which = neighbours(run)
    names = list(dict.fromkeys(name for pair in pairs for name in pair))
    ends = dict(zip(names, short(names), strict=True))
    steps, axis = [f"{ends[a]}→{ends[b]}" for a, b in pairs], "layers"
    if len(pairs) >= MANY and len({a for a, _ in pairs}) == len(pairs):
        steps, axis = [ends[a] for a, _ in pairs], "from layer"
    ordered = which != EVERY
    axis = axis if ordered else "A → B"
    summaries = [run.summaries[pair] for pair in pairs]
    tested = all(s["null"] != "none" for s in summaries)
    accepted = "matched: significant" if tested else "matched: accepted by the method's own rule"
    figure = make_subplots(
        2,
        3,
        specs=[[{"colspan": 3}, None, None], [{}, {}, {}]],
        subplot_titles=[accepted, *(f"{t}: folded MSE" for t in TERMS.values())],
        vertical_spacing=0.26,
        horizontal_spacing=0.08,
    )
    shares = [s["matched"] / max(1, s["features_a"] - s["excluded_a"]) for s in summaries]
    figure.add_trace(
        go.Bar(
            x=steps,
            y=shares,
            marker_color=BLUE,
            text=[percent(share) for share in shares] if len(steps) < MANY else None,
            textposition="outside",
            cliponaxis=False,
            showlegend=False,
            hovertemplate="%{x}: %{y:.1%}<extra></extra>",
        ),
        row=1,
        col=1,
    )
    for column, term in enumerate(TERMS, start=1):
        for kind, (name, colour, dash) in KINDS.items():
            figure.add_trace(
                go.Scatter(
                    x=steps,
                    y=[s.get(f"{kind}_{term}") for s in summaries],
                    name=name,
                    legendgroup=name,
                    showlegend=column == 1,
                    mode="lines+markers" if ordered else "markers",
                    marker={"size": 9, "symbol": "circle" if kind == "median" else "diamond"},
                    line={"color": colour, "width": 3, "dash": dash},
                    hovertemplate="%{x}: %{y:.3g}<extra></extra>",
                ),
                row=2,
                col=column,
            )
    terms = [(s[f"median_{t}"], s[f"identity_{t}"]) for s in summaries for t in TERMS]
    known = [(one, other) for one, other in terms if one is not None and other is not None]
    closer = all(one < other for one, other in known) and known
    folds = sorted({s["measures_fold"] for s in summaries})
    low, high = percent(min(shares)), percent(max(shares))
    styled(
        figure,
        f"{low if low == high else f'{low} to {high}'} of features are matched"
        f"{', in every term closer than i → i' if closer else ''}",
        f"{which}; MSE: median over features, folded by {' or '.join(folds)}",
        height=760,
    )
    figure.update_yaxes(
        tickformat=".0%", range=[0, 1.05], title_text="share of features in use", row=1
    )
    for column, term in enumerate(TERMS, start=1):
        ticks = log_ticks(s.get(f"{kind}_{term}") for s in summaries for kind in KINDS)
        if ticks:
            around = [math.log10(ticks[0]) - 0.03, math.log10(ticks[-1]) + 0.03]
            names = [f"{tick:g}" for tick in ticks]
            scale = {"tickvals": ticks, "ticktext": names, "range": around, "type": "log"}
            figure.update_yaxes(**scale, row=2, col=column)
    figure.update_yaxes(title_text="MSE (log scale)", row=2, col=1)
    figure.update_xaxes(title_text=axis, type="category", row=2)
    figure.update_xaxes(type="category", row=1)
    figure.update_layout(legend={**LEGEND_ABOVE, "y": 0.47, "x": 0, "xanchor": "left"})
    return {"quality": figure}

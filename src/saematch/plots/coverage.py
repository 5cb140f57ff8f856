"""Whether small p-values foretell what judges say: the mean of the first matches by p-value."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import cycle
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from saematch.plots.style import BLUE, GREEN, INK, ORANGE, RED, plotly_objects, styled
from saematch.plots.tables import Missing, judgements
from saematch.runs.run import Run

if TYPE_CHECKING:
    import plotly.graph_objects as go

# Okabe and Ito, 2008, the last three too
COLOURS = (BLUE, ORANGE, GREEN, "#CC79A7", RED, "#56B4E9", INK)
LEAST = 10  # matches, before which a mean is noise


def coverage(run: Run) -> dict[str, go.Figure]:
    """Mean probability of SAME among the first matches by p-value, a line per judge."""
    go = plotly_objects()
    from saematch.judging import coverage_curve

    table = judgements(run).filter(kind="match").drop_nulls(["p_value", "probability"])
    table = table.filter(pl.len().over("judge") >= LEAST)
    if not len(table):
        raise Missing(
            f"no judge gave a grade to {LEAST} matches with a p-value: without a null (--null "
            "none) there is none"
        )
    judges = table["judge"].unique(maintain_order=True).to_list()
    figure, halves, means = go.Figure(), [], []
    for judge, colour in zip(judges, cycle(COLOURS), strict=False):
        some = table.filter(judge=judge)
        likely = some["probability"].to_numpy()
        curve = coverage_curve(-some["p_value"].to_numpy(), likely)
        taken = np.arange(1, len(curve) + 1)
        mean = float(likely.mean())
        halves.append(float(curve[(len(curve) + 1) // 2 - 1]))
        means.append(mean)
        figure.add_trace(
            go.Scatter(
                x=(taken / len(curve))[LEAST - 1 :],
                y=curve[LEAST - 1 :],
                customdata=taken[LEAST - 1 :],
                mode="lines",
                name=f"{judge} ({len(curve):,})",
                legendgroup=judge,
                line={"color": colour, "width": 3},
                hovertemplate=f"{judge}, the first %{{customdata:,}}: %{{y:.3f}}<extra></extra>",
            )
        )
        figure.add_trace(
            go.Scatter(
                x=[0, 1],
                y=[mean, mean],
                mode="lines",
                legendgroup=judge,
                showlegend=False,
                line={"color": colour, "width": 1.5, "dash": "dot"},
                hovertemplate=f"{judge}, all: %{{y:.3f}}<extra></extra>",
            )
        )
    title = (
        f"SAME with a probability of {_range(means)}; of the half with the smallest p-values "
        f"{_range(halves)}"
    )
    below = "mean of the first matches in order of p-value, least first; dotted: of all matches"
    styled(figure, title, below)
    figure.update_xaxes(tickformat=".0%", range=[0, 1.005], title_text="share of matches taken")
    figure.update_yaxes(range=[0, 1.02], title_text="mean probability of SAME")
    figure.update_layout(legend={"title_text": "judge (matches)"})
    return {"coverage": figure}


def _range(values: Sequence[float]) -> str:
    return " to ".join(dict.fromkeys(f"{value:.2f}" for value in (min(values), max(values))))

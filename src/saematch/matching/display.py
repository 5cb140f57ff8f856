# pyright: strict, reportUnknownMemberType=false
"""A matching in a notebook: one line, or a table with a histogram."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, cast

import torch

from saematch.files.html import bars, table
from saematch.matching.tables import summarise

if TYPE_CHECKING:
    from saematch.matching.matching import Matching

BINS = 40  # of the histogram of decoder cosines
SHOWN = {
    "decoder_cosine": "decoder cosine",
    "encoder_cosine": "encoder cosine",
    "decoder_mse_folded": "decoder MSE, folded",
    "encoder_mse_folded": "encoder MSE, folded",
}


def sentence(m: Matching) -> str:
    """The repr: what was matched, how well, and how close to the best assignment that is."""
    figures = summarise(m)
    parts = [
        f"{figures['matched']:,} of {m.a.d_sae:,} features",
        f"median decoder cosine {_number(figures['median_decoder_cosine'])}",
        f"{figures['mutual_share']:.0%} mutual",
        f"{figures['identity_share']:.1%} i -> i",
        optimality(m),
    ]
    how = f"{m.method.name}, folded by {m.fold}" if m.fold != "none" else m.method.name
    return f"Matching({m.a.name} -> {m.b.name} by {how}: {', '.join(parts)})"


def optimality(m: Matching) -> str:
    """How close the total score is to that of the best assignment."""
    if m.relative_gap is None:
        return "target given, not solved for"
    if m.method.kind == "many-to-one":
        return "each to its best"
    if m.relative_gap <= 1e-9:
        return f"optimal, proved to {m.relative_gap:.0e}"
    return f"within {m.relative_gap:.0e} of optimal"


def significance(m: Matching) -> str:
    """Which pairs count as matched, in a sentence."""
    asked = m.verdict.significance
    if m.p_cut is None:
        given = asked.null != "none" and m.assignment is None
        return (
            "Every pair that was given counts as matched."
            if given
            else "Every assigned pair counts as matched: there is no null to test against."
        )
    what = "cosines" if m.verdict.test == "direction" else "scores"
    return (
        f"Matched: p ≤ {m.p_cut:.2g}, a false discovery rate of {asked.fdr:.3g}. The {what} of "
        f"pairs are tested against the {asked.null} null."
    )


def html(m: Matching) -> str:
    """A small table, which pairs are significant, and the decoder cosines of matched features."""
    figures = summarise(m)
    in_use = m.a.d_sae - int(figures["excluded_a"] or 0)
    share = m.n_matched / max(1, in_use)
    rows = [
        ("matched", f"{m.n_matched:,} of {in_use:,} features ({share:.1%})", ""),
        ("each the other's best", f"{figures['mutual_share']:.1%}", ""),
        ("same index (i → i)", f"{m.identity_share:.1%}", ""),
        ("assignment", optimality(m), ""),
    ]
    for name, label in SHOWN.items():
        value, baseline = figures[f"median_{name}"], figures[f"identity_{name}"]
        rows.append((f"median {label}", _number(value), _number(baseline)))
    fold = f", folded by {m.fold}" if m.fold != "none" else ""
    caption = f"{m.a.name} → {m.b.name} by {m.method}{fold}"
    return (
        table(caption, rows, ("", "matched features", "i → i"))
        + f"<p>{escape(significance(m))}</p>"
        + _histogram(m)
    )


def _histogram(m: Matching) -> str:
    cosine = m.measures["decoder_cosine"][m.matched].float().cpu()
    cosine = cosine[cosine.isfinite()]
    if not len(cosine):
        return ""
    low = -1.0 if float(cosine.min()) < 0 else 0.0
    counts = cast("list[int]", torch.histc(cosine.clamp(low, 1), BINS, low, 1).long().tolist())
    return bars("Decoder cosine of matched features", counts, low, 1.0)


def _number(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else "-"

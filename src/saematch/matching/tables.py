# pyright: strict, reportUnknownMemberType=false
"""A matching as tables and figures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, cast

import polars as pl
import torch

if TYPE_CHECKING:
    from saematch.matching.matching import Matching

BINS = 100  # of the histogram of scores
BANDS = ((0.9, 1.01), (0.7, 0.9), (0.5, 0.7), (0.3, 0.5), (-1.01, 0.3))


def matching_frame(m: Matching) -> pl.DataFrame:
    """One row per feature of A.

    `feature`, `target` (null without one), `matched`, `score`, `statistic` (what the p-value is
    of), `p_value`, `rank_in_row`, `rank_in_column`, `mutual`, the measures of
    `saematch.matching.measures.measure_pairs`, and `excluded`: why the feature took no part, or
    null.
    """
    columns: dict[str, object] = {
        "feature": range(len(m.target)),
        "target": m.target.cpu().numpy(),
        "matched": m.matched.cpu().numpy(),
        "score": m.score.cpu().numpy(),
        "statistic": m.statistic.cpu().numpy(),
        "p_value": m.p_value.cpu().numpy(),
        "rank_in_row": m.pairs.rank_in_row.cpu().numpy(),
        "rank_in_column": m.pairs.rank_in_column.cpu().numpy(),
        "mutual": m.mutual.cpu().numpy(),
    }
    columns |= {name: values.float().cpu().numpy() for name, values in m.measures.items()}
    frame = pl.DataFrame(columns).with_columns(
        pl.col("feature").cast(pl.Int64),
        pl.when(pl.col("target") >= 0).then(pl.col("target")).alias("target"),
        pl.Series("excluded", _reasons(m), dtype=pl.String),
    )
    return frame.with_columns(
        pl.when(pl.col(name) > 0).then(pl.col(name)).alias(name)
        for name in ("rank_in_row", "rank_in_column")
    ).fill_nan(None)


def null_frame(m: Matching) -> pl.DataFrame:
    """A histogram: `low`, `high`, `observed`, `null`, one row per bin of the test statistic.

    `observed` counts features of A by the statistic of their target; `null` is how many of as many
    features the best of the null would put there. No rows without a null or without targets.
    """
    score = m.statistic[m.statistic.isfinite()].double().cpu()
    kinds = {"low": pl.Float64, "high": pl.Float64, "observed": pl.Int64, "null": pl.Float64}
    if m.verdict.null_best is None or not len(score):
        return pl.DataFrame(schema=kinds)
    best = m.verdict.null_best.double().cpu()
    both = torch.cat([score, best])
    low, high = float(both.min()), float(both.max())
    edges = torch.linspace(low, high if high > low else low + 1, BINS + 1, dtype=torch.float64)

    def count(values: torch.Tensor) -> torch.Tensor:
        inner = torch.bucketize(values, edges[1:-1], right=True)
        return torch.bincount(inner, minlength=BINS)

    columns = edges[:-1], edges[1:], count(score), count(best) * len(score) / len(best)
    data = {name: c.numpy() for name, c in zip(kinds, columns, strict=True)}
    return pl.DataFrame(data, schema=kinds)


def summarise(m: Matching) -> dict[str, float | int | str | None]:
    """The figures of a matching by name, medians over its matched features.

    `cosine_ge_X` are shares of all features of A that are matched at a decoder cosine of X or more;
    `identity_*` are the same medians for i -> i.
    """
    kept, identity = m.matched, m.measures.identity
    cosine = m.measures["decoder_cosine"]
    figures: dict[str, float | int | str | None] = {
        "method": m.method.name,
        "fold": m.fold,
        "measures_fold": m.measures.fold,
        "features_a": m.a.d_sae,
        "features_b": m.b.d_sae,
        "excluded_a": _excluded(m.excluded[0]),
        "excluded_b": _excluded(m.excluded[1]),
        "null": m.verdict.significance.null,
        "test": m.verdict.test,
        "fdr": None if m.p_cut is None else m.verdict.significance.fdr,
        "p_cut": m.p_cut,
        "partial": m.verdict.significance.partial,
        "assigned": int((m.target >= 0).sum()),
        "matched": m.n_matched,
        "mutual_share": _share(m.mutual[kept]),
        "identity_share": m.identity_share,
        "gap": m.gap,
        "relative_gap": m.relative_gap,
        "seconds": m.seconds,
    }
    medians = {
        "median_score": m.score[kept],
        "median_statistic": m.statistic[kept],
        "null_statistic": m.verdict.null_best,
    }
    for name, values in medians.items():
        some = values is not None and len(values)
        figures[name] = float(values.nanmedian()) if values is not None and some else None
    for low, _ in BANDS[:-1]:
        figures[f"cosine_ge_{low:g}"] = float((cosine[kept] >= low).sum()) / max(1, m.a.d_sae)
    for name, values in m.measures.items():
        figures[f"median_{name}"] = float(values[kept].nanmedian()) if m.n_matched else None
        figures[f"identity_{name}"] = None if identity is None else identity[name]
    return figures


def _share(mask: torch.Tensor) -> float:
    return float(mask.float().mean()) if mask.numel() else 0.0


def _excluded(reasons: Mapping[str, torch.Tensor]) -> int:
    return int(torch.stack([*reasons.values()]).any(0).sum()) if reasons else 0


def _reasons(m: Matching) -> list[str | None]:
    reasons: list[str | None] = [None] * len(m.target)
    for reason, mask in m.excluded[0].items():
        for i in cast("list[int]", mask.nonzero().flatten().tolist()):
            reasons[i] = reason if reasons[i] is None else f"{reasons[i]}, {reason}"
    return reasons

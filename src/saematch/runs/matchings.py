# pyright: strict, reportUnknownMemberType=false
"""A pair of a run as a `Matching` again."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import polars as pl
import torch
from torch import Tensor

from saematch.errors import RunError
from saematch.matching.matching import Matching
from saematch.matching.measures import Measures
from saematch.matching.methods import Method
from saematch.matching.pairs import Pairs
from saematch.matching.saved import SavedSae, same_sae
from saematch.matching.significance import Significance
from saematch.matching.verdict import Verdict
from saematch.numerics.ranked import Ranked
from saematch.sae.sae import SAE

if TYPE_CHECKING:
    from saematch.runs.records import PairSummary
    from saematch.runs.run import Run

_SIGNIFICANCE = ("null", "fdr", "partial", "seed", "test")
_NO_SOURCE = "excluded from this pair"


def read_matching(
    run: Run, a: str, b: str, saes: tuple[SAE | None, SAE | None] = (None, None)
) -> Matching:
    """The matching that a pair's tables were written from; see `Run.matching`."""
    table, summary, record = run.pair(a, b), run.summaries[a, b], run.record
    sae_a, sae_b = (_sae(run, name, given) for name, given in zip((a, b), saes, strict=True))
    device = sae_a.device

    def numbers(column: str) -> Tensor:
        values = table[column].cast(pl.Float64).fill_null(float("nan"))
        return values.to_torch().to(device)

    def integers(column: str, none: int) -> Tensor:
        return table[column].cast(pl.Int64).fill_null(none).to_torch().to(device)

    asked = {name: record.options[name] for name in _SIGNIFICANCE if name in record.options}
    sources = run.sources(a, b)
    return Matching(
        a=sae_a,
        b=sae_b,
        method=Method.of_options(record.options),
        pairs=Pairs(
            target=integers("target", -1),
            matched=table["matched"].to_torch().to(device),
            score=numbers("score"),
            p_value=numbers("p_value"),
            rank_in_row=integers("rank_in_row", 0),
            rank_in_column=integers("rank_in_column", 0),
        ),
        candidates=Ranked.from_polars(run.candidates(a, b), "target", sae_a.d_sae).to_torch(device),
        sources=Ranked.from_polars(sources, "source", sae_b.d_sae).to_torch(device),
        verdict=Verdict(
            significance=Significance(**asked),
            test=summary.test,  # pyright: ignore[reportArgumentType]
            p_cut=summary.p_cut,
            statistic=numbers("statistic") if "statistic" in table.columns else None,
        ),
        measures=_measures(table, summary, device),
        excluded=(
            _reasons(table["excluded"], device),
            _excluded_b(run.features(b), sources, summary.excluded_b, device),
        ),
        assignment=None,
        notes=tuple(run.notes(a, b)),
        seconds=summary.seconds,
        known_gaps=_gaps(summary),
    )


def _sae(run: Run, name: str, given: SAE | None) -> SAE:
    its = run.sae(name)
    saved = SavedSae(its.conventions.source, its.checksum, "float32", its.d_sae, its.site)
    return same_sae(saved, given, str(run.path), "give that SAE, or make the run again", RunError)


def _measures(table: pl.DataFrame, summary: PairSummary, device: torch.device) -> Measures:
    names = [name for name in table.columns if f"identity_{name}" in summary.more]
    identity = {name: summary[f"identity_{name}"] for name in names}
    known = any(value is not None for value in identity.values())
    return Measures(
        {name: table[name].fill_null(float("nan")).to_torch().to(device) for name in names},
        summary.measures_fold,  # pyright: ignore[reportArgumentType]
        {name: float("nan") if v is None else v for name, v in identity.items()} if known else None,
    )


def _gaps(summary: PairSummary) -> tuple[float, float] | None:
    if summary.gap is None or summary.relative_gap is None:
        return None
    return summary.gap, summary.relative_gap


def _reasons(excluded: pl.Series, device: torch.device) -> dict[str, Tensor]:
    """Which features are excluded, by reason; a feature may have several, comma-separated."""
    listed = excluded.str.split(", ")
    names = listed.explode().drop_nulls().unique(maintain_order=True).to_list()
    return {
        name: listed.list.contains(name).fill_null(value=False).to_torch().to(device)
        for name in names
    }


def _excluded_b(
    features: pl.DataFrame, sources: pl.DataFrame, count: int, device: torch.device
) -> dict[str, Tensor]:
    """The same of B: by its table of features, and those that this pair alone excluded."""
    found = _reasons(features["excluded"], device)
    without = ~np.isin(np.arange(len(features)), sources["feature"].to_numpy())
    known = features["excluded"].is_not_null().to_numpy()
    if len(sources) and count > known.sum():
        found[_NO_SOURCE] = torch.from_numpy(without & ~known).to(device)
    return found

"""What a run keeps of a matching, so that its SAEs need not stay in memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import polars as pl

if TYPE_CHECKING:
    from saematch.matching.matching import Matching


@dataclass(frozen=True, eq=False)
class MatchedPair:
    """The tables of a pair of SAEs, and the figures that run.json has of it."""

    saes: tuple[tuple[str, int], tuple[str, int]]  # name and d_sae of each
    tables: dict[str, pl.DataFrame]  # by the kinds of `saematch.runs.records.PAIR_FOLDERS`
    summary: dict[str, Any]
    notes: tuple[str, ...]

    @classmethod
    def of(cls, matching: Matching) -> MatchedPair:
        """What a run keeps of `matching`."""
        return cls(
            ((matching.a.name, matching.a.d_sae), (matching.b.name, matching.b.d_sae)),
            {
                "nulls": matching.null_histogram(),
                "sources": matching.sources.to_polars("source"),
                "candidates": matching.candidates.to_polars("target"),
                "table": matching.to_polars(),
            },
            matching.summary(),
            matching.notes,
        )

"""Two SAEs by what their features do on the same text: partners, passing shares, gates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from saematch.activations.partners import MEMORY, partners
from saematch.activations.sharded import Stream
from saematch.activations.statistics import STATISTICS
from saematch.activations.table import FeatureActivations
from saematch.layers.gates import RULE, GateRule, find_gates
from saematch.layers.passing import CUTOFFS, passing_table


@dataclass(frozen=True, eq=False)
class Relation:
    """The tables of a pair, by name, and its figures."""

    tables: dict[
        str, pl.DataFrame
    ]  # targets, sources, passing, gates: see docs/explanation/coactivation.md
    summary: dict[str, Any]


def relate(
    a: FeatureActivations | Stream,
    b: FeatureActivations | Stream,
    *,
    statistics: Sequence[str] = STATISTICS,
    k: int = 5,
    activity: float = 0.0,
    cutoffs: Sequence[float] = CUTOFFS,
    gates: GateRule | None = RULE,
    memory: float = MEMORY,
) -> Relation:
    """How the features of A, upstream, relate to those of B on the same tokens.

    Args:
        a: activations in memory, or `ActivationStore.stream(name)`.
        b: the same of the SAE downstream.
        statistics: to rank partners by.
        k: partners per feature and statistic.
        activity: of the statistics: active above this share of a feature's maximum, 0 for not 0.
            Gates have their own.
        cutoffs: of the passing shares.
        gates: the rule of certain gates; none for no gates.
        memory: bytes for sums over tokens.

    Raises:
        SaematchError: the two are not of the same tokens, or an argument is out of range.
    """
    found = partners(a, b, statistics=statistics, k=k, activity=activity, memory=memory)
    tables = {
        "targets": found.targets_frame(),
        "sources": found.sources_frame(),
        "passing": passing_table(found, cutoffs),
    }
    summary: dict[str, Any] = {
        "tokens": found.tokens,
        "activity": activity,
        "active_a": int((found.a.active > 0).sum()),
        "active_b": int((found.b.active > 0).sum()),
    }
    for statistic in found.statistics:
        first = tables["targets"].filter(statistic=statistic, rank=1)
        summary[f"median_{statistic}"] = first["value"].median()
    if gates is not None:
        tables["gates"] = find_gates(a, b, gates, memory=memory)
        for kind in ("and", "or"):
            for rule in ("paper", "certain"):
                passed = tables["gates"].filter(pl.col(rule), kind=kind)
                summary[f"{kind}_gates_{rule}"] = passed.height
    return Relation(tables, summary)

"""Splits and merges: many-to-one groups whose members are all significant."""

from __future__ import annotations

import numpy as np
import polars as pl
from numpy import ndarray

from saematch.layers.layers import Layers
from saematch.matching.fdr import beyond
from saematch.numerics.ranked import Best

SCHEMA = {
    "kind": pl.String,
    "a": pl.String,
    "b": pl.String,
    "feature": pl.Int64,
    "part": pl.Int64,
    "parts": pl.Int64,
    "score": pl.Float64,
    "p_value": pl.Float64,
}


def splits(layers: Layers) -> pl.DataFrame:
    """Groups of two or more features with one best partner, in every pair of a run.

    A **split**: features of B whose best source is significant and the same feature of A. A
    **merge**: features of A whose best target is significant and the same feature of B. The run's
    false discovery rate holds over the features of B, or of A; a pair without p-values has no
    groups.

    One row per part: `kind` (split or merge), `a`, `b`, `feature` (the one: of A in a split, of B
    in a merge), `part` (one of the many), `parts` (how many), `score` and `p_value` of the two.
    """
    frames = [pl.DataFrame(schema=SCHEMA)]
    for a, b in layers.pairs:
        pair = layers.pairs[a, b]
        sides = (
            ("split", b, pair.sources.best()),
            ("merge", a, pair.candidates.best()),
        )
        for kind, many, first in sides:
            group = _groups(first, layers.cut(many, first.p_value))
            group = group.with_columns(kind=pl.lit(kind), a=pl.lit(a), b=pl.lit(b))
            frames.append(group.select(list(SCHEMA)))
    return pl.concat(frames)


def _groups(first: Best[ndarray], limit: float) -> pl.DataFrame:
    part = np.flatnonzero(beyond(first.p_value, limit) & (first.index >= 0))
    found = pl.DataFrame(
        {
            "feature": first.index[part],
            "part": part,
            "score": first.score[part],
            "p_value": first.p_value[part],
        }
    )
    return (
        found.with_columns(pl.len().over("feature").cast(pl.Int64).alias("parts"))
        .filter(pl.col("parts") > 1)
        .sort("feature", "part")
    )

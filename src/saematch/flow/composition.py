"""Matchings of neighbours chained, beside the matching of the two ends: do they agree?

A chain of partial matchings is their product, `P(A -> C) = P(B -> C) P(A -> B)`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl
from numpy import ndarray

from saematch.discovery import interval
from saematch.flow.layers import Layers

COUNTS = ("features", "composed", "direct", "both", "equal")


def compose(targets: Sequence[ndarray]) -> ndarray:
    """Partial maps one after another: `target[i]`, where -1 is none, and stays none.

    Args:
        targets: of each step `(features of its source,)`, indices into the next step's.
    """
    target = targets[0]
    for step in targets[1:]:
        target = np.where(target >= 0, step[target], -1) if len(step) else np.full_like(target, -1)
    return target


def composition(layers: Layers) -> pl.DataFrame:
    """How far chained matchings of neighbours agree with the direct one, pair by pair.

    For every pair (a, b) of the chain that is matched directly and `steps` >= 2 neighbours apart,
    of which all are matched. `links` is `matched`, or `assigned`: every target that the assignment
    gave, beyond chance or not. Rows without a and b hold all pairs of one distance together.

    Columns: `links`, `a`, `b`, `steps`; `features` of A in use, and how many have a target in B
    `composed`, `direct`, by `both`, and an `equal` one by both; `agreement`, the share equal / both
    with its bootstrap interval `low`, `high` over features; and as shares of all features `kept`
    (equal), `only_direct` (what the chain lost) and `only_composed`.
    """
    chain, rows = layers.chain, []
    known = [pair in layers.pairs for pair in layers.adjacent()]
    for links, field in (("matched", "partner"), ("assigned", "target")):
        for i, a in enumerate(chain):
            used = ~layers.excluded[a]
            composed = np.arange(len(used))
            for j in range(i + 1, len(chain)):
                if not known[j - 1]:
                    break
                step = getattr(layers.pairs[chain[j - 1], chain[j]], field)
                composed = compose([composed, step])
                if j > i + 1 and (a, chain[j]) in layers.pairs:
                    direct = getattr(layers.pairs[a, chain[j]], field)
                    counts = _counts(composed[used], direct[used])
                    rows.append((links, a, chain[j], j - i, *counts))
    schema = {"links": pl.String, "a": pl.String, "b": pl.String, "steps": pl.Int64}
    frame = pl.DataFrame(rows, {**schema, **dict.fromkeys(COUNTS, pl.Int64)}, orient="row")
    pooled = frame.group_by("links", "steps").agg(pl.col(COUNTS).sum()).sort("links", "steps")
    frame = pl.concat([frame, pooled], how="diagonal")
    low, high = interval(frame["equal"].to_numpy(), frame["both"].to_numpy())
    features = pl.col("features")
    return frame.with_columns(
        (pl.col("equal") / pl.col("both")).alias("agreement"),
        pl.Series("low", low),
        pl.Series("high", high),
        (pl.col("equal") / features).alias("kept"),
        ((pl.col("direct") - pl.col("both")) / features).alias("only_direct"),
        ((pl.col("composed") - pl.col("both")) / features).alias("only_composed"),
    ).fill_nan(None)


def _counts(composed: ndarray, direct: ndarray) -> tuple[int, ...]:
    both = (composed >= 0) & (direct >= 0)
    return (
        len(direct),
        int((composed >= 0).sum()),
        int((direct >= 0).sum()),
        int(both.sum()),
        int((both & (composed == direct)).sum()),
    )

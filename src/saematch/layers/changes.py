"""What is new in a layer, what is gone after it, what splits and what merges."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import polars as pl
from numpy import ndarray

from saematch.errors import RunError
from saematch.layers.layers import Layers
from saematch.layers.splits import splits
from saematch.layers.tracing import neighbours_of, site_of
from saematch.matching.fdr import beyond
from saematch.numerics.ranked import Best
from saematch.runs.run import Run

Kind = Literal["new", "gone", "split", "merged"]
SCHEMA = {
    "kind": pl.String,
    "feature": pl.Int64,
    "other": pl.String,
    "partners": pl.List(pl.Int64),
    "score": pl.Float64,
    "p_value": pl.Float64,
}


def changes(run: Run | str | Path, site: str) -> pl.DataFrame:
    """The features of an SAE that did not simply go on, those of each kind the surest first.

    The layer before and the layer after are the nearest SAEs of the same stream that the run has
    matched with this one. All is at the run's false discovery rate.

    - **new**: no feature of the layer before has it for its match, and its best source there is
      not significant either. `partners` is that source. The surest is the one whose source has the
      largest p-value.
    - **gone**: it has no match in the layer after, and its best candidate there is not
      significant either. `partners` is that candidate.
    - **split**: the best source of two or more features of the layer after, which are `partners`.
      The surest is the one whose least sure part has the smallest p-value.
    - **merged**: the best target of two or more features of the layer before, which are `partners`.

    One row per feature and kind: `kind`, `feature`, `other` (the SAE of the partners), `partners`,
    and `score` and `p_value` of the one that decides: the best that was rejected, or the least sure
    part. Both are null for a feature of which nothing at all is kept there.

    Args:
        run: a run or its directory.
        site: the name of an SAE, or the number of a layer of the residual stream.

    Raises:
        RunError: there is no such run or SAE, the run has matched no neighbour of it, or it was
            matched without a null.
    """
    layers = Layers.of(run)
    name = site_of(layers, site)
    before, after = (
        next(iter(neighbours_of(layers, name, ahead)), None) for ahead in (False, True)
    )
    if before is None and after is None:
        raise RunError(f"the run has matched {name} with no other SAE of its stream")
    ends = [] if before is None else [(before, name)]
    ends += [] if after is None else [(name, after)]
    near = replace(layers, pairs={pair: layers.pairs[pair] for pair in ends})
    if all(np.isnan(pair.candidates.p_value).all() for pair in near.pairs.values()):
        raise RunError("what is new needs p-values: match with a null")
    groups = splits(near)
    frames = [pl.DataFrame(schema=SCHEMA)]
    if before is not None:
        pair = near.pairs[before, name]
        reached = np.zeros(layers.features[name], bool)
        reached[pair.target[pair.matched]] = True
        frames.append(_alone(layers, name, "new", before, reached, pair.sources.best()))
        frames.append(_groups(groups.filter(kind="merge", a=before), "merged", before))
    if after is not None:
        pair = near.pairs[name, after]
        first = pair.candidates.best()
        frames.append(_alone(layers, name, "gone", after, pair.matched, first))
        frames.append(_groups(groups.filter(kind="split", a=name), "split", after))
    order = pl.col("kind").replace_strict({kind: i for i, kind in enumerate(_KINDS)})
    return pl.concat(frames).sort(order, maintain_order=True)


_KINDS: tuple[Kind, ...] = ("new", "gone", "split", "merged")


def _alone(
    layers: Layers,
    name: str,
    kind: Kind,
    other: str,
    matched: ndarray,
    first: Best[ndarray],
) -> pl.DataFrame:
    """Features without a match and without a significant partner, the least similar first."""
    cut = layers.cut(name, first.p_value)
    found = ~layers.excluded[name] & ~matched & ~beyond(first.p_value, cut)
    feature = np.flatnonzero(found)
    lists = [[j] if j >= 0 else [] for j in first.index[feature].tolist()]
    frame = pl.DataFrame(
        {
            "kind": [kind] * len(feature),
            "feature": feature,
            "other": [other] * len(feature),
            "partners": lists,
            "score": first.score[feature],
            "p_value": first.p_value[feature],
        },
        schema=SCHEMA,
    ).fill_nan(None)
    return frame.sort(
        "p_value", "score", descending=[True, False], nulls_last=False, maintain_order=True
    )


def _groups(groups: pl.DataFrame, kind: Kind, other: str) -> pl.DataFrame:
    """One row per group, by its least sure part."""
    weakest = groups.sort("feature", "p_value", -pl.col("score"), maintain_order=True)
    frame = weakest.group_by("feature", maintain_order=True).agg(
        pl.lit(kind).alias("kind"),
        pl.lit(other).alias("other"),
        pl.col("part").alias("partners"),
        pl.col("score").last(),
        pl.col("p_value").last(),
    )
    return frame.select(list(SCHEMA)).sort(
        "p_value", "score", descending=[False, True], maintain_order=True
    )

"""How many features pass through to the next layer, at any cut-off."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl
from numpy import ndarray

from saematch.activations.partners import Partners
from saematch.errors import SaematchError

CUTOFFS = tuple(round(0.05 * step, 2) for step in range(1, 20))
_SCHEMA = {
    "cutoff": pl.Float64,
    "features_a": pl.Int64,
    "passing_forward": pl.Float64,
    "disappearing": pl.Float64,
    "features_b": pl.Int64,
    "passing_backward": pl.Float64,
    "appearing": pl.Float64,
}


def passing_curve(
    forward: ndarray, backward: ndarray, cutoffs: Sequence[float] = CUTOFFS
) -> pl.DataFrame:
    """Shares of features whose best similarity in the other layer is at or above a cut-off.

    Balcells et al., arXiv 2410.08869, choose a cut-off of 0.4 to 0.95 by eye; the curve shows what
    follows from the choice.

    Args:
        forward: `(features of A,)`: the best similarity to a feature of B; NaN for features that
            do not count, such as those that never fire.
        backward: `(features of B,)`: the same the other way.
        cutoffs: in any order.

    Returns:
        One row per cut-off, in ascending order: `cutoff`; `features_a`, how many of A count;
        `passing_forward`, the share of them at or above it, and `disappearing`, the rest;
        `features_b`, `passing_backward` and `appearing`, the same of B. Null where none count.

    Raises:
        SaematchError: no cut-off, or one that is no number.
    """
    taus = np.sort(np.asarray(cutoffs, float))
    if not len(taus) or np.isnan(taus).any():
        raise SaematchError(f"cut-offs {list(cutoffs)}; at least one number is needed")
    columns: dict[str, object] = {"cutoff": taus}
    sides = (
        (forward, ("features_a", "passing_forward", "disappearing")),
        (backward, ("features_b", "passing_backward", "appearing")),
    )
    for best, (number, passing, rest) in sides:
        counted = np.sort(best[~np.isnan(best)])
        below = np.searchsorted(counted, taus, side="left")
        share = below / len(counted) if len(counted) else np.full(len(taus), np.nan)
        columns |= {number: [len(counted)] * len(taus), passing: 1 - share, rest: share}
    return pl.DataFrame(columns, schema=_SCHEMA).fill_nan(None)


def passing_table(found: Partners, cutoffs: Sequence[float] = CUTOFFS) -> pl.DataFrame:
    """`passing_curve` by every statistic of some partners, with `statistic` as the first column.

    Features count that were active on some token.
    """
    frames = []
    for statistic in found.statistics:
        best = found.best(statistic, "targets"), found.best(statistic, "sources")
        curve = passing_curve(*best, cutoffs)
        frames.append(curve.select(pl.lit(statistic).alias("statistic"), pl.all()))
    return pl.concat(frames)

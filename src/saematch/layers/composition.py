"""Chained matchings of neighbours compared with the direct matching of the two ends.

A chain of partial matchings is their product, `P(A -> C) = P(B -> C) P(A -> B)`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl
from numpy import ndarray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from saematch.layers.layers import Layers
from saematch.matching.fdr import interval
from saematch.matching.feature_map import FeatureMap, PairKind

COUNTS = ("features", "composed", "direct", "both", "equal")
LINKS: tuple[PairKind, ...] = ("matched", "assigned")


def composition(layers: Layers) -> pl.DataFrame:
    """How far chained matchings of neighbours agree with the direct one, pair by pair.

    For every pair (a, b) of the chain that is matched directly and `steps` >= 2 neighbours apart,
    of which all are matched. `links` is `matched`, or `assigned`: every target of the assignment,
    significant or not. Rows without a and b pool all pairs of one distance.

    Columns: `links`, `a`, `b`, `steps`; `features` of A in use, and how many have a target in B:
    `composed`, `direct`, by `both`, and the same one by both (`equal`); `agreement`, the share
    equal / both with its 95 % interval `low`, `high`; and as shares of all features `kept` (equal),
    `only_direct` (lost by the chain) and `only_composed`.

    The interval of a pair is Wilson's over its features. Pairs of one distance overlap, and one
    wrong link may count in several of them. So where pairs are pooled, all features that links
    between neighbours connect count as one draw, and `both` is replaced by the number of
    independent features with the same uncertainty (the effective sample size of Korn and
    Graubard, Survey Methodology 24, 1998).
    """
    frame = pl.concat(_rows(layers, links) for links in LINKS)
    features = pl.col("features")
    low, high = interval(*_effective(frame))
    return (
        frame.with_columns(
            (pl.col("equal") / pl.col("both")).alias("agreement"),
            pl.Series("low", low),
            pl.Series("high", high),
            (pl.col("equal") / features).alias("kept"),
            ((pl.col("direct") - pl.col("both")) / features).alias("only_direct"),
            ((pl.col("composed") - pl.col("both")) / features).alias("only_composed"),
        )
        .drop("independent")
        .fill_nan(None)
    )


def _rows(layers: Layers, links: PairKind) -> pl.DataFrame:
    """The counts of one kind of links, pair by pair and pooled; `independent` of those alone."""
    chain, rows, pooled = layers.chain, [], []
    steps = [
        layers.map(*pair).only(links) if pair in layers.pairs else None
        for pair in layers.adjacent()
    ]
    start = np.cumsum([0, *(layers.features[name] for name in chain)])
    track = _connected(steps, start)
    composed: list[FeatureMap | None] = list(steps)
    for apart in range(2, len(chain)):
        both, equal = np.zeros((2, track.max() + 1))
        of_these = []
        for i, a in enumerate(chain[:-apart]):
            b, last = chain[i + apart], steps[i + apart - 1]
            so_far = composed[i]
            through = None if so_far is None or last is None else so_far.then(last)
            composed[i] = through
            if through is None or (a, b) not in layers.pairs:
                continue
            direct = layers.map(a, b).only(links)
            counts, compared, same = _counts(through, direct, ~layers.excluded[a])
            of_these.append((links, a, b, apart, *counts, None))
            mine = track[start[i] : start[i + 1]]
            both += np.bincount(mine[compared], minlength=len(both))
            equal += np.bincount(mine[same], minlength=len(both))
        if of_these:
            rows += of_these
            total = np.sum([row[4:-1] for row in of_these], axis=0).tolist()
            pooled.append((links, None, None, apart, *total, independent(equal, both)))
    place = {name: i for i, name in enumerate(chain)}
    rows.sort(key=lambda row: (place[row[1]], place[row[2]]))
    schema = {"links": pl.String, "a": pl.String, "b": pl.String, "steps": pl.Int64}
    schema |= {**dict.fromkeys(COUNTS, pl.Int64), "independent": pl.Float64}
    return pl.DataFrame([*rows, *pooled], schema, orient="row")


def independent(hits: ndarray, n: ndarray) -> float:
    """The number of independent draws with the same uncertainty as clusters of dependent ones.

    Args:
        hits: of each cluster.
        n: draws of each cluster, of which the hits are; the share is sum(hits) / sum(n).

    Returns:
        `p (1 - p) / v`, for the share p and its variance v between clusters, linearised; at most
        sum(n). The number of clusters where p is 0 or 1, which have no variance to go by.
    """
    total = float(n.sum())
    share = float(hits.sum()) / max(1.0, total)
    if share in (0.0, 1.0):
        return float((n > 0).sum())
    spread = float(np.square(hits - share * n).sum())
    return share * (1 - share) * total**2 / max(spread, share * (1 - share) * total)


def _effective(frame: pl.DataFrame) -> tuple[ndarray, ndarray]:
    """Numerator and denominator of each share, for the Wilson interval."""
    n = frame["independent"].fill_null(frame["both"]).to_numpy()
    both = frame["both"].to_numpy()
    return frame["equal"].to_numpy() * n / np.maximum(1, both), n


def _connected(steps: Sequence[FeatureMap | None], start: ndarray) -> ndarray:
    """For every feature, the number of the set that links between neighbours connect it to."""
    ends = [
        np.stack([step.source.numpy() + start[i], step.target.numpy() + start[i + 1]])
        for i, step in enumerate(steps)
        if step is not None
    ]
    edges = np.concatenate([np.zeros((2, 0), np.int64), *ends], axis=1)
    size = int(start[-1])
    graph = coo_array((np.ones(edges.shape[1]), edges), shape=(size, size))
    return connected_components(graph, directed=False)[1]


def _counts(
    composed: FeatureMap, direct: FeatureMap, used: ndarray
) -> tuple[tuple[int, ...], ndarray, ndarray]:
    """`COUNTS`; and which features have both targets, and which the same."""
    first, second = composed.targets.numpy(), direct.targets.numpy()
    both = used & (first >= 0) & (second >= 0)
    equal = both & (first == second)
    each = (used, used & (first >= 0), used & (second >= 0), both, equal)
    return tuple(int(mask.sum()) for mask in each), both, equal

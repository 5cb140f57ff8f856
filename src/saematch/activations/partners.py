"""The features of another SAE that co-activate most with a feature."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import polars as pl
from numpy import ndarray

from saematch.activations.pair_sums import BYTES, Margins, PairSums
from saematch.activations.sharded import Stream, activity_levels, together
from saematch.activations.statistics import STATISTICS, code_of, rank_pairs
from saematch.activations.table import FeatureActivations
from saematch.errors import SaematchError
from saematch.numerics.ranked import Ranked

MEMORY = 1_000_000_000  # bytes
Side = Literal["targets", "sources"]


@dataclass(frozen=True, eq=False)
class Partners:
    """The best targets of A's features and the best sources of B's, by every statistic."""

    # by statistic, targets and sources; `more` has `together`, the tokens on which both are active
    ranked: dict[str, tuple[Ranked[ndarray], Ranked[ndarray]]]
    a: Margins
    b: Margins
    tokens: int

    @property
    def statistics(self) -> list[str]:
        return [*self.ranked]

    def best(self, statistic: str, side: Side = "targets") -> ndarray:
        """`(features,)` float64: the statistic of each feature with its best partner.

        0 for a feature without a partner, NaN for one that was never active.
        """
        place = 0 if side == "targets" else 1
        active = (self.a, self.b)[place].active
        return np.where(active > 0, self.ranked[statistic][place].score[:, 0], np.nan)

    def targets_frame(self) -> pl.DataFrame:
        """One row per statistic, feature of A and rank.

        `statistic`, `feature`, `rank` (from 1), `target`, `value`, `together` (the tokens on which
        both are active). Features without a partner have no row.
        """
        return self._frame(0, "target")

    def sources_frame(self) -> pl.DataFrame:
        """The same for B's features, with `source` in place of `target`."""
        return self._frame(1, "source")

    def _frame(self, place: int, name: str) -> pl.DataFrame:
        frames = []
        for statistic, sides in self.ranked.items():
            frame = sides[place].to_polars(name, score="value")
            frames.append(frame.select(pl.lit(statistic).alias("statistic"), pl.all()))
        return pl.concat(frames)


def partners(
    a: FeatureActivations | Stream,
    b: FeatureActivations | Stream,
    *,
    statistics: Sequence[str] = STATISTICS,
    k: int = 5,
    activity: float = 0.0,
    memory: float = MEMORY,
    report: Callable[[float], None] | None = None,
) -> Partners:
    """The `k` best targets of each feature of A, and sources of each of B, by each statistic.

    A partner has a statistic above 0; among equals the lower index comes first. A feature that is
    never active has none. Mutual information has no sign: two features that avoid each other can be
    partners by it, with few tokens `together`.

    The features of A are taken in blocks that fit the memory, each with one pass over the tokens.

    Args:
        a: upstream; in memory, or read in parts.
        b: downstream, on the same tokens.
        statistics: of `saematch.activations.statistics.STATISTICS`.
        k: partners to keep per feature and statistic.
        activity: a feature is active above this share of its maximum; 0 for wherever it is not 0.
        memory: bytes for the sums over tokens, without the activations of one part.
        report: called with the finished share.

    Raises:
        SaematchError: the two have different tokens, or an argument is out of range.
    """
    return ranked_partners(a, b, statistics, k=k, activity=activity, memory=memory, report=report)


def block_sums(
    a: FeatureActivations | Stream,
    b: FeatureActivations | Stream,
    *,
    activity: float = 0.0,
    memory: float = MEMORY,
) -> Iterator[PairSums]:
    """The sums over all tokens, for one block of A's features after another."""
    levels_a, levels_b = (activity_levels(x, activity) for x in (a, b))
    height = int(max(1, memory // (BYTES * max(1, b.d_sae))))
    for first in range(0, a.d_sae, height):
        sums = PairSums(slice(first, first + height), levels_a, levels_b)
        for parts in together(a, b):
            sums.add(*parts)
        yield sums
        # otherwise two blocks would be in memory while the next is made
        del sums


def ranked_partners(
    a: FeatureActivations | Stream,
    b: FeatureActivations | Stream,
    statistics: Sequence[str],
    *,
    k: int,
    activity: float = 0.0,
    memory: float = MEMORY,
    report: Callable[[float], None] | None = None,
    z: float = 0.0,
    lift: float = 0.0,
) -> Partners:
    """`partners`, also by the lower ends of sufficiency and necessity (`BOUNDS`).

    These are the lower ends of Wilson intervals at `z` standard deviations, and count as 0 if they
    are below `lift` times what independence gives.
    """
    if k < 1 or not statistics:
        raise SaematchError(f"k is {k}, statistics {list(statistics)}; at least one of each")
    codes = {name: code_of(name) for name in statistics}
    ranked = {name: (_none(a.d_sae, k), _none(b.d_sae, k)) for name in codes}
    own, other, tokens = [], Margins.none(b.d_sae), 0
    for sums in block_sums(a, b, activity=activity, memory=memory):
        x, y = sums.a, sums.b
        for name, code in codes.items():
            rows, columns = ranked[name]
            rank_pairs(
                *(code, float(sums.tokens), sums.product, sums.together),
                *(x.active, x.total, x.square, y.active, y.total, y.square, z, lift),
                *(sums.rows.start, rows.index, rows.score, rows.more["together"]),
                *(columns.index, columns.score, columns.more["together"]),
            )
        own.append(x)
        other, tokens = y, sums.tokens
        if report is not None:
            report(sums.rows.stop / a.d_sae)
        del sums
    joined = (np.concatenate([getattr(x, f) for x in own]) for f in ("active", "total", "square"))
    return Partners(ranked, Margins(*joined), other, tokens)


def _none(features: int, k: int) -> Ranked[ndarray]:
    """Empty lists to be filled: no partner, a statistic of 0, no token together."""
    shape = features, k
    return Ranked(np.full(shape, -1), np.zeros(shape), {"together": np.zeros(shape, np.int64)})

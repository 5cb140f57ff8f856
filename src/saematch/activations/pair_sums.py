"""Sums over tokens from which every co-activation statistic of two SAEs follows.

For feature i of A and j of B over n tokens: `sum a_i b_j`, the number of tokens on which both are
active, and each feature's own sum, sum of squares and number of active tokens. Sums of two texts
can be added.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy import ndarray

from saematch.activations.table import FeatureActivations
from saematch.errors import SaematchError
from saematch.numerics.compiled import compiled

BYTES = 12  # per pair of features: a float64 and an int32
MOST_TOKENS = 2**31 - 1


@dataclass(frozen=True, eq=False)
class Margins:
    """The sums of each feature alone."""

    active: ndarray  # int64 (features,): tokens on which it is above its activity level
    total: ndarray  # float64: sum of its activations
    square: ndarray  # float64: sum of their squares

    @classmethod
    def none(cls, features: int) -> Margins:
        return cls(np.zeros(features, np.int64), np.zeros(features), np.zeros(features))

    def __add__(self, other: Margins) -> Margins:
        return Margins(
            self.active + other.active, self.total + other.total, self.square + other.square
        )

    def part(self, rows: slice) -> Margins:
        return Margins(self.active[rows], self.total[rows], self.square[rows])


def margins(part: FeatureActivations, levels: ndarray) -> Margins:
    """The margins of every feature over some tokens."""
    index, value, width = part.matrix.indices, part.matrix.data.astype(np.float64), part.d_sae
    active = np.bincount(index[np.abs(value) > levels[index]], minlength=width)
    total, square = (np.bincount(index, x, minlength=width) for x in (value, value**2))
    return Margins(active.astype(np.int64), total, square)


class PairSums:
    """Sums of some features of A, a block of `rows`, with all of B's.

    Args:
        rows: which features of A.
        levels_a: the absolute activation above which each feature of A is active: see
            `saematch.activations.sharded.activity_levels`.
        levels_b: the same for B.
    """

    def __init__(self, rows: slice, levels_a: ndarray, levels_b: ndarray) -> None:
        self.rows = slice(*rows.indices(len(levels_a))[:2])
        self.levels_a, self.levels_b = levels_a, levels_b
        height, width = self.rows.stop - self.rows.start, len(levels_b)
        self.tokens = 0
        self.a, self.b = Margins.none(height), Margins.none(width)
        self.product = np.zeros((height, width))
        self.together = np.zeros((height, width), np.int32)

    def add(self, a: FeatureActivations, b: FeatureActivations) -> None:
        """Add more tokens.

        Raises:
            SaematchError: the two have different tokens, or other numbers of features.
        """
        if (a.d_sae, b.d_sae) != (len(self.levels_a), len(self.levels_b)):
            raise SaematchError(
                f"activations of {a.d_sae:,} and {b.d_sae:,} features; these sums are of "
                f"{len(self.levels_a):,} and {len(self.levels_b):,}"
            )
        if not a.same_tokens(b):
            raise SaematchError("statistics of two SAEs need both on the same tokens")
        if self.tokens + a.n_tokens > MOST_TOKENS:
            raise SaematchError(f"more than {MOST_TOKENS:,} tokens cannot be counted")
        self.tokens += a.n_tokens
        self.a += margins(a, self.levels_a).part(self.rows)
        self.b += margins(b, self.levels_b)
        by_feature = a.matrix.tocsc()
        start = by_feature.indptr[self.rows.start : self.rows.stop + 1]
        right = b.matrix
        _accumulate(
            *(start, by_feature.indices, by_feature.data, self.levels_a[self.rows]),
            *(right.indptr, right.indices, right.data),
            np.abs(right.data) > self.levels_b[right.indices],
            *(self.product, self.together),
        )

    def merged(self, other: PairSums) -> PairSums:
        """The sums over the tokens of both.

        Raises:
            SaematchError: they belong to other features, or their activity levels differ.
        """
        if self.rows != other.rows or self.product.shape != other.product.shape:
            raise SaematchError("sums of other features cannot be merged")
        for one, two in ((self.levels_a, other.levels_a), (self.levels_b, other.levels_b)):
            if not np.array_equal(one, two):
                raise SaematchError(
                    "the activity levels differ: fix them from the maxima over all tokens "
                    "(activity_levels) before the parts are summed"
                )
        found = PairSums(self.rows, self.levels_a, self.levels_b)
        found.tokens = self.tokens + other.tokens
        found.a, found.b = self.a + other.a, self.b + other.b
        found.product += self.product + other.product
        found.together += self.together + other.together
        return found


@compiled
def _accumulate(
    start, token, value, level, row_start, feature, row_value, row_active, product, together
):
    for i in range(product.shape[0]):
        for p in range(start[i], start[i + 1]):
            x = np.float64(value[p])
            active = abs(x) > level[i]
            for q in range(row_start[token[p]], row_start[token[p] + 1]):
                j = feature[q]
                product[i, j] += x * row_value[q]
                together[i, j] += active & row_active[q]

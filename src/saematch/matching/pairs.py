# pyright: strict
"""Pairs: the target of each feature, how good it is, and whether it is significant."""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Bool, Float, Int
from torch import Tensor

from saematch.matching.feature_map import FeatureMap, PairKind


@dataclass(frozen=True, eq=False)
class Pairs:
    """The feature of B that each feature of A goes to, by the score of one method."""

    target: Int[Tensor, " d_sae_a"]  # -1: none
    matched: Bool[Tensor, " d_sae_a"]  # significant, and accepted by the method's own rule
    score: Float[Tensor, " d_sae_a"]  # NaN without a target
    p_value: Float[Tensor, " d_sae_a"]  # NaN without a target or without a null
    rank_in_row: Int[Tensor, " d_sae_a"]  # 1: no target is better for this feature; 0: no target
    rank_in_column: Int[Tensor, " d_sae_a"]  # 1: no source is better for this target

    @property
    def mutual(self) -> Bool[Tensor, " d_sae_a"]:
        """Each the other's best by score."""
        return (self.rank_in_row == 1) & (self.rank_in_column == 1)

    def map(self, links: PairKind, d_sae_b: int) -> FeatureMap:
        """The pairs as a map of activations that are not rescaled."""
        return FeatureMap.of(self.target, d_sae_b, self.matched).only(links)

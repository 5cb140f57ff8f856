"""Pairs of features as they are evaluated: from a Matching, from a run's tables, or chained."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from saematch.matching.feature_map import FeatureMap, PairKind
from saematch.matching.matching import Matching
from saematch.matching.methods import resolve_fold
from saematch.runs.run import Run
from saematch.sae.folding import Fold
from saematch.sae.sae import SAE


@dataclass(frozen=True, eq=False)
class FeaturePairs:
    """The map from A's features to B's that is evaluated, and how far apart each pair is."""

    a: SAE
    b: SAE
    map: FeatureMap  # along all pairs that were assigned, not rescaled
    mse: Float[Tensor, " pairs"]  # of the folded decoder rows; NaN where it is not known
    fold: Fold  # what activations are rescaled by unless said otherwise

    @classmethod
    def of(cls, matching: Matching) -> FeaturePairs:
        """The pairs of a matching."""
        m = matching
        pairs = m.map("assigned", "none")
        return cls(m.a, m.b, pairs, m.measures["decoder_mse_folded"][pairs.source], m.measures.fold)

    @classmethod
    def read(cls, run: Run, names: tuple[str, str], a: SAE, b: SAE) -> FeaturePairs:
        """The pairs of a run's tables, with the SAEs that the run was made of.

        Raises:
            RunError: the run has no such pair, or its tables cannot be read.
        """
        table = run.pair(*names)
        target = table["target"].fill_null(-1).to_torch().to(a.device)
        mse = table["decoder_mse_folded"].fill_null(float("nan")).to_torch().to(a.device)
        pairs = FeatureMap.of(target, b.d_sae, table["matched"].to_torch().to(a.device))
        return cls(a, b, pairs, mse[pairs.source], run.summaries[names]["measures_fold"])

    @classmethod
    def chained(
        cls, a: SAE, b: SAE, steps: Sequence[FeatureMap], fold: Fold | None = None
    ) -> FeaturePairs:
        """The pairs of maps one after another, `P(A -> C) = P(B -> C) P(A -> B)`.

        Scales telescope, so activations are rescaled from A to C at once. No MSE is known of a
        chain.

        Args:
            a: the SAE that the first step starts from.
            b: the SAE that the last one ends at.
            steps: one map after another, not rescaled.
            fold: what activations are rescaled by; as `auto` unless given.
        """
        pairs = reduce(FeatureMap.then, steps).to(a.device)
        unknown = torch.full((len(pairs.source),), float("nan"), device=a.device)
        return cls(a, b, pairs, unknown, resolve_fold("auto", a, b) if fold is None else fold)

    def along(
        self,
        links: PairKind = "assigned",
        by: Fold | None = None,
        activation: tuple[Tensor, Tensor] | None = None,
    ) -> FeatureMap:
        """The map along `links`, rescaled by `by`, or by the pairs' own fold."""
        return self.map.only(links).rescaled(self.a, self.b, by or self.fold, activation)

    def nearest(self, q: float) -> Bool[Tensor, " d_sae_a"]:
        """The share q of the features with a target whose MSE is least."""
        order = self.mse.nan_to_num(torch.inf).argsort(stable=True)
        return self._features(order[: round(q * len(order))])

    @property
    def matched(self) -> Bool[Tensor, " d_sae_a"]:
        """The features with a significant target."""
        return self._features(self.map.matched)

    def _features(self, chosen: Tensor) -> Tensor:
        """The features of A whose pairs are chosen."""
        mask = torch.zeros(self.a.d_sae, dtype=torch.bool, device=self.map.source.device)
        mask[self.map.source[chosen]] = True
        return mask

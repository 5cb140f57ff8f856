"""Pairs of features as they are evaluated: from a Matching, from a run's tables, or chained."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from numpy import ndarray
from torch import Tensor

from saematch.layers.composition import compose
from saematch.matching.feature_map import Carrying, carrying
from saematch.matching.matching import Matching
from saematch.matching.methods import resolve_fold
from saematch.runs.run import Run
from saematch.sae.folding import Fold
from saematch.sae.sae import SAE

Links = Literal["assigned", "matched"]

LINKS: dict[str, str] = {
    "assigned": "every pair that the assignment made: the permutation of SAE Match",
    "matched": "the pairs beyond chance alone",
}


@dataclass(frozen=True, eq=False)
class Pairing:
    """Which feature of B each feature of A goes to, and how far apart the two are."""

    a: SAE
    b: SAE
    target: Int[Tensor, " d_sae_a"]  # -1: none
    matched: Bool[Tensor, " d_sae_a"]  # beyond chance
    mse: Float[Tensor, " d_sae_a"]  # of the folded decoder rows; NaN without a target
    fold: Fold  # what activations are rescaled by unless said otherwise

    @classmethod
    def of(cls, matching: Matching) -> Pairing:
        """That of a matching."""
        m = matching
        mse = m.measures["decoder_mse_folded"]
        return cls(m.a, m.b, m.target, m.matched, mse, m.measures_fold)

    @classmethod
    def read(cls, run: Run, names: tuple[str, str], a: SAE, b: SAE) -> Pairing:
        """That of a run's tables, with the SAEs that the run was made of.

        Raises:
            RunError: the run has no such pair, or its tables cannot be read.
        """
        table = run.pair(*names)
        target = table["target"].fill_null(-1).to_torch().to(a.device)
        mse = table["decoder_mse_folded"].fill_null(float("nan")).to_torch().to(a.device)
        matched = table["matched"].to_torch().to(a.device)
        fold = run.summaries[names]["measures_fold"]
        return cls(a, b, target, matched, mse, fold)

    @classmethod
    def chained(
        cls, a: SAE, b: SAE, steps: Sequence[tuple[ndarray, ndarray]], fold: Fold | None = None
    ) -> Pairing:
        """Pairings one after another, `P(A -> C) = P(B -> C) P(A -> B)`.

        Scales telescope, so that activations are rescaled from A to C at once. A feature is matched
        where each of its links is. No MSE is known of a chain.

        Args:
            a: the SAE that the first step starts from.
            b: the SAE that the last one ends at.
            steps: target (-1: none) and matched of each step, `(features of its source,)`.
            fold: what activations are rescaled by; as `auto` unless given.
        """
        target = compose([step[0] for step in steps])
        through = compose([np.where(matched, target, -1) for target, matched in steps])
        return cls(
            a,
            b,
            torch.from_numpy(target).to(a.device),
            torch.from_numpy(through >= 0).to(a.device),
            torch.full((a.d_sae,), float("nan"), device=a.device),
            resolve_fold("auto", a, b) if fold is None else fold,
        )

    def partner(self, links: Links = "assigned") -> Int[Tensor, " d_sae_a"]:
        """`target`, or -1 where it is none of `links`."""
        return self.target if links == "assigned" else torch.where(self.matched, self.target, -1)

    def carrying(
        self,
        links: Links = "assigned",
        by: Fold | None = None,
        activation: tuple[Tensor, Tensor] | None = None,
    ) -> Carrying:
        """The map of activations along `links`, rescaled by `by`, or by the pairing's own fold."""
        return carrying(self.a, self.b, self.partner(links), by or self.fold, activation)

    def nearest(self, q: float) -> Bool[Tensor, " d_sae_a"]:
        """The share q of the features with a target whose MSE is least."""
        known = (self.target >= 0).nonzero().squeeze(1)
        order = self.mse[known].nan_to_num(torch.inf).argsort(stable=True)
        chosen = torch.zeros_like(self.matched)
        chosen[known[order[: round(q * len(known))]]] = True
        return chosen

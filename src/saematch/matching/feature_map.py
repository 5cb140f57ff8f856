# pyright: strict, reportUnnecessaryIsInstance=false, reportUnknownMemberType=false
"""FeatureMap: activations of one SAE's features taken to the features of another.

A map is a sparse matrix M with at most one entry per feature of A, `f_b = f_a M`, and its laws are
those of matrices. A matching, a chain of matchings and a run's table all give one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal, cast

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from saematch.errors import MatchError
from saematch.sae.folding import Fold, fold_scale
from saematch.sae.sae import SAE

# all pairs that the assignment made, the permutation of SAE Match; or the significant ones
PairKind = Literal["assigned", "matched"]


@dataclass(frozen=True, eq=False)
class FeatureMap:
    """Each source feature goes to one target feature, times a ratio.

    `f_b[target] += f_a[source] * ratio`: where several features share a target, their activations
    add up; features that are no source contribute nothing.
    """

    source: Int[Tensor, " pairs"]  # features of A, each at most once
    target: Int[Tensor, " pairs"]  # features of B
    ratio: Float[Tensor, " pairs"]
    matched: Bool[Tensor, " pairs"]  # whether the pair is significant
    d_sae_a: int
    d_sae_b: int

    @classmethod
    def of(
        cls,
        target: Int[Tensor, " d_sae_a"],
        d_sae_b: int,
        matched: Bool[Tensor, " d_sae_a"] | None = None,
    ) -> FeatureMap:
        """The map `i -> target[i]` (-1: none) with ratio 1.

        Args:
            target: the feature of B for each feature of A.
            d_sae_b: number of features of B.
            matched: whether each pair is significant; all are unless given.
        """
        source = (target >= 0).nonzero().squeeze(1)
        matched = torch.ones_like(target, dtype=torch.bool) if matched is None else matched
        ratio = torch.ones(len(source), device=target.device)
        return cls(source, target[source], ratio, matched[source], len(target), d_sae_b)

    @classmethod
    def identity(cls, d_sae: int, device: torch.device | str | None = None) -> FeatureMap:
        """The map that takes every feature to itself."""
        return cls.of(torch.arange(d_sae, device=device), d_sae)

    @property
    def targets(self) -> Int[Tensor, " d_sae_a"]:
        """The target of each feature of A, -1 for none."""
        return self._spread(self.target, -1)

    def only(self, links: PairKind) -> FeatureMap:
        """The map along all pairs (`assigned`) or along significant pairs (`matched`)."""
        return self if links == "assigned" else self.where(self.matched)

    def where(self, chosen: Bool[Tensor, " pairs"]) -> FeatureMap:
        """The map along some of the pairs."""
        return self._each(lambda values: values[chosen])

    def to(self, device: torch.device | str) -> FeatureMap:
        """The same map on another device."""
        return self._each(lambda values: values.to(device))

    def rescaled(
        self, a: SAE, b: SAE, by: Fold, activation: tuple[Tensor, Tensor] | None = None
    ) -> FeatureMap:
        """The map with its ratios times `s_target / s_source`.

        The scales s are those of folding by `by` (`saematch.sae.folding.FOLDS`): with thresholds,
        an activation keeps its size in units of its threshold. A pair without a usable scale keeps
        its ratio.

        Args:
            a: the SAE of the sources.
            b: the SAE of the targets.
            by: which scale; with `none` the ratios stay as they are.
            activation: typical activations `(d_sae_a,)`, `(d_sae_b,)`, for `by="activation"`.

        Raises:
            MatchError: `by` is "activation" and no activations are given.
            SaematchError: an SAE lacks what the scale is made of.
        """
        if by == "none":
            return self
        if by == "activation" and activation is None:
            raise MatchError(
                "to rescale by activation statistics, give them, or rescale `f` yourself"
            )
        one, other = activation or (None, None)
        scale = fold_scale(b, by, other)[self.target] / fold_scale(a, by, one)[self.source]
        usable = scale.isfinite() & (scale > 0)
        scale = torch.where(usable, scale, torch.ones_like(scale))
        return replace(self, ratio=scale * self.ratio.to(scale))

    def apply(self, f: Float[Tensor, "... d_sae_a"]) -> Float[Tensor, "... d_sae_b"]:
        """Activations of A's features as activations of B's, `f M`.

        Raises:
            MatchError: the last dimension of `f` is not `d_sae_a`.
        """
        if not isinstance(f, Tensor) or f.ndim == 0 or f.shape[-1] != self.d_sae_a:
            found = tuple(f.shape) if isinstance(f, Tensor) else type(f).__name__
            raise MatchError(
                f"f is {found}; expected a tensor with {self.d_sae_a} activations in its last "
                "dimension, one for each feature of the source SAE"
            )
        moved = f[..., self.source.to(f.device)] * self.ratio.to(f)
        out = torch.zeros(*f.shape[:-1], self.d_sae_b, dtype=f.dtype, device=f.device)
        return out.index_add(-1, self.target.to(f.device), moved)

    def pull(self, W_dec: Float[Tensor, "d_sae_b d_out"]) -> Float[Tensor, "d_sae_a d_out"]:
        """What each feature of A writes through B's decoder, `M W_dec`.

        It satisfies `apply(f) @ W_dec = f @ pull(W_dec)`.
        """
        out = W_dec.new_zeros(self.d_sae_a, W_dec.shape[1])
        out[self.source] = self.ratio.to(W_dec)[:, None] * W_dec[self.target]
        return out

    def then(self, other: FeatureMap) -> FeatureMap:
        """The map followed by another, the product of the two matrices.

        A pair is matched where both of its links are.

        Raises:
            MatchError: the other map does not start from as many features as this one ends at.
        """
        if other.d_sae_a != self.d_sae_b:
            raise MatchError(
                f"cannot chain: the first map ends at {self.d_sae_b:,} features, the next starts "
                f"from {other.d_sae_a:,}"
            )
        places = torch.arange(len(other.source), device=other.source.device)
        place = other._spread(places, -1)[self.target]
        reached = place >= 0
        place = place[reached]
        kept = self.where(reached)
        ratio = kept.ratio * other.ratio[place]
        matched = kept.matched & other.matched[place]
        target = other.target[place]
        return FeatureMap(kept.source, target, ratio, matched, self.d_sae_a, other.d_sae_b)

    def inverse(self) -> FeatureMap:
        """The map from B to A along the same pairs, with one over each ratio.

        Raises:
            MatchError: several features share a target, so there is no inverse.
        """
        if len(cast("Tensor", self.target.unique())) < len(self.target):
            raise MatchError("a many-to-one map has no inverse: match(b, a) instead")
        order = self.target.argsort()
        source, target, ratio, matched = (
            x[order] for x in (self.target, self.source, 1 / self.ratio, self.matched)
        )
        return FeatureMap(source, target, ratio, matched, self.d_sae_b, self.d_sae_a)

    def _each(self, change: Callable[[Tensor], Tensor]) -> FeatureMap:
        """The map with the same change made to what it holds of each pair."""
        names = ("source", "target", "ratio", "matched")
        return replace(self, **{name: change(getattr(self, name)) for name in names})

    def _spread(self, values: Tensor, none: int) -> Tensor:
        """Values per pair as values per feature of A."""
        out = values.new_full((self.d_sae_a,), none)
        out[self.source] = values
        return out

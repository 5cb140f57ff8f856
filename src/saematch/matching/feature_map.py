"""Activations carried from the features of one SAE to those of another, along given pairs."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from saematch.errors import MatchError
from saematch.sae.folding import Fold, fold_scale
from saematch.sae.sae import SAE


@dataclass(frozen=True, eq=False)
class Carrying:
    """A map of activations that moves each source's to its target, times a ratio.

    `f_b[target] += f_a[source] * ratio`: where several features have one target, they add up;
    features that are no source carry nothing.
    """

    source: Int[Tensor, " pairs"]
    target: Int[Tensor, " pairs"]
    ratio: Float[Tensor, " pairs"]
    d_sae_a: int
    d_sae_b: int

    def apply(self, f: Float[Tensor, "... d_sae_a"]) -> Float[Tensor, "... d_sae_b"]:
        """Activations of A's features as activations of B's."""
        moved = f[..., self.source.to(f.device)] * self.ratio.to(f)
        out = torch.zeros(*f.shape[:-1], self.d_sae_b, dtype=f.dtype, device=f.device)
        return out.index_add(-1, self.target.to(f.device), moved)

    def pulled(self, W_dec: Float[Tensor, "d_sae_b d_out"]) -> Float[Tensor, "d_sae_a d_out"]:
        """What each feature of A writes through B's decoder: `apply(f) @ W_dec = f @ pulled`."""
        out = W_dec.new_zeros(self.d_sae_a, W_dec.shape[1])
        out[self.source] = self.ratio.to(W_dec)[:, None] * W_dec[self.target]
        return out


def carrying(
    a: SAE,
    b: SAE,
    target: Int[Tensor, " d_sae_a"],
    by: Fold = "none",
    activation: tuple[Tensor, Tensor] | None = None,
) -> Carrying:
    """The map along `i -> target[i]` (-1: none), with ratio `s_target / s_source`.

    The scales s are those of folding by `by` (`saematch.sae.folding.FOLDS`): with thresholds, an
    activation keeps its size in units of its threshold. A feature without a usable scale cannot be
    rescaled and is carried as it is.

    Args:
        a: the SAE whose activations are carried.
        b: the SAE they are carried to.
        target: indices in B, `(d_sae_a,)`.
        by: what to rescale by; `none` leaves activations as they are.
        activation: typical activations `(d_sae_a,)`, `(d_sae_b,)`, for `by="activation"`.

    Raises:
        MatchError: `by` is "activation", and no activations are given.
        SaematchError: an SAE lacks what the scale is made of.
    """
    source = (target >= 0).nonzero().squeeze(1)
    to = target[source]
    if by == "none":
        ratio = torch.ones(len(to), dtype=a.dtype, device=a.device)
        return Carrying(source, to, ratio, a.d_sae, b.d_sae)
    if by == "activation" and activation is None:
        raise MatchError("to rescale by activation statistics, give them, or rescale `f` yourself")
    one, other = activation or (None, None)
    ratio = fold_scale(b, by, other)[to] / fold_scale(a, by, one)[source]
    usable = ratio.isfinite() & (ratio > 0)
    ratio = torch.where(usable, ratio, torch.ones_like(ratio))
    return Carrying(source, to, ratio, a.d_sae, b.d_sae)

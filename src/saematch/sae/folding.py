# pyright: strict, reportUnknownMemberType=false
"""Folding: moving a positive scale per feature between activations and weights.

With scales s (one per feature),

    dec_i' = s_i dec_i      enc_i' = enc_i / s_i
    b_enc_i' = b_enc_i / s_i      theta_i' = theta_i / s_i

the feature activations become f_i / s_i and the reconstruction does not change. SAE Match
(Balagansky et al., 2025, section 4) folds with s = theta, the JumpReLU threshold, so that
features of different layers are measured in one unit: their own threshold.
"""

from __future__ import annotations

import dataclasses
from typing import Literal, cast

import torch
from jaxtyping import Float
from torch import Tensor

from saematch.errors import SaematchError
from saematch.numerics.scratch import by_rows
from saematch.sae.sae import SAE

Fold = Literal["threshold", "decoder-norm", "activation", "none"]

FOLDS: dict[str, str] = {
    "threshold": "s = theta: every threshold becomes 1 (SAE Match; needs a threshold per feature)",
    "decoder-norm": "s = 1 / |dec|: every decoder row gets unit norm (any SAE)",
    "activation": "s = a given typical activation of each feature, such as its mean when active",
    "none": "s = 1: the weights as they are",
}


def rescale(sae: SAE, scale: Float[Tensor, " d_sae"], reason: str = "scale not positive") -> SAE:
    """The SAE with `scale` folded into its weights; its reconstruction does not change.

    Excluded features and those whose scale is not positive and finite keep their weights; the
    latter are added to `exclusions` under `reason`.

    Raises:
        SaematchError: `scale` is not of shape `(d_sae,)`.
    """
    if tuple(scale.shape) != (sae.d_sae,):
        raise SaematchError(f"scale has shape {tuple(scale.shape)}, expected ({sae.d_sae},)")
    scale = scale.to(sae.W_dec)
    refused = ~(scale.isfinite() & (scale > 0)) & ~sae.excluded
    scale = applied(sae, scale)
    exclusions = dict(sae.exclusions)
    if refused.any():
        exclusions[reason] = refused
    ranks = sae.conventions.activation in ("topk", "abs_topk", "groupmax", "batchtopk")
    old_selection = 1.0 if sae.selection_scale is None else sae.selection_scale
    return dataclasses.replace(
        sae,
        # feature by feature: that is how matching reads the encoder too
        W_enc=by_rows(torch.div, sae.W_enc.T, scale[:, None]).T,
        W_dec=by_rows(torch.mul, sae.W_dec, scale[:, None]),
        b_enc=sae.b_enc / scale,
        threshold=None if sae.threshold is None else sae.threshold / scale,
        # top-k must keep choosing the same features
        selection_scale=old_selection * scale if ranks else sae.selection_scale,
        exclusions=exclusions,
    )


def applied(sae: SAE, scale: Float[Tensor, " d_sae"]) -> Float[Tensor, " d_sae"]:
    """What `rescale` multiplies decoder rows by: `scale`, or 1 where a feature is left alone."""
    scale = scale.to(sae.W_dec)
    usable = scale.isfinite() & (scale > 0) & ~sae.excluded
    return torch.where(usable, scale, torch.ones_like(scale))


def fold(sae: SAE, how: Fold = "threshold", activation: Tensor | None = None) -> SAE:
    """The SAE folded by one of `FOLDS`.

    Args:
        sae: the SAE to fold.
        how: which scale; see `FOLDS` for the formulas.
        activation: `(d_sae,)`, in the SAE's own activation units, for `how="activation"`.

    Raises:
        SaematchError: the SAE lacks what the scale is computed from, or `how` is unknown.
    """
    if how == "none":
        return sae
    reason = "threshold <= 0" if how == "threshold" else "scale not positive"
    folded = rescale(sae, fold_scale(sae, how, activation), reason)
    if how == "threshold" and folded.threshold is not None:
        # exactly 1, not 1 within rounding
        usable = ~folded.excluded
        ones = torch.where(usable, torch.ones_like(folded.threshold), folded.threshold)
        folded = dataclasses.replace(folded, threshold=ones)
    return folded


def fold_scale(sae: SAE, how: Fold, activation: Tensor | None = None) -> Float[Tensor, " d_sae"]:
    """The scale s that `fold` uses, before unusable features are excluded."""
    if how == "none":
        return torch.ones(sae.d_sae, dtype=sae.dtype, device=sae.device)
    if how == "threshold":
        if sae.threshold is None:
            raise SaematchError(
                f"{sae.name} has no thresholds ({sae.conventions.activation}): fold by "
                "'decoder-norm', by 'activation' with activation=..., or not at all with 'none'"
            )
        return sae.threshold
    if how == "decoder-norm":
        return 1.0 / cast("Tensor", sae.W_dec.norm(dim=1))
    if how == "activation":
        if activation is None:
            raise SaematchError(
                "folding by 'activation' needs activation=, a typical activation per feature"
            )
        return activation
    raise SaematchError(f"no folding is called {how!r}; there are {', '.join(FOLDS)}")

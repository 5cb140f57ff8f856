# pyright: strict, reportUnnecessaryIsInstance=false
"""The checks that every SAE must pass, whoever made it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from saematch.errors import SaematchError

if TYPE_CHECKING:
    from saematch.sae.sae import SAE

FLOATING = (torch.float32, torch.bfloat16, torch.float16, torch.float64)
_TOP_K = ("topk", "abs_topk", "groupmax")
_ROUNDING = 1e-5  # tolerance for a share of tokens computed in float32


def check(sae: SAE) -> None:
    """Refuse an SAE whose parts do not fit together, or that has impossible values.

    Single features with NaN or infinite weights are allowed: they are excluded.

    Raises:
        SaematchError: the message names the part, its value and what was expected.
    """
    _check_shapes(sae)
    _check_activation(sae)
    _check_values(sae)
    _check_words(sae)


def _check_shapes(sae: SAE) -> None:
    for name in ("W_enc", "W_dec"):
        shape = tuple(getattr(sae, name).shape)
        if len(shape) != 2 or 0 in shape:
            raise SaematchError(
                f"{sae.name}: {name} has shape {shape}, expected a matrix with one feature and one "
                "dimension at least"
            )
    (d_in, d_sae), d_out = sae.W_enc.shape, sae.W_dec.shape[-1]
    expected = {
        "W_enc": (d_in, d_sae),
        "W_dec": (d_sae, d_out),
        "b_enc": (d_sae,),
        "b_dec": (d_out,),
        "threshold": (d_sae,),
        "selection_scale": (d_sae,),
        "W_skip": (d_in, d_out),
        "frequency": (d_sae,),
    }
    for name, shape in expected.items():
        value: Tensor | None = getattr(sae, name)
        if value is None:
            continue
        if tuple(value.shape) != shape:
            raise SaematchError(
                f"{sae.name}: {name} has shape {tuple(value.shape)}, expected {shape} "
                f"for W_enc {tuple(sae.W_enc.shape)}"
            )
        if value.dtype not in FLOATING:
            raise SaematchError(
                f"{sae.name}: {name} is of dtype {str(value.dtype).removeprefix('torch.')}, "
                "expected floating numbers, such as float32"
            )
    if sae.conventions.normalisation == "layer_norm" and d_in < 2:
        raise SaematchError(
            f"{sae.name}: inputs of {d_in} dimension have no spread to normalise by, expected two "
            "at least"
        )
    if sae.conventions.centred and d_in != d_out:
        raise SaematchError(
            f"{sae.name}: b_dec cannot be subtracted from the input: d_in {d_in}, d_out {d_out}"
        )


def _check_activation(sae: SAE) -> None:
    kind, k = sae.conventions.activation, sae.conventions.k
    if kind == "jumprelu" and sae.threshold is None:
        raise SaematchError(f"{sae.name}: a jumprelu SAE needs a threshold per feature")
    if kind in _TOP_K and not k:
        raise SaematchError(f"{sae.name}: a {kind} SAE needs k, the features kept a token")
    if kind == "batchtopk" and not k and sae.threshold is None:
        raise SaematchError(f"{sae.name}: a batchtopk SAE needs k or a threshold")
    if k is None:
        return
    if not isinstance(k, int) or isinstance(k, bool) or not 1 <= k <= sae.d_sae:
        raise SaematchError(
            f"{sae.name}: k is {k!r:.40}, expected a whole number from 1 to its {sae.d_sae:,} "
            "features"
        )
    if kind == "groupmax" and sae.d_sae % k:
        raise SaematchError(
            f"{sae.name}: k is {k}, expected a divisor of its {sae.d_sae:,} features: groupmax "
            "keeps one of each of k groups"
        )


def _check_values(sae: SAE) -> None:
    for name in ("b_dec", "W_skip"):
        value: Tensor | None = getattr(sae, name)
        if value is not None and not bool(value.isfinite().all()):
            what = "the decoder's bias b_dec" if name == "b_dec" else f"the skip connection {name}"
            raise SaematchError(
                f"{sae.name}: {what} has NaN or infinite entries, expected finite ones"
            )
    if sae.frequency is not None:
        # a comparison with NaN is false
        wrong = ~((sae.frequency >= 0) & (sae.frequency <= 1 + _ROUNDING))
        if bool(wrong.any()):
            i = int(wrong.nonzero()[0])
            raise SaematchError(
                f"{sae.name}: the frequency of feature {i} is {float(sae.frequency[i]):.6g}, "
                "expected the share of tokens on which it fired, from 0 to 1"
            )
    factor = sae.conventions.norm_factor
    if factor is not None and not 0 < factor < float("inf"):
        raise SaematchError(
            f"{sae.name}: the scale of its inputs, norm_factor, is {factor:.6g}, expected a finite "
            "number above 0"
        )


def _check_words(sae: SAE) -> None:
    conventions, site = sae.conventions, sae.conventions.site
    words = {
        "the model": conventions.model,
        "the site's hook": site and site.hook,
        "the hook it writes to": site and site.hook_out,
    }
    for what, word in words.items():
        if word is not None and not isinstance(word, str):
            raise SaematchError(f"{sae.name}: {what} is {word!r:.40}, expected its name")

"""What must hold of any result, however damaged the input was that was taken."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from saematch import SAE


def sound(sae: SAE) -> str | None:
    """What is wrong with an SAE that `load` returned; none where nothing is.

    Finite inputs have finite codes, of features that are excluded too; k can be kept; sizes agree.
    """
    d_in, d_sae = sae.W_enc.shape
    if not d_in or not d_sae:
        return f"an SAE of {d_sae} features over {d_in} dimensions"
    if sae.W_dec.shape[0] != d_sae:
        return f"{d_sae} features are read and {sae.W_dec.shape[0]} written"
    k = sae.conventions.k
    if k is not None and not (isinstance(k, int) and 0 < k <= d_sae):
        return f"k = {k!r} of {d_sae} features"
    for name in ("model", "source", "family"):
        value = getattr(sae.conventions, name, None)
        if value is not None and not isinstance(value, str):
            return f"{name} is {value!r}"
    try:
        repr(sae.conventions).encode()
    except UnicodeEncodeError:
        return "text that cannot be written as UTF-8"
    x = torch.randn(16, d_in, generator=torch.Generator().manual_seed(1))
    if not bool(sae.encode(x).isfinite().all()):
        return "codes of finite inputs are not finite"
    if not bool(sae.reconstruct(x).isfinite().all()):
        return "reconstructions of finite inputs are not finite"
    often = sae.frequency
    if often is not None and not bool(((often >= 0) & (often <= 1)).all()):
        return "frequencies beyond 0 to 1"
    return None

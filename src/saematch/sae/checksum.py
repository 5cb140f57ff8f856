# pyright: strict
"""What tells the weights of one SAE from those of another, wherever they lie."""

from __future__ import annotations

import hashlib

import torch
from torch import Tensor

from saematch.sae.sae import SAE

_TENSORS = ("W_enc", "W_dec", "b_enc", "b_dec", "threshold", "selection_scale", "W_skip")


def checksum(sae: SAE) -> str:
    """`sha256:` and the digest over the weights in canonical form.

    For each tensor that the SAE has, in the order W_enc, W_dec, b_enc, b_dec, threshold,
    selection_scale, W_skip: its name, dtype and shape as text, then its bytes, row by row. It does
    not depend on where the SAE lies or on the format it was read from.
    """
    digest = hashlib.sha256()
    for name in _TENSORS:
        value: Tensor | None = getattr(sae, name)
        if value is not None:
            value = value.detach().cpu().contiguous()
            digest.update(f"{name} {value.dtype} {tuple(value.shape)}\n".encode())
            digest.update(value.view(torch.uint8).numpy().data)
    return f"sha256:{digest.hexdigest()}"

# pyright: strict
"""A checksum of an SAE's weights, which depends on neither its location nor its format."""

from __future__ import annotations

import hashlib

import torch
from torch import Tensor

from saematch.numerics.scratch import slices
from saematch.sae.sae import SAE

_TENSORS = ("W_enc", "W_dec", "b_enc", "b_dec", "threshold", "selection_scale", "W_skip")


def checksum(sae: SAE) -> str:
    """`sha256:` and the digest of the weights in canonical form.

    For each tensor that the SAE has, in the order W_enc, W_dec, b_enc, b_dec, threshold,
    selection_scale, W_skip, the digest covers its name, dtype and shape as text, then its bytes,
    row by row.
    """
    digest = hashlib.sha256()
    for name in _TENSORS:
        value: Tensor | None = getattr(sae, name)
        if value is not None:
            digest.update(f"{name} {value.dtype} {tuple(value.shape)}\n".encode())
            width = value.shape[-1] if value.ndim > 1 else 1
            for some in slices(len(value), width):
                rows = value[some].detach().cpu().contiguous()
                digest.update(rows.view(torch.uint8).numpy().data)
    return f"sha256:{digest.hexdigest()}"

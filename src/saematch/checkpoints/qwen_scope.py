"""Qwen Scope: top-k SAEs of Qwen's residual stream, one `layerN.sae.pt` per layer."""

from __future__ import annotations

import re

from saematch.checkpoints.canonical import Weights
from saematch.checkpoints.checkpoint import Checkpoint
from saematch.sae.sae import SAE

NAME = "qwen_scope"


def detect(checkpoint: Checkpoint) -> bool:
    if not checkpoint.has("W_enc", "W_dec", "b_enc", "b_dec") or checkpoint.has("threshold"):
        return False
    if checkpoint.tensors.path.suffix not in (".pt", ".pth") or checkpoint.configs:
        return False
    if set(checkpoint.tensors.names) - {"W_enc", "W_dec", "b_enc", "b_dec"}:
        return False
    d_sae, d_in = checkpoint.size("b_enc"), checkpoint.size("b_dec")
    if checkpoint.tensors.shape("W_enc") != (d_sae, d_in):
        return False
    named = re.fullmatch(r"layer\d+\.sae\.pt", checkpoint.file) is not None
    # other files may lie this way too; those of a path that tells no k are not taken for top-k
    return named or (d_sae != d_in and _k(checkpoint) is not None)


def read(checkpoint: Checkpoint) -> SAE:
    """W_enc is `(d_sae, d_in)` and W_dec `(d_in, d_sae)`; b_dec is not subtracted.

    The files do not hold k: it is in the name of the repository or folder (`...-L0_50`).

    Raises:
        CheckpointError: the path does not tell k.
    """
    d_sae, d_in = checkpoint.size("b_enc"), checkpoint.size("b_dec")
    k = _k(checkpoint)
    if k is None:
        raise checkpoint.error(
            "by its name one of Qwen Scope's top-k SAEs, without its k",
            "a folder or repository whose name tells k, as ...-L0_50",
        )
    checkpoint.note(f"guessed from the path: k = {k}")
    site = checkpoint.stream_site()
    weights = Weights(
        W_enc=checkpoint.read("W_enc", d_sae, d_in).T,
        W_dec=checkpoint.read("W_dec", d_in, d_sae).T,
        b_enc=checkpoint.read("b_enc", d_sae),
        b_dec=checkpoint.read("b_dec", d_in),
    )
    return weights.sae(
        checkpoint.conventions(
            NAME,
            "W_dec",
            activation="topk",
            k=k,
            architecture="topk",
            site=site,
        )
    )


def _k(checkpoint: Checkpoint) -> int | None:
    found = re.search(r"L0[_-](\d+)", checkpoint.path)
    return int(found[1]) if found else None

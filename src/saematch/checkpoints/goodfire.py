"""Goodfire's SAEs of Llama: ReLU, one `.pt` or `.pth` file."""

from __future__ import annotations

from saematch.checkpoints.canonical import Weights
from saematch.checkpoints.checkpoint import Checkpoint
from saematch.sae.sae import SAE

NAME = "goodfire"


def detect(checkpoint: Checkpoint) -> bool:
    return checkpoint.has("encoder_linear.weight", "decoder_linear.weight")


def read(checkpoint: Checkpoint) -> SAE:
    """Two linear layers with a ReLU between them; the decoder's bias is not subtracted."""
    d_sae, d_in = checkpoint.size("encoder_linear.bias"), checkpoint.size("decoder_linear.bias")
    weights = Weights(
        W_enc=checkpoint.read("encoder_linear.weight", d_sae, d_in).T,
        W_dec=checkpoint.read("decoder_linear.weight", d_in, d_sae).T,
        b_enc=checkpoint.read("encoder_linear.bias", d_sae),
        b_dec=checkpoint.read("decoder_linear.bias", d_in),
    )
    site = checkpoint.stream_site()
    checkpoint.left_out()
    return weights.sae(
        checkpoint.conventions(
            NAME, "decoder_linear.weight", activation="relu", architecture="relu", site=site
        )
    )

"""OpenAI's SAEs of GPT-2 (Gao et al., 2024): one `<layer>.pt` per layer."""

from __future__ import annotations

from saematch.checkpoints.canonical import Weights
from saematch.checkpoints.checkpoint import Checkpoint
from saematch.sae.sae import SAE

NAME = "openai"


def detect(checkpoint: Checkpoint) -> bool:
    return checkpoint.has("pre_bias", "latent_bias", "encoder.weight")


def read(checkpoint: Checkpoint) -> SAE:
    """pre_bias is subtracted; with top-k the input is layer-normalised, per token.

    Raises:
        CheckpointError: an activation other than ReLU and TopK after ReLU.
    """
    d_sae, d_in = checkpoint.size("latent_bias"), checkpoint.size("pre_bias")
    extras = checkpoint.tensors.extras
    word = extras.get("activation", "ReLU")
    state = extras.get("activation_state_dict", {})
    if word not in ("ReLU", "TopK") or state.get("postact_fn", "ReLU") != "ReLU":
        raise checkpoint.error(
            f"activation {word!r} {dict(state)}", "'ReLU', or 'TopK' with ReLU after it"
        )
    k = state["k"] if word == "TopK" else None
    if k:
        checkpoint.note(
            "inputs are layer-normalised per token: weights of different layers are not in one "
            "scale"
        )
    W_enc = checkpoint.read("encoder.weight", d_sae, d_in).T
    if checkpoint.has("decoder.weight"):
        W_dec = checkpoint.read("decoder.weight", d_in, d_sae).T
    else:
        checkpoint.note("no decoder.weight: decoder and encoder are tied")
        W_dec = W_enc.T
    weights = Weights(
        W_enc=W_enc,
        W_dec=W_dec,
        b_enc=checkpoint.read("latent_bias", d_sae),
        b_dec=checkpoint.read("pre_bias", d_in),
    )
    site = checkpoint.site()
    checkpoint.left_out("stats_last_nonzero")
    return weights.sae(
        checkpoint.conventions(
            NAME,
            "encoder.weight",
            activation="topk" if k else "relu",
            k=k,
            centred=True,
            normalisation="layer_norm" if k else "none",
            architecture=word,
            site=site,
        )
    )

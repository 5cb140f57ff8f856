"""Neel Nanda's 1L-Sparse-Autoencoder and what was trained with it: `NAME.pt` and `NAME_cfg.json`.

Kissane, Krzyzanowski and Conmy's attention SAEs of GPT-2 are of this kind.
"""

from __future__ import annotations

from typing import Any

from saematch.checkpoints.canonical import Weights
from saematch.checkpoints.checkpoint import Checkpoint
from saematch.sae.sae import SAE

NAME = "nanda"
CONFIG = "cfg of file"
# of later code in its manner, with other activations
_OTHERS = {"k", "top_k", "sae_type", "activation"}
_HOOKS = {"resid_pre", "resid_mid", "resid_post", "mlp_in", "mlp_out", "attn_out"}


def detect(checkpoint: Checkpoint) -> bool:
    config = checkpoint.configs.get(CONFIG, {})
    if _OTHERS & set(config) or "threshold" in checkpoint.tensors:
        return False
    return checkpoint.has("W_enc", "W_dec", "b_enc", "b_dec") and (
        "act_name" in config or {"site", "layer"} <= set(config)
    )


def read(checkpoint: Checkpoint) -> SAE:
    """ReLU; b_dec is subtracted from the input. Attention's heads lie side by side."""
    config = checkpoint.configs[CONFIG]
    d_sae, d_in = checkpoint.size("b_enc"), checkpoint.size("b_dec")
    weights = Weights(
        W_enc=checkpoint.read("W_enc", d_in, d_sae),
        W_dec=checkpoint.read("W_dec", d_sae, d_in),
        b_enc=checkpoint.read("b_enc", d_sae),
        b_dec=checkpoint.read("b_dec", d_in),
    )
    site = checkpoint.site(_hook(config))
    checkpoint.left_out()
    return weights.sae(
        checkpoint.conventions(
            NAME,
            "W_dec",
            activation="relu",
            centred=True,
            architecture="relu",
            site=site,
            model=config.get("model_name"),
        )
    )


def _hook(config: dict[str, Any]) -> str | None:
    if config.get("act_name"):
        return config["act_name"]
    site, layer = config["site"], config["layer"]
    if site in ("z", "mlp_post"):
        return f"blocks.{layer}.{'attn.hook_z' if site == 'z' else 'mlp.hook_post'}"
    return f"blocks.{layer}.hook_{site}" if site in _HOOKS else None

"""Llama Scope, version 1 (He et al., 2024): `hyperparams.json` and `checkpoints/final.safetensors`.

pre = (sqrt(d_model) / norm_in) x @ W_enc + b_enc, active where pre |dec| > jump_relu_threshold.
"""

from __future__ import annotations

from typing import Any

import torch

from saematch.checkpoints.canonical import Weights
from saematch.checkpoints.checkpoint import Checkpoint
from saematch.sae.sae import SAE

NAME = "llama_scope"
_NORMS = "dataset_average_activation_norm."


def detect(checkpoint: Checkpoint) -> bool:
    return "hyperparams.json" in checkpoint.configs and checkpoint.has(
        "encoder.weight", "decoder.weight"
    )


def read(checkpoint: Checkpoint) -> SAE:
    """One threshold for all features, compared as the authors' code compares it.

    Raises:
        CheckpointError: gated-linear-unit encoders, unknown activations, a missing norm.
    """
    config = checkpoint.configs["hyperparams.json"]
    weights = linear_weights(checkpoint)
    if str(config.get("act_fn", "jumprelu")).lower() == "jumprelu":
        value = checkpoint.number(config, "jump_relu_threshold")
        if value is None:
            raise checkpoint.error("no jump_relu_threshold in hyperparams.json", "the threshold")
        weights.threshold = torch.full_like(weights.b_enc, value)
        checkpoint.note(
            f"the scale of jump_relu_threshold ({value:.4g}) is not settled upstream: it is taken "
            "in the scale of normalised inputs, as the authors' code compares it; SAELens takes it "
            "times the norm factor. Check that about 50 features are active on a token"
        )
    return assemble(checkpoint, config, weights, NAME, "encoder.weight")


def linear_weights(checkpoint: Checkpoint) -> Weights:
    """Encoder and decoder stored as torch linear layers."""
    d_sae = checkpoint.size("encoder.bias")
    shape = checkpoint.tensors.shape("encoder.weight")
    if len(shape) != 2:
        raise checkpoint.error(f"encoder.weight has shape {shape}", "a matrix")
    d_in = shape[1]
    has_bias = checkpoint.has("decoder.bias")
    return Weights(
        W_enc=checkpoint.read("encoder.weight", d_sae, d_in).T,
        W_dec=checkpoint.read("decoder.weight", d_in, d_sae).T,
        b_enc=checkpoint.read("encoder.bias", d_sae),
        b_dec=checkpoint.read("decoder.bias", d_in) if has_bias else checkpoint.zeros(d_in),
    )


def assemble(
    checkpoint: Checkpoint, config: dict[str, Any], weights: Weights, family: str, stored: str
) -> SAE:
    """The SAE of OpenMOSS' library from its weights as stored and its config.

    With `sparsity_include_decoder_norm` features compete by pre |dec|: thresholds are divided by
    |dec|, a top-k selection is scaled by it. The data set's norm is folded into the weights, so
    that inputs are raw and features in the scale of the training.

    Raises:
        CheckpointError: gated-linear-unit encoders, unknown activations, a missing norm.
    """
    word = str(config.get("act_fn", "jumprelu")).lower()
    if config.get("use_glu_encoder"):
        raise checkpoint.error("use_glu_encoder is set", "an encoder that is one linear layer")
    if word not in ("relu", "jumprelu", "topk", "batchtopk"):
        raise checkpoint.error(f"act_fn {word!r}", "relu, jumprelu, topk or batchtopk")
    selection = None
    if config.get("sparsity_include_decoder_norm", False):
        norm = weights.W_dec.norm(dim=1)
        if weights.threshold is not None:
            weights.threshold = weights.threshold / norm
        elif "topk" in word:
            selection = norm
    normalisation = "none"
    factor = None
    mode = config.get("norm_activation", "dataset-wise")
    if mode == "token-wise":
        normalisation = "constant_norm"
        checkpoint.note("inputs are normalised per token: layers are not in one scale")
    elif mode == "dataset-wise":
        factor = _fold_dataset_norm(checkpoint, config, weights)
    elif mode != "inference":
        raise checkpoint.error(
            f"norm_activation {mode!r}", "'dataset-wise', 'token-wise' or 'inference'"
        )
    hook, hook_out = config.get("hook_point_in"), config.get("hook_point_out")
    site = checkpoint.site(hook, None if hook_out == hook else hook_out)
    checkpoint.left_out(*(n for n in checkpoint.tensors.names if n.startswith(_NORMS)))
    return weights.sae(
        checkpoint.conventions(
            family,
            stored,
            activation=word,
            k=config["top_k"] if "topk" in word else None,
            centred=bool(config.get("apply_decoder_bias_to_pre_encoder", False)),
            normalisation=normalisation,
            norm_factor=factor,
            architecture=word,
            site=site,
            model=config.get("model_name"),
        ),
        selection_scale=selection,
    )


def _fold_dataset_norm(
    checkpoint: Checkpoint, config: dict[str, Any], weights: Weights
) -> float | None:
    norms = config.get("dataset_average_activation_norm") or {}
    found: dict[str, float | None] = {}
    for side in ("in", "out"):
        hook = config.get(f"hook_point_{side}")
        name = f"{_NORMS}{hook}"
        found[side] = norms.get(side, norms.get(hook))
        if found[side] is None and name in checkpoint.tensors:
            found[side] = checkpoint.scalar(name)
    root = weights.W_enc.shape[0] ** 0.5
    norm_in, factor = found["in"], checkpoint.facts.norm_factor
    if norm_in:
        factor = root / norm_in
        weights.scale_input(factor, root / (found["out"] or norm_in))
    elif factor:
        checkpoint.note(f"the norm factor {factor:.4g} is from SAELens' registry")
        weights.scale_input(factor)
    else:
        raise checkpoint.error(
            "norm_activation is 'dataset-wise', but no dataset_average_activation_norm is there",
            "the average norm of the SAE's inputs",
        )
    return factor

"""SAELens, versions 1 to 6: `cfg.json` and `sae_weights.safetensors`."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from saematch.checkpoints import processing
from saematch.checkpoints.canonical import Weights, from_gated
from saematch.checkpoints.checkpoint import Checkpoint
from saematch.checkpoints.tensors import Tensors
from saematch.sae.sae import SAE, Activation, Normalisation

NAME = "saelens"
REFUSED = {
    "temporal": "its codes depend on other tokens, through attention layers",
    "matching_pursuit": "it has no encoder: features are chosen one after the other",
}
_ACTIVATIONS: dict[str, Activation] = {
    "standard": "relu",
    "gated": "jumprelu",
    "jumprelu": "jumprelu",
    "topk": "topk",
    "abstopk": "abs_topk",
    "batchtopk": "batchtopk",
    "matryoshka_batchtopk": "batchtopk",
    "transcoder": "relu",
    "skip_transcoder": "relu",
    "jumprelu_transcoder": "jumprelu",
    "jumprelu_skip_transcoder": "jumprelu",
}
_CONFIG_KEYS = {"architecture", "d_sae", "hook_name", "hook_point", "metadata", "activation_fn"}
_RENAMED = {
    "hook_point": "hook_name",
    "hook_point_head_index": "hook_head_index",
    "activation_fn_str": "activation_fn",
}
_METADATA = (
    "model_name",
    "hook_name",
    "hook_name_out",
    "hook_head_index",
    "neuronpedia_id",
    "sae_lens_version",
    "model_from_pretrained_kwargs",
)
_FACTORS = ("finetuning_scaling_factor", "scaling_factor")
# tensors that only training uses
_UNUSED = ("topk_threshold", "n_forward_passes_since_fired", "act_freq_scores")
_NORMS = ("none", "expected_average_only_in", "layer_norm", "constant_norm_rescale")


def detect(checkpoint: Checkpoint) -> bool:
    config = checkpoint.configs.get("cfg.json", {})
    return bool(_CONFIG_KEYS & set(config)) and "encoder.weight" not in checkpoint.tensors


def read(checkpoint: Checkpoint) -> SAE:
    """Any architecture of SAELens that has an encoder matrix and looks at one token at a time.

    Batch-top-k training checkpoints become the JumpReLU SAE that SAELens itself would export.

    Raises:
        CheckpointError: temporal or matching-pursuit SAEs, unknown architectures, activations or
            normalisations, whitening without its statistics.
    """
    overrides = checkpoint.facts.overrides
    config = modern_config({**checkpoint.configs["cfg.json"], **overrides})
    metadata = {**config["metadata"], **{k: overrides[k] for k in _METADATA if k in overrides}}
    site = checkpoint.site(metadata.get("hook_name"), metadata.get("hook_name_out"))
    architecture = config["architecture"]
    if architecture in REFUSED:
        raise checkpoint.error(
            f"architecture {architecture!r} ({REFUSED[architecture]})",
            "an SAE with an encoder and a decoder matrix",
        )
    if architecture not in _ACTIVATIONS:
        raise checkpoint.error(
            f"architecture {architecture!r} in cfg.json", f"one of {', '.join(_ACTIVATIONS)}"
        )
    activation = _ACTIVATIONS[architecture]
    transcodes = "transcoder" in architecture
    centred = bool(config["apply_b_dec_to_input"]) and not transcodes
    weights = _weights(checkpoint, config)
    k = checkpoint.number(config, "k")
    rescaled = bool(config.get("rescale_acts_by_decoder_norm")) and "topk" in architecture
    normalisation, factor = _normalise(checkpoint, config, weights, centred, rescaled)
    if rescaled and config["normalize_activations"] != "covariance_whitening":
        weights.unit_decoder()
    if activation == "batchtopk":
        activation = _batch_threshold(checkpoint, weights, factor if rescaled else None)
    d_in, d_out = weights.W_enc.shape[0], weights.W_dec.shape[1]
    skip = checkpoint.read("W_skip", d_out, d_in).T if checkpoint.has("W_skip") else None
    skip = processing.take_in(
        checkpoint,
        metadata.get("model_from_pretrained_kwargs") or {},
        weights,
        skip,
        site=site,
        centred=centred,
        normalisation=normalisation,
        model=checkpoint.facts.model or metadata.get("model_name"),
    )
    if metadata.get("hook_head_index") is not None:
        checkpoint.note(f"reads head {metadata['hook_head_index']} of its hook alone")
    checkpoint.left_out(*_UNUSED)
    return weights.sae(
        checkpoint.conventions(
            NAME,
            "W_dec",
            activation=activation,
            k=k if k and "topk" in architecture else None,
            centred=centred,
            normalisation=normalisation,
            denormalised=not transcodes,
            norm_factor=factor,
            architecture=architecture,
            site=site,
            model=metadata.get("model_name"),
            neuronpedia_id=metadata.get("neuronpedia_id"),
        ),
        W_skip=skip,
        frequency=_frequency(checkpoint, weights.W_dec.shape[0]),
    )


def modern_config(config: dict[str, Any]) -> dict[str, Any]:
    """A `cfg.json` of any version in the words of version 6, with the defaults of its own time."""
    config = dict(config)
    metadata = dict(config.get("metadata") or {})
    for old, new in _RENAMED.items():
        if old in config:
            config.setdefault(new, config[old])
    for key in _METADATA:
        if config.get(key) is not None:
            metadata.setdefault(key, config[key])
    config["metadata"] = metadata
    config["architecture"] = config.get("architecture") or "standard"
    config["apply_b_dec_to_input"] = config.get("apply_b_dec_to_input", True)
    function = config.get("activation_fn") or "relu"
    if function == "topk":
        config["architecture"] = "topk"
        config["k"] = (config.get("activation_fn_kwargs") or {}).get("k", config.get("k"))
    elif function not in ("relu", "topk"):
        config["architecture"] = f"{config['architecture']} with {function}"
    norm = config.get("normalize_activations")
    if norm is True:
        norm = "expected_average_only_in"
    config["normalize_activations"] = norm or "none"
    return config


def _weights(checkpoint: Checkpoint, config: dict[str, Any]) -> Weights:
    architecture = config["architecture"]
    d_out = checkpoint.size("b_dec")
    d_sae = checkpoint.size("b_enc", "b_mag")
    # a transcoder's input has a size of its own
    d_in = checkpoint.tensors.shape("W_enc")[0] if checkpoint.has("W_enc") else d_out
    W_enc = checkpoint.read("W_enc", d_in, d_sae)
    W_dec = checkpoint.read("W_dec", d_sae, d_out)
    b_dec = checkpoint.read("b_dec", d_out)
    W_dec = _finetuned(checkpoint, config, W_dec)
    if architecture == "gated":
        biases = {name: checkpoint.read(name, d_sae) for name in ("b_gate", "b_mag", "r_mag")}
        return from_gated(W_enc, W_dec, b_dec, **biases)
    weights = Weights(W_enc, W_dec, checkpoint.read("b_enc", d_sae), b_dec)
    if architecture.startswith("jumprelu"):
        if checkpoint.has("log_threshold"):
            weights.threshold = checkpoint.read("log_threshold", d_sae).exp()
        else:
            weights.threshold = checkpoint.read("threshold", d_sae)
    return weights


def _finetuned(checkpoint: Checkpoint, config: dict[str, Any], W_dec: Tensor) -> Tensor:
    """Versions before 6 multiply features by a factor of their own as they are decoded."""
    name = next((name for name in _FACTORS if checkpoint.has(name)), None)
    if name is None:
        return W_dec
    factor = checkpoint.read(name, W_dec.shape[0])
    if torch.allclose(factor, torch.ones_like(factor)):
        return W_dec
    if config.get("finetuning_scaling_factor") is False:
        raise checkpoint.error(
            f"a tensor {name} that is not all 1, and finetuning_scaling_factor false in cfg.json",
            "a config that says whether features are scaled",
        )
    checkpoint.note("a fine-tuned scaling_factor per feature was multiplied into W_dec")
    return W_dec * factor[:, None]


def _normalise(
    checkpoint: Checkpoint, config: dict[str, Any], weights: Weights, centred: bool, rescaled: bool
) -> tuple[Normalisation, float | None]:
    """Folds what can be folded; returns the per-token normalisation left, and the factor."""
    norm = config["normalize_activations"]
    if norm == "covariance_whitening":
        path = checkpoint.beside.get("activation_whitening.safetensors")
        if path is None:
            raise checkpoint.error(
                "normalize_activations 'covariance_whitening' without activation_whitening."
                "safetensors beside the weights",
                "its statistics, or an SAE exported for inference",
            )
        if rescaled:
            weights.unit_decoder()
        statistics = Tensors(path)
        names = ("mean", "matrix", "inverse_matrix")
        mean, matrix, inverse = (
            statistics.read(name, torch.float64, checkpoint.device) for name in names
        )
        weights.unwhiten(mean, matrix, inverse, centred)
        checkpoint.note("the whitening of the input was folded into the weights")
        return "none", None
    if norm not in _NORMS:
        raise checkpoint.error(f"normalize_activations {norm!r}", f"one of {', '.join(_NORMS)}")
    if norm == "expected_average_only_in":
        factor = checkpoint.facts.norm_factor
        if factor is None:
            scaler = checkpoint.configs.get("activation_scaler.json", {})
            factor = checkpoint.number(scaler, "scaling_factor")
        if factor is None:
            checkpoint.note(
                "normalize_activations is expected_average_only_in, but the factor is in no file: "
                "inputs must be scaled to a mean norm of sqrt(d_in) before they are encoded"
            )
            return "none", None
        weights.scale_input(factor)
        return "none", factor
    if norm == "none":
        return "none", None
    checkpoint.note(
        f"normalize_activations is {norm}, per token: weights of different layers are not in one "
        "scale"
    )
    return ("layer_norm" if norm == "layer_norm" else "constant_norm"), None


def _batch_threshold(
    checkpoint: Checkpoint, weights: Weights, rescaled_by: float | None
) -> Activation:
    d_sae = weights.b_enc.shape[0]
    if checkpoint.has("threshold"):
        weights.threshold = checkpoint.read("threshold", d_sae)
        return "jumprelu"
    value = checkpoint.scalar("topk_threshold") if checkpoint.has("topk_threshold") else 0.0
    if value <= 0:
        checkpoint.note("its threshold was never set: the k largest of a batch are kept")
        return "batchtopk"
    # in units of pre times |dec|, which shrank with the decoder
    value = value / (rescaled_by or 1.0)
    weights.threshold = torch.full_like(weights.b_enc, value)
    checkpoint.note("a training checkpoint: its running top-k threshold is used for every feature")
    return "jumprelu"


def _frequency(checkpoint: Checkpoint, d_sae: int) -> Tensor | None:
    path = checkpoint.beside.get("sparsity.safetensors")
    if path is None:
        return None
    tensors = Tensors(path)
    if "sparsity" not in tensors or tensors.shape("sparsity") != (d_sae,):
        checkpoint.note(f"sparsity.safetensors was not used: it holds {tensors.describe()}")
        return None
    # log10(frequency + 1e-10)
    logarithm = tensors.read("sparsity", torch.float64, checkpoint.device)
    frequency = torch.where(logarithm <= -9.99, 0.0, 10**logarithm - 1e-10)
    return frequency.clamp(0, 1).to(checkpoint.dtype)

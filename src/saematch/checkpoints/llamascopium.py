"""OpenMOSS' library (lm-saes, now llamascopium) and Llama-Scope-R1-Distill.

`config.json` and `sae_weights.safetensors`, with linear layers or with W_E, b_E, W_D, b_D.
"""

from __future__ import annotations

from saematch.checkpoints.canonical import Weights
from saematch.checkpoints.checkpoint import Checkpoint
from saematch.checkpoints.llama_scope import assemble, linear_weights
from saematch.sae.sae import SAE

NAME = "llamascopium"
_THRESHOLDS = ("activation_function.log_jumprelu_threshold", "log_jumprelu_threshold")


def detect(checkpoint: Checkpoint) -> bool:
    config = checkpoint.configs.get("config.json", {})
    if checkpoint.has("W_E", "W_D"):
        return True
    return checkpoint.has("encoder.weight", "decoder.weight") and (
        any(checkpoint.has(name) for name in _THRESHOLDS)
        or {"act_fn", "hook_point_in"} <= set(config)
    )


def read(checkpoint: Checkpoint) -> SAE:
    """Thresholds are stored as logarithms, one per feature.

    Raises:
        CheckpointError: no config.json, a crosscoder or cross-layer transcoder, or what
            `llama_scope.assemble` refuses.
    """
    config = checkpoint.configs.get("config.json")
    if config is None:
        raise checkpoint.error("no config.json beside it", "the library's config.json")
    kind = config.get("sae_type", "sae")
    if kind not in ("sae", "transcoder"):
        raise checkpoint.error(f"config.json has sae_type {kind!r}", "'sae'")
    weights = _plain_weights(checkpoint) if checkpoint.has("W_E") else linear_weights(checkpoint)
    name = next((n for n in _THRESHOLDS if checkpoint.has(n)), None)
    if str(config.get("act_fn", "jumprelu")).lower() == "jumprelu":
        if name is None:
            raise checkpoint.error(f"it holds {checkpoint.tensors.describe()}", _THRESHOLDS[0])
        weights.threshold = checkpoint.read(name, weights.b_enc.shape[0]).exp()
    stored = "W_E" if checkpoint.has("W_E") else "encoder.weight"
    return assemble(checkpoint, config, weights, NAME, stored)


def _plain_weights(checkpoint: Checkpoint) -> Weights:
    shape = checkpoint.tensors.shape("W_E")
    if len(shape) != 2:
        raise checkpoint.error(
            f"W_E has shape {shape}: a crosscoder or cross-layer transcoder", "an SAE of one layer"
        )
    d_in, d_sae = shape
    d_out = checkpoint.tensors.shape("W_D")[-1]
    has_bias = checkpoint.has("b_D")
    return Weights(
        W_enc=checkpoint.read("W_E", d_in, d_sae),
        W_dec=checkpoint.read("W_D", d_sae, d_out),
        b_enc=checkpoint.read("b_E", d_sae),
        b_dec=checkpoint.read("b_D", d_out) if has_bias else checkpoint.zeros(d_out),
    )

"""circuit-tracer's transcoders (Hanna et al., 2025): `layer_N.safetensors`, one `config.yaml`."""

from __future__ import annotations

from saematch.checkpoints.canonical import Weights
from saematch.checkpoints.checkpoint import Checkpoint
from saematch.checkpoints.sites import layer_in, parse_hook
from saematch.sae.sae import SAE, Site

NAME = "circuit_tracer"
CONFIG = "config.yaml"
_READS, _WRITES = "feature_input_hook", "feature_output_hook"
_TENSORS = {"W_enc", "W_dec", "b_enc", "b_dec", "W_skip"}


def detect(checkpoint: Checkpoint) -> bool:
    """Both matrices are `(d_sae, d_model)`, and something says that it is a transcoder."""
    if checkpoint.tensors.path.suffix != ".safetensors" or "cfg.json" in checkpoint.configs:
        return False
    if not {"W_enc", "W_dec", "b_enc", "b_dec"} <= set(checkpoint.tensors.names) <= _TENSORS:
        return False
    shape = checkpoint.tensors.shape("W_enc")
    if len(shape) != 2 or (shape[0],) != checkpoint.tensors.shape("b_enc"):
        return False
    return (
        _READS in checkpoint.configs.get(CONFIG, {})
        or bool(checkpoint.facts.overrides.get("hook_name_out"))
        or "transcoder" in checkpoint.path
    )


def read(checkpoint: Checkpoint) -> SAE:
    """ReLU; b_dec is not subtracted; W_skip is `(d_out, d_in)`.

    config.yaml says where it reads, which is behind the norm for all that are published, and where
    it writes.
    """
    d_sae, d_out = checkpoint.size("b_enc"), checkpoint.size("b_dec")
    d_in = checkpoint.tensors.shape("W_enc")[1]
    weights = Weights(
        W_enc=checkpoint.read("W_enc", d_sae, d_in).T,
        W_dec=checkpoint.read("W_dec", d_sae, d_out),
        b_enc=checkpoint.read("b_enc", d_sae),
        b_dec=checkpoint.read("b_dec", d_out),
    )
    skip = checkpoint.read("W_skip", d_out, d_in).T if checkpoint.has("W_skip") else None
    return weights.sae(
        checkpoint.conventions(
            NAME,
            "W_dec",
            activation="relu",
            architecture="transcoder",
            site=_site(checkpoint),
            model=checkpoint.configs.get(CONFIG, {}).get("model_name"),
        ),
        W_skip=skip,
    )


def _site(checkpoint: Checkpoint) -> Site | None:
    config, layer = checkpoint.configs.get(CONFIG, {}), layer_in(checkpoint.path)
    if layer is None or not config.get(_READS):
        if "hook_name" not in checkpoint.facts.overrides:
            checkpoint.note(
                "guessed from the path: a transcoder, with ReLU and b_dec not subtracted"
            )
        return checkpoint.site()
    writes = config.get(_WRITES)
    return parse_hook(f"blocks.{layer}.{config[_READS]}", writes and f"blocks.{layer}.{writes}")

"""Gemma Scope 2: SAEs and transcoders of Gemma 3, as `params.safetensors` with lower-case names."""

from __future__ import annotations

import re

from saematch.checkpoints.canonical import Weights
from saematch.checkpoints.checkpoint import Checkpoint
from saematch.checkpoints.sites import parse_hook
from saematch.sae.sae import SAE, Site, SiteKind

NAME = "gemma_scope_2"
SKIP = "affine_skip_connection"
# what a folder's word means where no config.json says it: the module read, the module written
_MODULES: dict[SiteKind, tuple[str, str | None]] = {
    "attn_out": ("self_attn.o_proj.input", None),
    "mlp_out": ("post_feedforward_layernorm.output", None),
    "mlp_in": ("pre_feedforward_layernorm.output", "post_feedforward_layernorm.output"),
}


def detect(checkpoint: Checkpoint) -> bool:
    return checkpoint.tensors.path.suffix == ".safetensors" and checkpoint.has(
        "w_enc", "w_dec", "b_enc", "b_dec", "threshold"
    )


def read(checkpoint: Checkpoint) -> SAE:
    """w_enc is `(d_in, d_sae)`, w_dec `(d_sae, d_out)`; b_dec is not subtracted.

    Raises:
        CheckpointError: a cross-layer transcoder, or an architecture other than jump_relu.
    """
    config = checkpoint.configs.get("config.json", {})
    architecture = config.get("architecture", "jump_relu")
    if architecture != "jump_relu":
        raise checkpoint.error(f"config.json says architecture {architecture!r}", "'jump_relu'")
    shape = checkpoint.tensors.shape("w_dec")
    if len(shape) == 3:
        raise checkpoint.error(
            f"w_dec has shape {shape}: a cross-layer transcoder, which writes to {shape[1]} layers",
            "an SAE or transcoder that writes to one place",
        )
    d_sae, d_out = checkpoint.size("b_enc"), checkpoint.size("b_dec")
    d_in = checkpoint.tensors.shape("w_enc")[0]
    weights = Weights(
        W_enc=checkpoint.read("w_enc", d_in, d_sae),
        W_dec=checkpoint.read("w_dec", d_sae, d_out),
        b_enc=checkpoint.read("b_enc", d_sae),
        b_dec=checkpoint.read("b_dec", d_out),
        threshold=checkpoint.read("threshold", d_sae),
    )
    skip = checkpoint.read(SKIP, d_in, d_out) if SKIP in checkpoint.tensors else None
    checkpoint.left_out()
    return weights.sae(
        checkpoint.conventions(
            NAME,
            "w_dec",
            activation="jumprelu",
            architecture=architecture,
            site=_site(checkpoint, config),
            model=config.get("model_name") or _model(checkpoint),
        ),
        W_skip=skip,
    )


def _site(checkpoint: Checkpoint, config: dict) -> Site | None:
    hook, hook_out = config.get("hf_hook_point_in"), config.get("hf_hook_point_out")
    if hook:
        return parse_hook(hook, None if hook_out == hook else hook_out)
    site = checkpoint.site()
    module = _MODULES.get(site.kind) if site else None
    if site is None or module is None:
        return site
    # folders are named after the branch, not after where the SAE reads
    reads, writes = (name and f"model.layers.{site.layer}.{name}" for name in module)
    checkpoint.notes.pop()
    checkpoint.note(f"guessed from the path: site {reads}")
    return parse_hook(f"{reads}", writes)


def _model(checkpoint: Checkpoint) -> str | None:
    found = re.search(r"gemma-scope-2-(\d+m|\d+b)-(pt|it)", checkpoint.path)
    if found is None or checkpoint.facts.model:
        return None
    # the smallest base model is published without -pt
    suffix = "" if found[1] == "270m" and found[2] == "pt" else f"-{found[2]}"
    model = f"google/gemma-3-{found[1]}{suffix}"
    checkpoint.note(f"guessed from the path: model {model}")
    return model

"""What a model's loader changed in the values that an SAE was trained on.

TransformerLens may rewrite a model's weights when it loads it; SAELens keeps the options in
`model_from_pretrained_kwargs`. Models of Hugging Face, which saematch reads, are as published.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from saematch.checkpoints.canonical import Weights, without_mean
from saematch.checkpoints.checkpoint import Checkpoint
from saematch.sae.sae import RESIDUAL, Normalisation, Site

CENTRED = "center_writing_weights"
# models with RMS norm, by name
_RMS = re.compile(
    r"gemma|llama|mi[sx]tral|qwen|deepseek|phi-?[34]|(?<![a-z])yi-|olmo-?2|gpt-oss", re.IGNORECASE
)
# options of loading that leave every value as it is
_HARMLESS = {
    "attn_implementation",
    "cache_dir",
    "center_unembed",
    "default_padding_side",
    "default_prepend_bos",
    "device",
    "device_map",
    "dtype",
    "first_n_layers",
    "local_files_only",
    "low_cpu_mem_usage",
    "move_to_device",
    "n_devices",
    "token",
    "torch_dtype",
    "trust_remote_code",
    "use_cache",
}


def take_in(
    checkpoint: Checkpoint,
    options: Mapping[str, Any],
    weights: Weights,
    W_skip: Tensor | None,
    *,
    site: Site | None,
    centred: bool,
    normalisation: Normalisation,
    model: str | None = None,
) -> Tensor | None:
    """Folds the centring of what is written to the stream into `weights`; notes other options.

    With `center_writing_weights` the SAE saw `x - mean(x)` over the dimensions of x, which is
    linear: it is folded into W_enc (and `W_skip`, which is returned). Layer norm of the input does
    the same by itself, and models with RMS norm are never centred. Reconstructions are of the
    centred value; layer norms that read the stream take its mean out anyway.
    """
    for name, value in options.items():
        if value and name not in _HARMLESS and name != CENTRED:
            checkpoint.note(
                f"trained on a model loaded with {name}={value!r}: values of the model as "
                "published may differ from those"
            )
    if not options.get(CENTRED) or not _written(site) or normalisation == "layer_norm":
        return W_skip
    if model and _RMS.search(model):
        checkpoint.note(
            f"{CENTRED} is set, which TransformerLens passes over for {model}, whose norms do not "
            "take a mean out: nothing was folded"
        )
        return W_skip
    if normalisation != "none":
        checkpoint.note(
            "trained on values with their mean over dimensions taken out "
            f"({CENTRED}), which cannot be folded with inputs normalised per token: "
            "take the mean out before encoding"
        )
        return W_skip
    weights.take_out_mean(centred)
    checkpoint.note(
        f"trained on values with their mean over dimensions taken out ({CENTRED}): folded into "
        "W_enc; reconstructions lack the mean"
    )
    return None if W_skip is None else without_mean(W_skip)


def _written(site: Site | None) -> bool:
    """Whether a site's value is what blocks write, before any norm; where it is unknown, so."""
    if site is None or site.kind in (*RESIDUAL, "mlp_out", "attn_out"):
        return True
    return site.hook.endswith(("hook_mlp_in", "hook_embed", "hook_pos_embed"))

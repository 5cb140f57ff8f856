"""Gemma Scope (Lieberum et al., 2024): SAEs and transcoders of Gemma 2, as `params.npz`."""

from __future__ import annotations

import re

from saematch.checkpoints.canonical import Weights
from saematch.checkpoints.checkpoint import Checkpoint
from saematch.sae.sae import SAE, Site

NAME = "gemma_scope"
_EMBEDDING = Site("hook_embed")


def detect(checkpoint: Checkpoint) -> bool:
    names = {name.lower() for name in checkpoint.tensors.names}
    return (
        checkpoint.tensors.path.suffix == ".npz"
        and {
            "w_enc",
            "w_dec",
            "b_enc",
            "b_dec",
            "threshold",
        }
        <= names
    )


def read(checkpoint: Checkpoint) -> SAE:
    """W_enc is `(d_in, d_sae)`; b_dec is not subtracted; thresholds are raw and per feature."""
    named = {name.lower(): name for name in checkpoint.tensors.names}
    d_sae, d_out = checkpoint.size(named["b_enc"]), checkpoint.size(named["b_dec"])
    # transcoders share the layout: only the encoder tells the width of their input
    d_in = checkpoint.tensors.shape(named["w_enc"])[0]
    weights = Weights(
        W_enc=checkpoint.read(named["w_enc"], d_in, d_sae),
        W_dec=checkpoint.read(named["w_dec"], d_sae, d_out),
        b_enc=checkpoint.read(named["b_enc"], d_sae),
        b_dec=checkpoint.read(named["b_dec"], d_out),
        threshold=checkpoint.read(named["threshold"], d_sae),
    )
    site, factor = _site(checkpoint), None
    if site is not None and site.hook == _EMBEDDING.hook:
        factor = d_in**-0.5
        weights.scale_input(factor)
        checkpoint.note(
            "an embedding SAE, trained on embeddings before Gemma multiplies them by "
            "sqrt(d_model): its weights were brought to the scale in which they enter the stream"
        )
    checkpoint.left_out()
    return weights.sae(
        checkpoint.conventions(
            NAME,
            named["w_dec"],
            activation="jumprelu",
            norm_factor=factor,
            architecture="jumprelu",
            site=site,
            model=_model(checkpoint),
        )
    )


def _site(checkpoint: Checkpoint) -> Site | None:
    words = re.findall(r"(?:^|/)(embedding(?![a-z])|layer_\d)", checkpoint.path)
    if words and words[-1] == "embedding":
        return _EMBEDDING
    site = checkpoint.site()
    if site is None or site.kind != "mlp_in" or site.layer is None:
        return site
    # its transcoders read behind the norm, but before the norm's gain
    checkpoint.notes.pop()
    hook = f"blocks.{site.layer}.ln2.hook_normalized"
    checkpoint.note(f"guessed from the path: site {hook}")
    return Site(hook, "mlp_in", site.layer, site.hook_out)


def _model(checkpoint: Checkpoint) -> str | None:
    found = re.search(r"gemma-scope-(\d+b)-(pt|it)", checkpoint.path)
    if found is None or checkpoint.facts.model:
        return None
    model = f"google/gemma-2-{found[1]}" + ("-it" if found[2] == "it" else "")
    checkpoint.note(f"guessed from the path: model {model}")
    return model

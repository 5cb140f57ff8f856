"""dictionary_learning (Marks, Karvonen and Mueller): `trainer_i/config.json` and `ae.pt`."""

from __future__ import annotations

import re
from typing import Any

import torch

from saematch.checkpoints.canonical import Weights, from_gated
from saematch.checkpoints.checkpoint import Checkpoint
from saematch.checkpoints.sites import guess_site, hook_name, parse_hook
from saematch.sae.sae import SAE, Activation, Site

NAME = "dictionary_learning"
_TOP_K = re.compile(r"top_?k", re.IGNORECASE)
# classes without a selection, whose tensors tell them apart
_CLASSES = ("AutoEncoder", "AutoEncoderNew", "GatedAutoEncoder", "JumpReluAutoEncoder")
_LINEAR = ("encoder.weight", "decoder.weight")


def detect(checkpoint: Checkpoint) -> bool:
    if checkpoint.tensors.path.suffix not in (".pt", ".pth", ".bin"):
        return False
    trainer = _trainer(checkpoint)
    if "dict_class" in trainer:
        return True
    if checkpoint.has(*_LINEAR):
        biases = ("bias", "decoder.bias", "b_dec", "decoder_bias")
        return any(checkpoint.has(name) for name in biases)
    if not checkpoint.has("W_enc", "W_dec", "b_enc", "b_dec", "threshold"):
        return False
    return checkpoint.has("group_sizes") or set(checkpoint.tensors.names) == {
        "W_enc",
        "W_dec",
        "b_enc",
        "b_dec",
        "threshold",
    }


def read(checkpoint: Checkpoint) -> SAE:
    """Every dictionary class with one encoder and one decoder.

    Features are in the scale of the weights as stored; some versions of the library multiply the
    codes of gated and JumpReLU dictionaries by the decoder's norm, which decodes to the same.

    Raises:
        CheckpointError: crosscoders and classes with other tensors.
    """
    trainer = _trainer(checkpoint)
    word = str(trainer.get("dict_class", ""))
    if checkpoint.has("encoder.weight") and len(checkpoint.tensors.shape("encoder.weight")) == 3:
        raise checkpoint.error(
            f"encoder.weight has shape {checkpoint.tensors.shape('encoder.weight')}: a crosscoder",
            "an SAE of one layer",
        )
    if checkpoint.has("jump"):
        raise checkpoint.error(
            "a JumpAutoEncoder, which adds its jump to active features", "a JumpReLU SAE"
        )
    weights, centred, activation = _weights(checkpoint)
    activation, k = _activation(checkpoint, trainer, weights, activation)
    factor = checkpoint.number(checkpoint.tensors.extras, "norm_factor")
    norm = checkpoint.tensors.extras.get("norm_factor")
    if isinstance(norm, torch.Tensor) and norm.numel() == 1:
        factor = float(norm)
    if factor is not None:
        # an interrupted run: its inputs were divided by the factor, as scale_biases would undo
        weights.b_enc = weights.b_enc * factor
        weights.b_dec = weights.b_dec * factor
        if weights.threshold is not None:
            weights.threshold = weights.threshold * factor
        checkpoint.note(f"an interrupted run: biases were scaled by its norm_factor {factor:.4g}")
    site = _site(checkpoint, trainer)
    # a top-k per token keeps its threshold for other uses
    selects = ("threshold",) if "topk" in activation else ()
    checkpoint.left_out("k", "group_sizes", "norm_factor", *selects)
    return weights.sae(
        checkpoint.conventions(
            NAME,
            "encoder.weight" if checkpoint.has("encoder.weight") else "W_enc",
            activation=activation,
            k=k,
            centred=centred,
            norm_factor=factor,
            architecture=word,
            site=site,
            model=trainer.get("lm_name"),
        )
    )


def _trainer(checkpoint: Checkpoint) -> dict[str, Any]:
    config = checkpoint.configs.get("config.json") or checkpoint.tensors.extras.get("config") or {}
    trainer = config.get("trainer", config) if isinstance(config, dict) else {}
    return trainer if isinstance(trainer, dict) else {}


def _weights(checkpoint: Checkpoint) -> tuple[Weights, bool, Activation]:
    read, size = checkpoint.read, checkpoint.size
    if checkpoint.has("W_enc"):
        d_sae, d_in = size("b_enc"), size("b_dec")
        weights = Weights(
            read("W_enc", d_in, d_sae),
            read("W_dec", d_sae, d_in),
            read("b_enc", d_sae),
            read("b_dec", d_in),
        )
        # a matryoshka has one threshold, JumpReLU one per feature and no centring
        scalar = checkpoint.has("threshold") and checkpoint.tensors.shape("threshold") == ()
        if checkpoint.has("k") or scalar or not checkpoint.has("threshold"):
            return weights, True, "topk"
        weights.threshold = read("threshold", d_sae)
        return weights, False, "jumprelu"
    if checkpoint.has("r_mag"):
        d_sae, d_in = size("mag_bias"), size("decoder_bias")
        gated = from_gated(
            read("encoder.weight", d_sae, d_in).T,
            read("decoder.weight", d_in, d_sae).T,
            read("decoder_bias", d_in),
            b_gate=read("gate_bias", d_sae),
            b_mag=read("mag_bias", d_sae),
            r_mag=read("r_mag", d_sae),
        )
        return gated, True, "jumprelu"
    bias = next((n for n in ("bias", "b_dec", "decoder.bias") if checkpoint.has(n)), "bias")
    d_sae, d_in = size("encoder.bias"), size(bias)
    weights = Weights(
        read("encoder.weight", d_sae, d_in).T,
        read("decoder.weight", d_in, d_sae).T,
        read("encoder.bias", d_sae),
        read(bias, d_in),
    )
    return weights, bias != "decoder.bias", "topk" if checkpoint.has("k") else "relu"


def _activation(
    checkpoint: Checkpoint, trainer: dict[str, Any], weights: Weights, told: Activation
) -> tuple[Activation, int | None]:
    """What the class does, where the tensors tell no more than `told`; and k."""
    word = str(trainer.get("dict_class", ""))
    words = f"{word} {trainer.get('trainer_class', '')}".strip()
    if told == "topk" or (told == "relu" and _selects(words, trainer)):
        k = _k(checkpoint, trainer)
        activation = _top_k(checkpoint, weights, words)
        if k is None and activation != "jumprelu":
            raise checkpoint.error(
                f"{words or 'a top-k SAE'} without a k, in the tensors or in config.json",
                "k, the number of features kept per token",
            )
        return activation, k
    if told == "relu" and word in ("GatedAutoEncoder", "JumpReluAutoEncoder"):
        raise checkpoint.error(
            f"dict_class {word}, but it holds {checkpoint.tensors.describe()}", "its tensors"
        )
    if word and word not in _CLASSES:
        checkpoint.note(f"unknown dict_class {word!r}: read by its tensors, as {told}")
    elif not words and told == "relu" and checkpoint.has("b_dec"):
        checkpoint.note(
            "guessed: ReLU; the names are those of the library's top-k classes, whose k may be in "
            "a config.json that is not there"
        )
    return told, None


def _selects(words: str, trainer: dict[str, Any]) -> bool:
    """Whether a config says top-k: by the class, or where none is named, by a k."""
    return bool(_TOP_K.search(words)) or (not words and bool(trainer.get("k")))


def _k(checkpoint: Checkpoint, trainer: dict[str, Any]) -> int | None:
    """The state dict's k, or else that of config.json, where alone it was until 2024-12-22."""
    stated = checkpoint.number(trainer, "k")
    if not checkpoint.has("k"):
        return checkpoint.whole("k", stated) if stated else None
    k = checkpoint.whole("k", checkpoint.scalar("k"))
    if stated and stated != k:
        checkpoint.note(f"config.json says k = {stated}, the file k = {k}, which is taken")
    return k


def _top_k(checkpoint: Checkpoint, weights: Weights, words: str) -> Activation:
    """Top-k per token, or a threshold where the class selects over batches in training."""
    batch = "Batch" in words or checkpoint.has("group_sizes")
    if not words and not batch:
        checkpoint.note("guessed: top-k per token (no config.json tells it from BatchTopK)")
    if not batch:
        return "topk"
    value = checkpoint.scalar("threshold") if checkpoint.has("threshold") else -1.0
    if value < 0:
        checkpoint.note("its threshold was never set: the k largest of a batch are kept")
        return "batchtopk"
    weights.threshold = torch.full_like(weights.b_enc, value)
    return "jumprelu"


def _site(checkpoint: Checkpoint, trainer: dict[str, Any]) -> Site | None:
    """What the config says of the place: the submodule's name, in words, and the layer."""
    submodule, layer = trainer.get("submodule_name"), trainer.get("layer")
    if submodule and parse_hook(submodule).layer is not None:
        return parse_hook(submodule)
    if checkpoint.facts.overrides.get("hook_name"):
        return checkpoint.site()
    if layer is None:
        return checkpoint.site()
    told = guess_site(f"{submodule}/layer_{layer}") if submodule else guess_site(checkpoint.path)
    if told is not None and told.layer not in (None, layer):
        checkpoint.note(f"config.json says layer {layer}, the path layer {told.layer}")
    kind = told.kind if told is not None and told.layer is not None else "other"
    guessed = kind == "other"
    hook = hook_name("resid_post" if kind == "other" else kind, layer)
    if guessed:
        why = submodule or "its output, as the library's trainers do by default"
        checkpoint.note(f"guessed: the SAE reads the residual stream after layer {layer} ({why})")
    elif not submodule:
        checkpoint.note(f"guessed from config.json's layer and the path: site {hook}")
    return parse_hook(hook)

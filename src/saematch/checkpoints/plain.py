"""Any file with recognisable names and shapes: the fallback, with every guess recorded."""

from __future__ import annotations

import re
from typing import Any

import torch
from torch import Tensor

from saematch.checkpoints.canonical import Weights
from saematch.checkpoints.checkpoint import Checkpoint
from saematch.sae.sae import SAE, Activation

NAME = "plain"
_NAMES: dict[str, tuple[str, ...]] = {
    "W_enc": ("w_enc", "w_e", "encoder.weight", "encoder_linear.weight", "enc.weight", "encoder"),
    "W_dec": ("w_dec", "w_d", "decoder.weight", "decoder_linear.weight", "dec.weight", "decoder"),
    "b_enc": ("b_enc", "b_e", "encoder.bias", "encoder_linear.bias", "enc.bias", "latent_bias"),
    "b_dec": ("b_dec", "b_d", "decoder.bias", "dec.bias", "bias", "pre_bias", "decoder_bias"),
    "threshold": ("threshold", "thresholds", "theta", "log_threshold"),
    "W_skip": ("w_skip",),
    "k": ("k",),
}

# what configs call the kind of SAE
_KINDS = ("architecture", "activation", "activation_fn", "activation_fn_str", "act_fn", "sae_type")


def detect(checkpoint: Checkpoint) -> bool:
    """An encoder and a decoder matrix by name, and no other matrices."""
    found = _find(checkpoint)
    if not {"W_enc", "W_dec"} <= set(found):
        return False
    known = set(found.values())
    return all(
        name in known or len(checkpoint.tensors.shape(name)) < 2
        for name in checkpoint.tensors.names
    )


def read(checkpoint: Checkpoint) -> SAE:
    """Which way the matrices lie is told by the lengths of the biases.

    Raises:
        CheckpointError: matrices that are not matrices, shapes that do not fit each other, or a
            config that tells of a kind whose tensors or k are not there.
    """
    found = _find(checkpoint)
    configs = [*checkpoint.configs.values(), checkpoint.facts.overrides]
    config = {key: value for one in configs for key, value in one.items()}
    ignored = sorted(set(checkpoint.tensors.names) - set(found.values()))
    checkpoint.note("read by names and shapes alone: " + ", ".join(sorted(found.values())))
    if ignored:
        checkpoint.note(f"tensors left out: {', '.join(ignored)}")
    d_sae = _length(checkpoint, found, "b_enc")
    d_out = _length(checkpoint, found, "b_dec")
    W_enc, W_dec = _matrices(checkpoint, found, d_sae, d_out)
    d_sae, d_out = W_dec.shape
    weights = Weights(
        W_enc,
        W_dec,
        _vector(checkpoint, found, "b_enc", d_sae),
        _vector(checkpoint, found, "b_dec", d_out),
    )
    if gates := [
        name for name in checkpoint.tensors.names if re.search("gate|r_mag", name.lower())
    ]:
        raise checkpoint.error(
            f"a gated SAE, by its {', '.join(gates)}", "the config of the library that wrote it"
        )
    activation, k = _activation(checkpoint, found, config, weights)
    centred = config.get("apply_b_dec_to_input")
    if centred is None:
        centred = found.get("b_dec", "").lower() in ("bias", "pre_bias", "decoder_bias")
        word = "" if centred else "not "
        checkpoint.note(f"guessed: the decoder's bias is {word}subtracted from the input")
    skip = None
    if "W_skip" in found:
        skip = checkpoint.read(found["W_skip"], d_out, W_enc.shape[0]).T
    hook = config.get("hook_name") or config.get("hook_point") or config.get("act_name")
    return weights.sae(
        checkpoint.conventions(
            NAME,
            found["W_dec"],
            activation=activation,
            k=k,
            centred=bool(centred),
            site=checkpoint.site(hook if isinstance(hook, str) else None),
            model=config.get("model_name"),
        ),
        W_skip=skip,
    )


def _find(checkpoint: Checkpoint) -> dict[str, str]:
    lower = {name.lower(): name for name in checkpoint.tensors.names}
    found = {}
    for role, names in _NAMES.items():
        name = next((n for n in names if n in lower), None)
        if name is not None:
            found[role] = lower[name]
    return found


def _length(checkpoint: Checkpoint, found: dict[str, str], role: str) -> int | None:
    return checkpoint.size(found[role]) if role in found else None


def _matrices(
    checkpoint: Checkpoint, found: dict[str, str], d_sae: int | None, d_out: int | None
) -> tuple[Tensor, Tensor]:
    shapes = {role: checkpoint.tensors.shape(found[role]) for role in ("W_enc", "W_dec")}
    for role, shape in shapes.items():
        if len(shape) != 2:
            raise checkpoint.error(f"{found[role]} has shape {shape}", "a matrix")
    if d_sae is None:
        # the size that both matrices share; the wider one when both are shared
        shared = set(shapes["W_enc"]) & set(shapes["W_dec"])
        if not shared:
            raise checkpoint.error(
                f"{found['W_enc']} {shapes['W_enc']} and {found['W_dec']} {shapes['W_dec']}",
                "matrices that share the number of features",
            )
        d_sae = max(shared - {d_out}) if shared - {d_out} else max(shared)
        checkpoint.note(f"guessed: d_sae = {d_sae} (no encoder bias; taken as zeros)")
    turned = {}
    for role, axis in (("W_enc", 1), ("W_dec", 0)):
        shape = shapes[role]
        if d_sae not in shape:
            raise checkpoint.error(f"{found[role]} has shape {shape}", f"one side of {d_sae}")
        turned[role] = shape[axis] != d_sae
        if shape[0] == shape[1]:
            # torch's linear layers are (out, in); bare matrices are written (in, out)
            turned[role] = found[role].lower().endswith("weight")
            checkpoint.note(f"guessed: which way the square {found[role]} lies")
    W_enc, W_dec = (checkpoint.read(found[role], *shapes[role]) for role in ("W_enc", "W_dec"))
    W_enc = W_enc.T if turned["W_enc"] else W_enc
    W_dec = W_dec.T if turned["W_dec"] else W_dec
    if d_out is not None and W_dec.shape[1] != d_out:
        raise checkpoint.error(
            f"{found['W_dec']} has shape {shapes['W_dec']}", f"({d_sae}, {d_out}) or its transpose"
        )
    return W_enc, W_dec


def _vector(checkpoint: Checkpoint, found: dict[str, str], role: str, size: int) -> Tensor:
    if role in found:
        return checkpoint.read(found[role], size)
    if role == "b_dec":
        checkpoint.note("guessed: no decoder bias is there, so it is zero")
    return checkpoint.zeros(size)


def _activation(
    checkpoint: Checkpoint, found: dict[str, str], config: dict[str, Any], weights: Weights
) -> tuple[Activation, int | None]:
    d_sae = weights.b_enc.shape[0]
    if "threshold" in found:
        name = found["threshold"]
        scalar = checkpoint.tensors.shape(name) in ((), (1,))
        if scalar:
            value = checkpoint.scalar(name)
            threshold = torch.full_like(weights.b_enc, value)
        else:
            threshold = checkpoint.read(name, d_sae)
        weights.threshold = threshold.exp() if name.lower().startswith("log") else threshold
        checkpoint.note("guessed: JumpReLU, because there are thresholds")
        return "jumprelu", None
    k = checkpoint.scalar(found["k"]) if "k" in found else None
    k = checkpoint.number(config, "k", "top_k", "topk") if k is None else k
    stated = _stated(config)
    if stated is not None and (k is None or "top" not in stated.lower()):
        lacks = "no k" if "top" in stated.lower() else "no tensors of that"
        raise checkpoint.error(f"its config says {stated!r}, but it has {lacks}", "what that needs")
    if k is not None:
        count = checkpoint.whole("k", k)
        kind = "batchtopk" if "batch" in (stated or "").lower() else "topk"
        why = "a k is there" if stated is None else f"its config says {stated!r}"
        checkpoint.note(f"guessed: {kind} with k = {count}, because {why}")
        return kind, count
    checkpoint.note("guessed: ReLU, because there are neither thresholds nor a k")
    return "relu", None


def _stated(config: dict[str, Any]) -> str | None:
    """The word of a config for an SAE that is more than ReLU between two matrices."""
    words = (config.get(key) for key in _KINDS)
    for word in (word for word in words if isinstance(word, str)):
        if re.search(r"top_?-?k|jump_?-?relu|gated|temporal|crosscoder", word, re.IGNORECASE):
            return word[:40]
    return None

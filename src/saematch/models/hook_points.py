"""The name of a hook point -> the module of a model where its value is read or replaced.

A name is a TransformerLens hook (`blocks.5.hook_resid_post`), which has the same meaning whatever
the model calls its modules (families.py), or the path of a module (`model.layers.5.mlp`), which
means that module's output, or with `.input` appended its input. The path may omit the part that
leads to the text model (`layers.5.mlp`).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from saematch.checkpoints.sites import parse_hook
from saematch.errors import SaematchError
from saematch.models.families import BLOCK, FAMILIES, Family, Form, Side
from saematch.sae.sae import SAE, Site

Visit = Callable[[Tensor], Tensor | None]  # a value -> its replacement

# parts of the path from a model to its text model
_WAYS = ("model", "base_model", "language_model", "transformer", "gpt_neox", "bert", "roberta")


@dataclass(frozen=True, eq=False)
class Place:
    """The place of a hook point in one model."""

    hook: str  # as it was requested
    path: str  # the module's path inside the text model
    module: nn.Module
    side: Side
    form: Form = "plain"

    def attach(self, visit: Visit) -> RemovableHandle:
        """Pass the value to `visit` in every forward pass and use what it returns instead.

        Values are in the model's own dtype; a new value is converted to it. None keeps the value.
        Several visits of one place run in the order in which they were attached.
        """
        if self.form == "normalised":
            return self.module.register_forward_hook(_normalised_visit(visit))
        if self.side == "output":

            def after(module: nn.Module, inputs: tuple, output: object) -> object:
                value = _first(output, self)
                new = visit(value)
                return None if new is None else _with_first(output, _like(new, value, self))

            return self.module.register_forward_hook(after)

        def before(module: nn.Module, args: tuple, kwargs: dict) -> tuple[tuple, dict] | None:
            key, value = _argument(args, kwargs, self)
            new = visit(value.clone() if self.form == "stream" else value)
            if new is None:
                return None
            new = _like(new, value, self)
            if self.form == "stream":
                # the block adds the MLP's output to this same tensor
                value.copy_(new)
                return None
            if isinstance(key, int):
                return (*args[:key], new, *args[key + 1 :]), kwargs
            return args, {**kwargs, key: new}

        return self.module.register_forward_pre_hook(before, with_kwargs=True)


def site_of(sae: SAE, name: str = "") -> Site:
    """Where an SAE reads.

    Raises:
        SaematchError: it is not known.
    """
    site = sae.conventions.site
    if site is None or site.layer_alone:
        raise SaematchError(
            f"{name or sae.name}: where it reads is not known; say it with --site "
            "'blocks.{layer}.hook_resid_post' on the command line, site= in saematch.load"
        )
    return site


def trunk_of(model: nn.Module) -> nn.Module:
    """The text model without a head, from token ids to the last hidden state."""
    trunk = model
    while True:
        trunk = getattr(trunk, "base_model", trunk)
        inner = getattr(trunk, "language_model", None)
        if not isinstance(inner, nn.Module):
            return trunk
        trunk = inner


def family_of(model: nn.Module) -> Family:
    """The family of a model; for an unknown family, its blocks only.

    Raises:
        SaematchError: the model has no list of blocks.
    """
    config = _text_config(model)
    known = FAMILIES.get(config.model_type)
    if known is not None:
        return known
    depth = getattr(config, "num_hidden_layers", None)
    for path, module in trunk_of(model).named_modules():
        if isinstance(module, nn.ModuleList) and len(module) == depth:
            return Family(path, BLOCK)
    raise SaematchError(
        f"no list of blocks found in a model of type {config.model_type!r}; of known make are "
        f"{', '.join(FAMILIES)}"
    )


def resolve(model: nn.Module, site: Site | str) -> Place:
    """The place in a model that a hook point's name means.

    Raises:
        SaematchError: the model has no such layer, hook or module; the message lists those it has.
    """
    name = site.hook if isinstance(site, Site) else site
    tap = family_of(model).embedding
    if name == "hook_embed" and tap is not None:
        return Place(name, tap.module, trunk_of(model).get_submodule(tap.module), tap.side)
    found = re.fullmatch(r"blocks\.(\d+)\.(.+)", name)
    if found and (place := _tapped(model, name, int(found[1]), found[2])):
        return place
    if place := _module(model, name):
        return place
    raise SaematchError(_unknown(model, name))


def _tapped(model: nn.Module, name: str, layer: int, hook: str) -> Place | None:
    family, trunk = family_of(model), trunk_of(model)
    tap = family.taps.get(hook)
    if tap is None:
        return None
    blocks = trunk.get_submodule(family.blocks)
    depth = len(blocks)  # pyright: ignore[reportArgumentType]
    if layer >= depth:
        raise SaematchError(f"{name}: the model has layers 0 to {depth - 1}")
    if tap.form == "stream" and getattr(_text_config(model), "use_parallel_residual", False):
        raise SaematchError(
            f"{name}: attention and MLP of this model read the same stream side by side, so that "
            f"there is nothing between them; there are {_hooks(model)}"
        )
    path = ".".join(part for part in (family.blocks, str(layer), tap.module) if part)
    return Place(name, path, trunk.get_submodule(path), tap.side, tap.form)


def _module(model: nn.Module, name: str) -> Place | None:
    module, side = _named(model, name), "output"
    path = name
    if module is None and name.endswith((".input", ".output")):
        path, _, side = name.rpartition(".")
        module = _named(model, path)
    if module is None:
        return None
    return Place(name, path, module, "input" if side == "input" else "output")


def _named(model: nn.Module, path: str) -> nn.Module | None:
    whole = dict(model.named_modules())
    if found := whole.get(path):
        return found
    inside = dict(trunk_of(model).named_modules())
    # checkpoints give the path from the whole model, or from another class of the same model
    first = path.split(".", maxsplit=1)[0]
    while path not in inside and first in _WAYS and "." in path:
        path = path.split(".", 1)[1]
        first = path.split(".")[0]
    return inside.get(path)


def _unknown(model: nn.Module, name: str) -> str:
    family, trunk = family_of(model), trunk_of(model)
    kind = _text_config(model).model_type
    depth = len(trunk.get_submodule(family.blocks))  # pyright: ignore[reportArgumentType]
    layer = parse_hook(name).layer
    if layer is not None and layer >= depth:
        return f"{name}: the model has layers 0 to {depth - 1}"
    inner = [p for p, _ in trunk.get_submodule(f"{family.blocks}.0").named_modules() if p]
    paths = ", ".join(f"{family.blocks}.LAYER.{p}" for p in inner[:12])
    return (
        f"{name}: no such site in a model of type {kind!r} with {depth} layers. Hooks: "
        f"{_hooks(model)}; or a module, such as {family.blocks}.LAYER, {paths}, each "
        "with .input for what it reads"
    )


def _hooks(model: nn.Module) -> str:
    family = family_of(model)
    parallel = getattr(_text_config(model), "use_parallel_residual", False)
    taps = [h for h, tap in family.taps.items() if not (parallel and tap.form == "stream")]
    embedding = ", hook_embed" if family.embedding else ""
    return "blocks.LAYER.{" + ", ".join(taps) + "}" + embedding


def _text_config(model: nn.Module) -> Any:
    config: Any = model.config
    return config.get_text_config() if hasattr(config, "get_text_config") else config


def _first(output: Any, place: Place) -> Tensor:
    """The activations in a module's output: the output itself, or the first of several."""
    value = output
    if hasattr(output, "to_tuple"):
        value = output.to_tuple()[0]
    elif isinstance(output, (tuple, list)) and output:
        value = output[0]
    if not isinstance(value, Tensor) or not value.is_floating_point():
        raise SaematchError(
            f"{place.hook}: {place.path} gives {type(value).__name__}, and no activations"
        )
    return value


def _with_first(output: Any, new: Tensor) -> Any:
    if isinstance(output, Tensor):
        return new
    if hasattr(output, "to_tuple"):
        output[next(iter(output))] = new
        return output
    return type(output)([new, *output[1:]])


def _argument(args: tuple, kwargs: dict, place: Place) -> tuple[int | str, Tensor]:
    for key, value in (*enumerate(args), *kwargs.items()):
        if isinstance(value, Tensor) and value.is_floating_point():
            return key, value
    raise SaematchError(f"{place.hook}: {place.path} reads no activations")


def _like(new: Tensor, value: Tensor, place: Place) -> Tensor:
    if new.shape != value.shape:
        raise SaematchError(
            f"{place.hook}: a value of shape {tuple(value.shape)} cannot be replaced by one of "
            f"shape {tuple(new.shape)}"
        )
    return new.to(value)


def _normalised_visit(visit: Visit):
    """A norm's input, normed but without gain and bias; a new value gets gain and bias."""

    def after(module: nn.Module, inputs: tuple, output: Tensor) -> Tensor | None:
        x = inputs[0].float()
        eps = getattr(module, "eps", None) or getattr(module, "variance_epsilon", 0.0)
        if isinstance(module, nn.LayerNorm):
            x = x - x.mean(-1, keepdim=True)
        new = visit(x * torch.rsqrt(x.square().mean(-1, keepdim=True) + eps))
        if new is None:
            return None
        if isinstance(module, nn.LayerNorm):
            new = new * module.weight + (0 if module.bias is None else module.bias)
        else:
            # the norm of ones gives its gain, whether that is stored as it is or minus one
            ones = torch.ones_like(inputs[0][..., :1, :])
            new = new * module.forward(ones) * (1 + eps) ** 0.5
        return new.to(output)

    return after

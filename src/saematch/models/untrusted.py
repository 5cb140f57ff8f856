"""Checks of a model's files before anything is fetched, run or allocated for them.

A configuration may name things that transformers then loads and runs: code beside the weights,
attention kernels from a hub, experts and number formats that need such kernels. It may also state
sizes that its weights do not have.
"""

from __future__ import annotations

import contextlib
import math
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from saematch.errors import SaematchError
from saematch.files.foreign import read_json, regular

if TYPE_CHECKING:
    from transformers import PreTrainedConfig

# computed by a package that the user has installed; others fetch kernels from a hub
_QUANTISED = ("bitsandbytes",)
_WEIGHTS = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
)
_COUNTS = re.compile("layer|expert")  # in the names of counts
_FEW = 1000  # a count that any model may have
_PACKED = 4  # the most numbers per byte of a file


def check_folder(folder: Path) -> None:
    """Refuse a folder whose files cannot be those of a model.

    Raises:
        SaematchError: a pipe, device or Git LFS pointer in place of a file; invalid JSON; an
            adapter, which is not a whole model.
    """
    if not folder.is_dir():
        raise SaematchError(f"{folder}: a file, expected a model's folder")
    for path in sorted(folder.iterdir()):
        if path.is_dir():
            continue
        regular(path)
        if path.name == "adapter_config.json":
            raise SaematchError(f"{path}: an adapter; merge it into its model, and give that")
        # of a tokenizer's tables the size is their own
        if path.suffix == ".json" and path.name != "tokenizer.json":
            read_json(path)


def without_kernels(config: PreTrainedConfig, name: str) -> None:
    """Let transformers choose how attention and experts are computed, not the configuration.

    Its own implementations are equivalent; its default for the model and machine is used.

    Raises:
        SaematchError: the configuration names another one, or a number format that needs kernels.
    """
    from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

    known = {"eager", *ALL_ATTENTION_FUNCTIONS.valid_keys()}
    for part in _parts(config):
        asked = part._attn_implementation
        if asked is not None and asked not in known:
            raise SaematchError(
                f"{name}: its configuration asks for attention by {asked!r}, code that would be "
                "loaded from elsewhere; remove it, and transformers' own is taken"
            )
        quantised = getattr(part, "quantization_config", None)
        if quantised is not None:
            method = _field(quantised, "quant_method")
            method = getattr(method, "value", method)
            if method not in _QUANTISED:
                raise SaematchError(
                    f"{name}: its weights are quantised by {method!r}, which may load code from "
                    f"elsewhere; give a copy in bfloat16, or one by {_QUANTISED[0]}"
                )
    for part in _parts(config):
        part._attn_implementation = None
        part._experts_implementation = None


def check_size(config: PreTrainedConfig, maker: Any, where: str, revision: str | None) -> None:
    """Compare the sizes that a configuration states with the files of the weights.

    Raises:
        SaematchError: more layers or experts than there are tensors, or more weights than the files
            have room for.
    """
    files = _weights(where, revision)
    if not files:
        return  # transformers says which it looks for
    size = sum(path.stat().st_size for path in files)
    tensors = sum(map(_tensors, files))
    for part in _parts(config):
        for key, value in vars(part).items():
            is_count = isinstance(value, int) and _COUNTS.search(key)
            if is_count and value > max(_FEW, tensors):
                raise SaematchError(
                    f"{where}: {key} is {value:,}, but its files hold {tensors:,} tensors"
                )
    with torch.device("meta"), quiet():
        model = maker.from_config(config, trust_remote_code=False)
    stated = sum(math.prod(weight.shape) for weight in model.parameters())
    if stated > _PACKED * size:
        raise SaematchError(
            f"{where}: its configuration states {stated:,} weights, but its files have {size:,} "
            "bytes"
        )


def check_whole(told: Mapping[str, Any], config: PreTrainedConfig, name: str) -> None:
    """Refuse a model whose weights transformers drew at random, or whose layers it left out.

    The pooler of an encoder does not matter, because it is never read.

    Args:
        told: the loading report of `from_pretrained`.
        config: the configuration it used.
        name: the user's name for the model.

    Raises:
        SaematchError: weights are missing, or there are layers that the configuration leaves out.
    """
    missing = sorted(key for key in told["missing_keys"] if "pooler" not in key)
    if missing:
        raise SaematchError(
            f"{name}: its files lack {len(missing):,} of its weights, such as {missing[0]}"
        )
    layers = getattr(config.get_text_config(), "num_hidden_layers", math.inf)
    for key in sorted(told["unexpected_keys"]):
        place = re.search(r"\.(\d+)\.", f".{key}")
        if place and int(place[1]) >= layers:
            raise SaematchError(
                f"{name}: its configuration states {layers:,} layers, but its files hold {key}"
            )


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Silence transformers within the block: the warnings that matter become errors of ours."""
    from transformers.utils import logging

    level = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(level)


def _parts(config: PreTrainedConfig) -> Iterator[Any]:
    """A configuration and those within it."""
    yield config
    for key in config.sub_configs:
        part = getattr(config, key, None)
        if part is not None:
            yield from _parts(part)


def _field(value: Any, name: str) -> Any:
    return value.get(name) if isinstance(value, Mapping) else getattr(value, name, None)


def _weights(where: str, revision: str | None) -> list[Path]:
    """The files that hold the weights, fetched as transformers would."""
    from transformers.utils.hub import cached_file

    def found(name: str) -> Path | None:
        place = cached_file(
            where,
            name,
            revision=revision,
            _raise_exceptions_for_gated_repo=False,
            _raise_exceptions_for_missing_entries=False,
            _raise_exceptions_for_connection_errors=False,
        )
        return None if place is None else Path(place)

    for name in _WEIGHTS:
        path = found(name)
        if path is None:
            continue
        if not name.endswith(".json"):
            return [path]
        listed = read_json(path)
        places = listed.get("weight_map") if isinstance(listed, dict) else None
        if not isinstance(places, dict) or not all(isinstance(p, str) for p in places.values()):
            raise SaematchError(f"{path}: no list of weights in it")
        parts = [found(part) for part in sorted({*places.values()})]
        return [part for part in parts if part is not None]
    return []


def _tensors(path: Path) -> int:
    """The number of tensors in a file of weights, at most."""
    if path.suffix != ".safetensors":
        return os.path.getsize(path) // 64
    from safetensors import safe_open

    with safe_open(path, "pt") as file:
        return len(file.keys())

"""The tensors of one file of `torch.save`, never unpickled into code."""

from __future__ import annotations

import pickle
import re
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from saematch.checkpoints.archives import check_inflation
from saematch.errors import CheckpointError
from saematch.files.foreign import parsing, plain_text, reason

_WRAPPERS = ("ae", "sae", "state_dict", "model_state_dict", "model")
# what one number may stand for by a stride of 0: a threshold or bias for all features
_REPEATED = 1 << 22  # bytes


class TorchFile:
    """A `.pt`, `.pth` or `.bin` file, memory-mapped where it is a plain archive."""

    def __init__(self, path: Path, label: str) -> None:
        with parsing(label, "a torch file", CheckpointError):
            content = _content(path, label)
            if not isinstance(content, Mapping):
                raise CheckpointError(
                    f"{label}: found a {type(content).__name__}, expected a dict of named tensors"
                )
            self._label = label
            self._state, self.extras = _unwrap(content)
            self.shapes = {name: tuple(value.shape) for name, value in self._state.items()}
            self.dtypes = {n: str(v.dtype).removeprefix("torch.") for n, v in self._state.items()}

    def read(self, name: str) -> Tensor:
        value = self._state[name].detach()
        found = _unusual(value)
        if found is not None:
            raise CheckpointError(f"{self._label}: {name} is {found}; expected a dense tensor")
        needed, stored = value.numel() * value.element_size(), value.untyped_storage().nbytes()
        if needed > max(stored, _REPEATED):
            raise CheckpointError(
                f"{self._label}: {name} has shape {tuple(value.shape)}, {needed:,} bytes, but only "
                f"{stored:,} are stored; expected a number for each entry"
            )
        return value.resolve_conj().resolve_neg()


def _content(path: Path, label: str) -> Any:
    plain = False
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            check_inflation(archive, path, label)
            plain = all(m.compress_type == zipfile.ZIP_STORED for m in archive.infolist())
    try:
        with warnings.catch_warnings():
            # of pickles of another protocol and kinds of tensors: read or refused all the same
            warnings.simplefilter("ignore")
            return torch.load(
                path, map_location="cpu", weights_only=True, mmap=True if plain else None
            )
    except pickle.UnpicklingError as error:
        # anything but tensors and plain values is called a global, a class or a function
        if re.search(r"GLOBAL|Unsupported (global|class)|function", str(error)):
            raise CheckpointError(
                f"{label}: holds pickled Python objects besides tensors, expected a plain state "
                "dict; code from a checkpoint is never run"
            ) from error
        # torch puts its advice first, and what happened after it
        told = str(error).rpartition("WeightsUnpickler error:")[2].strip()
        raise CheckpointError(
            f"{label}: truncated, corrupt or not a torch file ({reason(ValueError(told))})"
        ) from error


def _unwrap(content: Mapping[Any, Any]) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The state dict inside a training checkpoint, and everything that lies around it."""
    extras: dict[str, Any] = {}
    opened: list[Mapping[Any, Any]] = []
    while not any(isinstance(value, Tensor) and value.dim() for value in content.values()):
        opened.append(content)
        inner = next((w for w in _WRAPPERS if isinstance(content.get(w), Mapping)), None)
        extras.update({k: v for k, v in content.items() if k != inner})
        # a pickle may hold itself
        if inner is None or any(content[inner] is one for one in opened):
            return {}, extras
        content = content[inner]
    tensors = {plain_text(str(k)): v for k, v in content.items() if isinstance(v, Tensor)}
    extras.update({k: v for k, v in content.items() if not isinstance(v, Tensor)})
    return {name.removeprefix("_orig_mod."): value for name, value in tensors.items()}, extras


def _unusual(value: Tensor) -> str | None:
    """What a tensor is that does not hold its numbers one beside the other."""
    if value.is_nested:
        return "a nested tensor"
    if value.layout != torch.strided:
        return f"sparse ({str(value.layout).removeprefix('torch.')})"
    if value.is_quantized:
        return f"quantised ({str(value.dtype).removeprefix('torch.')})"
    if value.device.type != "cpu":
        return f"on the device {value.device.type}, without its numbers"
    return None

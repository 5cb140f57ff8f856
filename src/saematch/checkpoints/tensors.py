"""The tensors of one weights file, read one at a time and never unpickled into code."""

from __future__ import annotations

import pickle
import re
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from saematch.errors import CheckpointError

SUFFIXES = (".safetensors", ".npz", ".pt", ".pth", ".bin")

_SAFETENSORS_DTYPES = {
    "F64": "float64",
    "F32": "float32",
    "F16": "float16",
    "BF16": "bfloat16",
    "I64": "int64",
    "I32": "int32",
}
_WRAPPERS = ("ae", "sae", "state_dict", "model_state_dict", "model")


class Tensors:
    """The named tensors of a `.safetensors`, `.npz` or torch file.

    Safetensors and torch files are memory-mapped, so a tensor that is read in its stored dtype
    takes no memory of its own; npz members are read one by one.

    Args:
        path: the file.
        label: how errors name it.

    Raises:
        CheckpointError: the file is missing, empty, truncated, corrupt or holds pickled code.
    """

    def __init__(self, path: Path, label: str = "") -> None:
        self.path = path
        self.label = label or str(path)
        self.extras: dict[str, Any] = {}  # what a torch file holds besides tensors
        if not path.is_file():
            raise CheckpointError(f"{self.label}: no such file")
        if path.stat().st_size == 0:
            raise CheckpointError(f"{self.label}: the file is empty (0 bytes)")
        if path.suffix == ".safetensors":
            self._shapes, self._dtypes = self._open_safetensors()
        elif path.suffix == ".npz":
            self._shapes, self._dtypes = self._open_npz()
        elif path.suffix in SUFFIXES:
            self._state = self._open_torch()
            self._shapes = {name: tuple(value.shape) for name, value in self._state.items()}
            self._dtypes = {n: str(v.dtype).removeprefix("torch.") for n, v in self._state.items()}
        else:
            raise CheckpointError(
                f"{self.label}: found a {path.suffix or 'suffixless'} file, expected one of "
                + ", ".join(SUFFIXES)
            )

    def __contains__(self, name: str) -> bool:
        return name in self._shapes

    @property
    def names(self) -> list[str]:
        return list(self._shapes)

    def shape(self, name: str) -> tuple[int, ...]:
        return self._shapes[name]

    def dtype(self, name: str) -> str:
        """The dtype as stored, in torch's words: float32, bfloat16, ..."""
        return self._dtypes[name]

    def describe(self, limit: int = 6) -> str:
        """What the file holds, for error messages: names with shapes."""
        shown = [f"{name} {self._shapes[name]}" for name in self.names[:limit]]
        more = len(self.names) - limit
        return ", ".join(shown) + (f" and {more} more" if more > 0 else "") or "no tensors"

    def read(
        self, name: str, dtype: torch.dtype | None = None, device: torch.device | str = "cpu"
    ) -> Tensor:
        """One tensor, converted to `dtype` and moved to `device` where it is not there already.

        Raises:
            CheckpointError: its bytes are damaged.
        """
        try:
            if self.path.suffix == ".safetensors":
                with safe_open(self.path, framework="pt", device="cpu") as file:
                    value = file.get_tensor(name)
            elif self.path.suffix == ".npz":
                with np.load(self.path, allow_pickle=False) as file:
                    value = torch.from_numpy(file[name])
            else:
                value = self._state[name].detach()
        except (SafetensorError, zipfile.BadZipFile, ValueError, EOFError, OSError) as error:
            raise CheckpointError(
                f"{self.label}: tensor {name} is truncated or corrupt ({_line(error)})"
            ) from error
        return value.to(device=device, dtype=dtype)

    def _open_safetensors(self) -> tuple[dict[str, tuple[int, ...]], dict[str, str]]:
        shapes, dtypes = {}, {}
        try:
            with safe_open(self.path, framework="pt", device="cpu") as file:
                for name in file.keys():  # noqa: SIM118
                    view = file.get_slice(name)
                    shapes[name] = tuple(view.get_shape())
                    dtypes[name] = _SAFETENSORS_DTYPES.get(view.get_dtype(), view.get_dtype())
        except (SafetensorError, OSError) as error:
            raise CheckpointError(
                f"{self.label}: truncated, corrupt or not a safetensors file ({_line(error)})"
            ) from error
        return shapes, dtypes

    def _open_npz(self) -> tuple[dict[str, tuple[int, ...]], dict[str, str]]:
        shapes, dtypes = {}, {}
        try:
            with zipfile.ZipFile(self.path) as archive:
                for member in archive.namelist():
                    with archive.open(member) as file:
                        version = np.lib.format.read_magic(file)
                        read = (
                            np.lib.format.read_array_header_1_0
                            if version == (1, 0)
                            else np.lib.format.read_array_header_2_0
                        )
                        shape, _, dtype = read(file)
                    name = member.removesuffix(".npy")
                    if dtype.hasobject:
                        raise CheckpointError(
                            f"{self.label}: member {name} holds pickled Python objects, expected "
                            "numbers; code from a checkpoint is never run"
                        )
                    shapes[name], dtypes[name] = shape, str(dtype)
        except (zipfile.BadZipFile, ValueError, EOFError, OSError) as error:
            raise CheckpointError(
                f"{self.label}: truncated, corrupt or not an npz file ({_line(error)})"
            ) from error
        return shapes, dtypes

    def _open_torch(self) -> dict[str, Tensor]:
        try:
            with warnings.catch_warnings():
                # pickles of another protocol are read or refused all the same
                warnings.filterwarnings("ignore", message="Detected pickle protocol")
                content = torch.load(
                    self.path,
                    map_location="cpu",
                    weights_only=True,
                    mmap=True if zipfile.is_zipfile(self.path) else None,
                )
        except pickle.UnpicklingError as error:
            # anything but tensors and plain values is called a global, a class or a function
            if re.search(r"GLOBAL|Unsupported (global|class)|function", str(error)):
                raise CheckpointError(
                    f"{self.label}: holds pickled Python objects besides tensors, expected a "
                    "plain state dict; code from a checkpoint is never run"
                ) from error
            raise CheckpointError(
                f"{self.label}: truncated, corrupt or not a torch file ({_line(error)})"
            ) from error
        except (RuntimeError, EOFError, ValueError, OSError, KeyError, AttributeError) as error:
            raise CheckpointError(
                f"{self.label}: truncated, corrupt or not a torch file ({_line(error)})"
            ) from error
        if not isinstance(content, Mapping):
            raise CheckpointError(
                f"{self.label}: found a {type(content).__name__}, expected a dict of named tensors"
            )
        state, self.extras = _unwrap(content)
        return state


def _unwrap(content: Mapping[str, Any]) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The state dict inside a training checkpoint, and everything that lies around it."""
    extras: dict[str, Any] = {}
    while not any(isinstance(value, Tensor) and value.dim() for value in content.values()):
        inner = next((w for w in _WRAPPERS if isinstance(content.get(w), Mapping)), None)
        extras.update({k: v for k, v in content.items() if k != inner})
        if inner is None:
            return {}, extras
        content = content[inner]
    tensors = {str(k): v for k, v in content.items() if isinstance(v, Tensor)}
    extras.update({k: v for k, v in content.items() if not isinstance(v, Tensor)})
    return {name.removeprefix("_orig_mod."): value for name, value in tensors.items()}, extras


def _line(error: BaseException) -> str:
    # torch puts its advice first, and what happened after it
    text = str(error).rpartition("WeightsUnpickler error:")[2].strip().splitlines()
    line = text[0].strip() if text else ""
    # a KeyError's text is the bare key
    return (line if " " in line else f"{type(error).__name__} {line}".strip())[:160]

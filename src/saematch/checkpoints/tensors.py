"""The named tensors of a weights file, or of several that an index joins, read one at a time."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from saematch.checkpoints.archives import NpzFile, SafetensorsFile
from saematch.checkpoints.torch_file import TorchFile
from saematch.errors import CheckpointError
from saematch.files.foreign import parsing, regular
from saematch.numerics.scratch import by_rows

SUFFIXES = (".safetensors", ".npz", ".pt", ".pth", ".bin")
FLOATING = ("float32", "bfloat16", "float16", "float64")


class Stored(Protocol):
    """Named tensors, read one at a time."""

    shapes: dict[str, tuple[int, ...]]
    dtypes: dict[str, str]  # in torch's words
    extras: dict[str, Any]

    def read(self, name: str) -> Tensor: ...


class Tensors:
    """The named tensors of a `.safetensors`, `.npz` or torch file.

    Safetensors, torch files and uncompressed npz members are memory-mapped, so a tensor that is
    read in its stored dtype takes no memory of its own.

    Args:
        path: the file; where there are shards, the file that they are parts of.
        label: how errors name it.
        shards: by tensor, the file that holds it.

    Raises:
        CheckpointError: the file is missing, empty, truncated, corrupt or holds pickled code.
    """

    def __init__(
        self, path: Path, label: str = "", shards: Mapping[str, Path] | None = None
    ) -> None:
        self.path = path
        self.label = label or str(path)
        self.extras: dict[str, Any] = {}  # what a torch file holds besides tensors
        self._of: dict[str, Stored] = {}
        if shards is None:
            file = _open(path, self.label)
            self.extras = file.extras
            self._of = dict.fromkeys(file.shapes, file)
            return
        opened = {part: _open(part, f"{self.label}: {part.name}") for part in {*shards.values()}}
        for name, part in shards.items():
            if name not in opened[part].shapes:
                raise CheckpointError(f"{self.label}: its shard {part.name} has no tensor {name}")
            self._of[name] = opened[part]

    @classmethod
    def in_memory(cls, stored: Stored, label: str) -> Tensors:
        """Those that no file holds."""
        made = cls.__new__(cls)
        made.path, made.label, made.extras = Path(label), label, stored.extras
        made._of = dict.fromkeys(stored.shapes, stored)
        return made

    def __contains__(self, name: str) -> bool:
        return name in self._of

    @property
    def names(self) -> list[str]:
        return list(self._of)

    def shape(self, name: str) -> tuple[int, ...]:
        return self._of[name].shapes[name]

    def dtype(self, name: str) -> str:
        """The dtype as stored, in torch's words: float32, bfloat16, ..."""
        return self._of[name].dtypes[name]

    def describe(self, limit: int = 6) -> str:
        """What the file holds, for error messages: names with shapes."""
        shown = [f"{name} {self.shape(name)}" for name in self.names[:limit]]
        more = len(self.names) - limit
        return ", ".join(shown) + (f" and {more} more" if more > 0 else "") or "no tensors"

    def read(self, name: str, dtype: torch.dtype, device: torch.device | str = "cpu") -> Tensor:
        """One tensor of weights, converted to `dtype` and moved to `device` where need be.

        Raises:
            CheckpointError: its bytes are damaged, or it is not stored in floating numbers.
        """
        stored = self.dtype(name)
        if stored not in FLOATING:
            raise CheckpointError(
                f"{self.label}: {name} is stored as {stored}; expected weights in floating numbers "
                f"({', '.join(FLOATING)}), and those of a quantised file scaled back"
            )
        value = self._value(name)
        if value.dtype != dtype and value.ndim > 1:
            value = by_rows(lambda rows: rows.to(dtype), value)
        return value.to(device=device, dtype=dtype)

    def number(self, name: str) -> float:
        """The one real number that a tensor of whatever shape and dtype holds.

        Raises:
            CheckpointError: its bytes are damaged, it is complex, or holds no or several numbers.
        """
        shape, stored = self.shape(name), self.dtype(name)
        if math.prod(shape) != 1 or stored == "bool" or stored.startswith("complex"):
            raise CheckpointError(
                f"{self.label}: {name} has shape {shape} and dtype {stored}; expected one number"
            )
        return float(self._value(name).item())

    def _value(self, name: str) -> Tensor:
        say = f"tensor {name} is truncated or corrupt"
        with parsing(self.label, error=CheckpointError, say=say):
            return self._of[name].read(name)


def _open(path: Path, label: str) -> Stored:
    if regular(path, label, CheckpointError).st_size == 0:
        raise CheckpointError(f"{label}: the file is empty (0 bytes)")
    if path.suffix == ".safetensors":
        return SafetensorsFile(path, label)
    if path.suffix == ".npz":
        return NpzFile(path, label)
    if path.suffix in SUFFIXES:
        return TorchFile(path, label)
    raise CheckpointError(
        f"{label}: found a {path.suffix or 'suffixless'} file, expected one of "
        + ", ".join(SUFFIXES)
    )

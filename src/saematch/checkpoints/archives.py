"""The tensors of one safetensors or npz file, whose sizes are checked before any is read."""

from __future__ import annotations

import math
import struct
import zipfile
from pathlib import Path

import numpy as np
import torch
from safetensors import safe_open
from torch import Tensor

from saematch.errors import CheckpointError
from saematch.files.foreign import parsing

_SAFETENSORS_DTYPES = {
    "F64": "float64",
    "F32": "float32",
    "F16": "float16",
    "BF16": "bfloat16",
    "F8_E4M3": "float8_e4m3fn",
    "F8_E5M2": "float8_e5m2",
    "I64": "int64",
    "I32": "int32",
    "I16": "int16",
    "I8": "int8",
    "U64": "uint64",
    "U32": "uint32",
    "U16": "uint16",
    "U8": "uint8",
    "BOOL": "bool",
    "C64": "complex64",
}
# random weights hardly shrink; rows of zeros do, but a file of nothing else is no SAE
MOST_INFLATED = 100
_SMALL = 1 << 28
_CHUNK = 1 << 22
_LOCAL = 30  # bytes of the fixed part of a member's header


class SafetensorsFile:
    """A `.safetensors` file, memory-mapped; its library checks the header against the file."""

    def __init__(self, path: Path, label: str) -> None:
        self._path = path
        self.extras: dict[str, object] = {}
        self.shapes: dict[str, tuple[int, ...]] = {}
        self.dtypes: dict[str, str] = {}
        with (
            parsing(label, "a safetensors file", CheckpointError),
            safe_open(path, framework="pt", device="cpu") as file,
        ):
            for name in file.keys():  # noqa: SIM118
                view = file.get_slice(name)
                self.shapes[name] = tuple(view.get_shape())
                stored = str(view.get_dtype())
                self.dtypes[name] = _SAFETENSORS_DTYPES.get(stored, stored)

    def read(self, name: str) -> Tensor:
        with safe_open(self._path, framework="pt", device="cpu") as file:
            return file.get_tensor(name)


class NpzFile:
    """A `.npz` file, whose members are read one by one."""

    def __init__(self, path: Path, label: str) -> None:
        self._path = path
        self._members: dict[str, str] = {}
        self.extras: dict[str, object] = {}
        self.shapes: dict[str, tuple[int, ...]] = {}
        self.dtypes: dict[str, str] = {}
        with (
            parsing(label, "an npz file", CheckpointError),
            zipfile.ZipFile(path) as archive,
        ):
            check_inflation(archive, path, label)
            for member in archive.infolist():
                name = member.filename.removesuffix(".npy")
                if name in self.shapes:
                    raise CheckpointError(
                        f"{label}: two members are called {name}, expected one of each name"
                    )
                self.shapes[name], self.dtypes[name] = _header(archive, member, name, label)
                self._members[name] = member.filename

    def read(self, name: str) -> Tensor:
        member = self._members[name]
        with zipfile.ZipFile(self._path) as archive:
            info = archive.getinfo(member)
            if info.compress_type == zipfile.ZIP_STORED and info.file_size > _SMALL:
                values = _mapped(archive, info, self._path)
            else:
                with archive.open(member) as file:
                    values = np.lib.format.read_array(file, allow_pickle=False)
        return torch.from_numpy(values.astype(values.dtype.newbyteorder("="), copy=False))


def check_inflation(archive: zipfile.ZipFile, path: Path, label: str) -> None:
    """Refuse an archive whose members would take far more room than the file that holds them.

    Raises:
        CheckpointError: more than `MOST_INFLATED` times its size.
    """
    stored, whole = path.stat().st_size, sum(member.file_size for member in archive.infolist())
    if whole > max(_SMALL, MOST_INFLATED * stored):
        raise CheckpointError(
            f"{label}: its {stored:,} bytes unpack to {whole:,}, expected {MOST_INFLATED} times as "
            "many at most"
        )


def _mapped(archive: zipfile.ZipFile, info: zipfile.ZipInfo, path: Path) -> np.ndarray:
    """An uncompressed member where it lies in the file, once its checksum is seen to be right."""
    with archive.open(info) as file:
        version = np.lib.format.read_magic(file)
        read = np.lib.format.read_array_header_1_0
        shape, columns_first, dtype = (
            read if version == (1, 0) else np.lib.format.read_array_header_2_0
        )(file)
        before = file.tell()
        while file.read(_CHUNK):  # zipfile compares the checksum at the end
            pass
    with path.open("rb") as whole:
        # a name and extra fields, of lengths stated there, lie between this header and the member
        whole.seek(info.header_offset)
        local = whole.read(_LOCAL)
    lengths = struct.unpack("<HH", local[-4:])
    start = info.header_offset + _LOCAL + sum(lengths) + before
    order = "F" if columns_first else "C"
    # copied where it is written to; the file stays as it is
    return np.memmap(path, dtype, "c", start, shape, order)


def _header(
    archive: zipfile.ZipFile, member: zipfile.ZipInfo, name: str, label: str
) -> tuple[tuple[int, ...], str]:
    """Shape and dtype of one member, which holds as many bytes as they say."""
    with archive.open(member) as file:
        version = np.lib.format.read_magic(file)
        if version not in ((1, 0), (2, 0), (3, 0)):
            raise CheckpointError(f"{label}: member {name} is of npy version {version}, expected 1")
        read = (
            np.lib.format.read_array_header_1_0
            if version == (1, 0)
            else np.lib.format.read_array_header_2_0
        )
        shape, _, dtype = read(file)
        there = member.file_size - file.tell()
    if dtype.hasobject:
        raise CheckpointError(
            f"{label}: member {name} holds pickled Python objects, expected numbers; code from a "
            "checkpoint is never run"
        )
    wanted = math.prod(shape) * dtype.itemsize
    if min(shape, default=0) < 0 or wanted != there:
        raise CheckpointError(
            f"{label}: truncated or corrupt: member {name} has {there:,} bytes, expected "
            f"{wanted:,} for its shape {shape}"
        )
    return shape, dtype.name

# pyright: strict, reportUnknownMemberType=false
"""Matrices larger than memory has room for, in files without a name.

A matrix that would take much of the memory is a file that is mapped into it: torch and numpy read
and write it as any other, and the operating system keeps in memory what is in use. The file has no
name and is gone with the matrix, however the process ends. It lies where `tempfile` puts files, as
`TMPDIR` says; or in `/var/tmp` where that is in memory itself (tmpfs), which would gain nothing.
"""

from __future__ import annotations

import errno
import math
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import torch
from torch import Tensor

from saematch.errors import SaematchError
from saematch.numerics.hardware import total_memory

SHARE = 1 / 16  # of the memory of the machine, above which a matrix is a file: a pair takes a dozen
SLICE = 2**26  # numbers of a slice: 256 MiB of float32
ON_DISK = "/var/tmp"  # where temporary files too large for memory belong
_IN_MEMORY = ("tmpfs", "ramfs")


def is_large(numbers: int, dtype: torch.dtype, device: torch.device) -> bool:
    """Whether a matrix of so many numbers is better kept in a file."""
    if device.type != "cpu" or os.name == "nt":  # Windows keeps the names of files in use
        return False
    return numbers * dtype.itemsize > SHARE * total_memory()


def folder() -> str:
    """Where scratch files lie.

    Raises:
        SaematchError: all that could be taken lies in memory.
    """
    usual = tempfile.gettempdir()
    for place in (usual, ON_DISK):
        if not in_memory(place) and os.access(place, os.W_OK | os.X_OK):
            return place
    raise SaematchError(
        f"{usual} lies in memory (tmpfs), where files of matrices that memory is too small for are "
        "of no use: set TMPDIR to a folder on a disk"
    )


def in_memory(place: str) -> bool:
    """Whether what is written to a folder stays in memory."""
    real = Path(place).resolve()
    mounts = [
        part for part in psutil.disk_partitions(all=True) if real.is_relative_to(part.mountpoint)
    ]
    # of those on one folder the last covers the others
    mounts.sort(key=lambda part: len(part.mountpoint))
    return bool(mounts) and mounts[-1].fstype in _IN_MEMORY


def empty(shape: tuple[int, ...], dtype: torch.dtype, device: torch.device) -> Tensor:
    """A matrix to be filled: in memory, or in a file where it is large.

    Raises:
        SaematchError: the disk has no room for it, or there is no disk, as of `folder`.
    """
    numbers = math.prod(shape)
    if not is_large(numbers, dtype, device):
        return torch.empty(shape, dtype=dtype, device=device)
    size = numbers * dtype.itemsize
    place = folder()
    with tempfile.NamedTemporaryFile(prefix="saematch-", dir=place) as file:
        try:
            _reserve(file.fileno(), size)
        except OSError as error:
            raise SaematchError(
                f"{place} has no room for {size / 1e9:,.1f} GB that memory is too "
                f"small for ({error.strerror}): set TMPDIR to a folder on a larger disk"
            ) from error
        mapped = torch.from_file(file.name, shared=True, size=numbers, dtype=dtype)
    return mapped.view(shape)


def _reserve(file: int, size: int) -> None:
    """Give a file room on its disk: a hole that has none ends the process when it is written to."""
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(file, 0, size)
        return
    if shutil.disk_usage(folder()).free < size:  # macOS
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    os.ftruncate(file, size)


def by_rows(make: Callable[..., Tensor], *given: Tensor) -> Tensor:
    """`make(*given)`, for a `make` that treats each row alone.

    Where the result is large it is made a slice of rows at a time.

    Args:
        make: gives as many rows as it is given.
        given: tensors with the same number of rows.
    """
    rows = len(given[0])
    if rows < 2:
        return make(*given)
    few = make(*(one[:1] for one in given))
    if not is_large(rows * few.numel(), few.dtype, few.device):
        return make(*given)
    made = empty((rows, *few.shape[1:]), few.dtype, few.device)
    for some in slices(rows, few.numel()):
        made[some] = make(*(one[some] for one in given))
    return made


def per_row(make: Callable[..., Tensor], *given: Tensor, width: int) -> Tensor:
    """`make(*given)`, for a `make` that gives a number or a few for each row.

    Args:
        make: gives as many rows as it is given.
        given: tensors with the same number of rows.
        width: how many numbers of each row it looks at, or makes on its way.
    """
    parts = [make(*(one[some] for one in given)) for some in slices(len(given[0]), width)]
    return torch.cat(parts) if parts else make(*given)


def slices(rows: int, width: int) -> Iterator[slice]:
    """The rows of a matrix, so many at a time that a few copies do no harm."""
    step = max(1, SLICE // max(1, width))
    return (slice(start, min(start + step, rows)) for start in range(0, rows, step))

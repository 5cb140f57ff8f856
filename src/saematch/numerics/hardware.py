# pyright: strict
"""Properties of the machine: free memory, and whether a bfloat16 product is faster."""

from __future__ import annotations

import functools
import time
from pathlib import Path
from typing import Literal

import psutil
import torch

Precision = Literal["float32", "bfloat16"]

MEMORY_SHARE = 0.6  # share of free memory to use, unless the caller sets a limit
WORTHWHILE = 1.5  # how many times faster a bfloat16 product must be

_CGROUPS = Path("/sys/fs/cgroup")


def available_memory() -> int:
    """Bytes that can be allocated without swapping, or beyond what this process is allowed."""
    free = psutil.virtual_memory().available
    return max(0, min([free, *(limit - used for limit, used in _allowances())]))


def total_memory() -> int:
    """Bytes of memory that this process may take at most."""
    return min([psutil.virtual_memory().total, *(limit for limit, _ in _allowances())])


def _allowances() -> list[tuple[int, int]]:
    """What a container or a batch job may take, and takes: of each control group it is in."""
    found: list[tuple[int, int]] = []
    for line in _lines(Path("/proc/self/cgroup")):
        _, kinds, place = line.split(":", 2)
        if kinds == "":  # version 2
            root, names = _CGROUPS, ("memory.max", "memory.current")
            cached, shared = "file", "shmem"
        elif "memory" in kinds.split(","):
            root = _CGROUPS / "memory"
            names = ("memory.limit_in_bytes", "memory.usage_in_bytes")
            cached, shared = "total_cache", "total_shmem"
        else:
            continue
        own = root / place.lstrip("/")
        for folder in (own, *own.parents):
            limit, used = (" ".join(_lines(folder / name)) for name in names)
            if limit.isdigit() and used.isdigit():
                # files in memory make room when it is asked for, but for those on no disk (tmpfs)
                stat = dict(line.split() for line in _lines(folder / "memory.stat"))
                free = int(stat.get(cached, 0)) - int(stat.get(shared, 0))
                found.append((int(limit), int(used) - max(0, free)))
            if folder == root:
                break
    return found


def _lines(file: Path) -> list[str]:
    try:
        return file.read_text(encoding="ascii").splitlines()
    except OSError:
        return []


@functools.cache
def fastest(device: torch.device) -> Precision:
    """The precision with the faster matrix product on `device`; it times both (milliseconds)."""
    if device.type not in ("cpu", "cuda"):
        return "float32"
    generator = torch.Generator().manual_seed(0)
    size = 512 if device.type == "cpu" else 2048
    factor = torch.randn(size, size, generator=generator).to(device)
    return "bfloat16" if _time(factor) > WORTHWHILE * _time(factor.bfloat16()) else "float32"


def _time(factor: torch.Tensor) -> float:
    best = float("inf")
    for _ in range(5):
        if factor.is_cuda:
            torch.cuda.synchronize(factor.device)
        start = time.perf_counter()
        torch.mm(factor, factor.T)
        if factor.is_cuda:
            torch.cuda.synchronize(factor.device)
        best = min(best, time.perf_counter() - start)
    return best


def emulated(dtype: torch.dtype, device: torch.device) -> bool:
    """Whether a processor only emulates arithmetic in a dtype, some fifty times slower."""
    supported = {
        torch.bfloat16: torch.ops.mkldnn._is_mkldnn_bf16_supported,
        torch.float16: torch.ops.mkldnn._is_mkldnn_fp16_supported,
    }
    return device.type == "cpu" and dtype in supported and not supported[dtype]()

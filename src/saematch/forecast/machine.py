# pyright: strict
"""How fast a machine is: this one, by a measurement of about a second, or one that is named."""

from __future__ import annotations

import contextlib
import functools
import os
import shutil
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch

from saematch.errors import SaematchError, names_there
from saematch.numerics.hardware import available_memory, emulated, total_memory
from saematch.numerics.scratch import folder

SIZE = 1024  # rows, columns and depth of the product that is timed
TIMES = 10  # at most; the shortest counts, least disturbed by other work
PROBE = 1 << 25  # bytes that are written and read
ENOUGH = 0.25  # seconds after which no other product is timed
SLOW = 2e10, 0.0, 1e8  # two operations for each multiplication a second; bytes a second
ATTAINED = 0.6  # share of the rate on a data sheet that large products reach


@dataclass(frozen=True)
class Machine:
    """What a forecast has to know of a machine."""

    name: str
    float32: float  # operations a second of a product, two for each multiplication
    bfloat16: float
    reading: float  # bytes a second from its disk
    cores: int  # that compare scores one by one
    memory: int  # bytes that are free
    total: int  # bytes of memory in all
    disk: int  # bytes that are free for scratch files
    source: str  # where the numbers are from
    device_memory: int | None = None  # of a GPU that computes the products

    @property
    def fastest(self) -> float:
        """Operations a second in the precision that the first, rough product would take."""
        return max(self.float32, self.bfloat16)

    def at(self, rate: float) -> Machine:
        """The same with products of `rate` operations a second, in any precision."""
        said = f"{rate / 1e12:g} TFLOP/s, as given; the rest: {self.source}"
        return replace(self, float32=rate, bfloat16=rate, source=said)


def _data_sheet(name: str, float32: float, bfloat16: float, gigabytes: int) -> Machine:
    said = (
        f"NVIDIA's data sheet ({float32:g} TFLOP/s float32, {bfloat16:g} bfloat16 without "
        f"sparsity), of which {ATTAINED:.0%} is taken; 16 cores, 128 GB and a disk of 1 GB/s "
        "beside it are assumed"
    )
    return Machine(
        name,
        ATTAINED * float32 * 1e12,
        ATTAINED * bfloat16 * 1e12,
        1e9,
        16,
        int(128e9),
        int(128e9),
        int(2e12),
        said,
        device_memory=int(gigabytes * 1e9),
    )


MACHINES = {
    "a100": _data_sheet("a100", 19.5, 312, 80),
    "h100": _data_sheet("h100", 67, 989, 80),
    "h200": _data_sheet("h200", 67, 989, 141),
}


def named_machine(name: str) -> Machine:
    """One of `MACHINES`.

    Raises:
        SaematchError: it is none of them; they are listed.
    """
    if name not in MACHINES:
        raise SaematchError(
            f"no machine {name!r}; {names_there(name, list(MACHINES), 'there are')}"
        )
    return MACHINES[name]


def this_machine(device: torch.device | str = "cpu", *, measured: bool = True) -> Machine:
    """The machine that this process runs on, as it is now.

    Args:
        device: that computes products.
        measured: whether its rates are measured, once in a process; else a slow machine's stand for
            them, which is enough to see that something takes no time worth a word.
    """
    device = torch.device(device)
    float32, bfloat16, reading = _rates(device) if measured else SLOW
    try:
        disk = shutil.disk_usage(folder()).free
    except SaematchError:  # scratch files would lie in memory
        disk = 0
    on_gpu = torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else None
    return Machine(
        "this machine",
        float32,
        bfloat16,
        reading,
        torch.get_num_threads(),
        available_memory(),
        total_memory(),
        disk,
        "measured just now" if measured else "assumed",
        on_gpu,
    )


@functools.cache
def _rates(device: torch.device) -> tuple[float, float, float]:
    generator = torch.Generator().manual_seed(0)
    factor = torch.randn(SIZE, SIZE, generator=generator).to(device)
    float32 = _rate(factor)
    # where it is emulated, even one product of this size would take a minute
    slow = emulated(torch.bfloat16, device) or device.type not in ("cpu", "cuda")
    try:
        reading = _reading()
    except (OSError, SaematchError):  # no room to try it, or no disk
        reading = SLOW[2]
    return float32, 0.0 if slow else _rate(factor.bfloat16()), reading


def _rate(factor: torch.Tensor) -> float:
    """Operations a second of a product."""

    def product() -> None:
        torch.mm(factor, factor.T)
        if factor.is_cuda:
            torch.cuda.synchronize(factor.device)

    product()
    taken: list[float] = []
    while len(taken) < TIMES and sum(taken) < ENOUGH:
        taken.append(_seconds(product))
    return 2 * SIZE**3 / min(taken)


def _reading() -> float:
    """Bytes a second from the disk of temporary files, past what the system keeps in memory."""
    with tempfile.NamedTemporaryFile(prefix="saematch-", dir=folder()) as file:
        file.write(os.urandom(1 << 20) * (PROBE >> 20))
        file.flush()
        os.fsync(file.fileno())
        # where this cannot be asked for, memory is read instead of the disk
        with contextlib.suppress(AttributeError, OSError):
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)

        def read() -> None:
            file.seek(0)
            while file.read(1 << 22):
                pass

        return PROBE / _seconds(read)


def _seconds(work: Callable[[], None]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start

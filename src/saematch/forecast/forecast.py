# pyright: strict
"""Many pairs on a machine: how long, how much memory, how much disk; and whether that is there."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from saematch.checkpoints.sizes import Sizes
from saematch.errors import SaematchError
from saematch.forecast.cost import BASE, Cost
from saematch.forecast.machine import Machine
from saematch.numerics.scratch import SHARE, folder

CHECKED = 1.2e-9  # seconds to check and sum up a byte of weights once it is read
OF_FLOW = 250, 3300  # for each feature of a flow: bytes of tables; bytes held to follow it
FOLLOWED = 6e-5  # seconds to follow a feature
SLACK = 0.8  # of a forecast that must fit: it may be too high
HELD = 2  # SAEs that a process keeps


class Limit(NamedTuple):
    """What is needed of something, and what there is, in bytes."""

    what: str
    need: int
    have: int


@dataclass(frozen=True)
class Forecast:
    """What matching some pairs takes on a machine."""

    machine: Machine
    features: tuple[int, int]  # of the largest pair
    pairs: int
    operations: float
    seconds: float
    read: int  # bytes of weights, every time that they are read
    memory: int  # bytes that must be free
    scratch: int  # bytes of files that are gone when it is done
    written: int  # bytes of the run
    following: int  # bytes of memory to follow features at the end; 0 where it is no flow
    on_device: int  # bytes of a GPU's memory; 0 where there is none

    @classmethod
    def of(
        cls,
        saes: Sequence[Sizes],
        pairs: Sequence[tuple[int, int]],
        costs: Sequence[Cost],
        machine: Machine,
        *,
        workers: int = 1,
        flow: bool = False,
    ) -> Forecast:
        """The forecast of `pairs` of `saes`, given by their places, which cost `costs`.

        Args:
            saes: every SAE of the command; each is read once before any pair.
            pairs: in the order in which they are matched.
            costs: of each.
            machine: that does it.
            workers: processes that share its cores, each with a pair at a time.
            flow: whether features are followed through all pairs at the end.
        """
        largest = max(range(len(pairs)), key=lambda k: costs[k].resident + costs[k].matrices)
        cost, (a, b) = costs[largest], pairs[largest]
        made = cost.copies + cost.weights + cost.matrices
        memory, scratch, on_device = cost.lists + made, 0, 0
        if machine.device_memory is not None:
            # on their way to the GPU, weights pass through memory one matrix at a time
            memory, on_device = cost.lists + cost.matrix, made
        elif cost.matrix > SHARE * machine.total:
            memory, scratch = cost.resident, cost.matrices
        total = sum(sae.d_sae for sae in saes) if flow else 0
        read = sum(sae.bytes for sae in saes) + _read(saes, pairs)
        seconds = sum(cost.seconds(machine) for cost in costs)
        seconds += read * (1 / machine.reading + CHECKED) + FOLLOWED * total
        if scratch:
            # each matrix is written, and read again for what is made of it
            seconds += 2 * sum(cost.matrices for cost in costs) / machine.reading
        return cls(
            machine,
            (saes[a].d_sae, saes[b].d_sae),
            len(pairs),
            sum(cost.operations for cost in costs),
            seconds,
            read,
            workers * memory,
            workers * scratch,
            sum(cost.written for cost in costs) + OF_FLOW[0] * total,
            BASE + OF_FLOW[1] * total if flow else 0,
            workers * on_device,
        )

    def check(self, out: str | Path | None = None, *, memory: bool = True) -> None:
        """Check that it fits on this machine.

        Args:
            out: where the run is written; where temporary files are unless given.
            memory: whether memory and scratch files are this machine's too.

        Raises:
            SaematchError: the memory of the machine or of its GPU, or the disk of the run or of
                scratch files, is too small, or scratch files would lie in memory; the message says
                what is needed, what there is, and what to do.
        """
        machine = self.machine
        for kind, needed, have, other in (
            # this process is there already
            ("memory", self.memory - BASE, machine.memory, ""),
            ("the GPU's memory", self.on_device, machine.device_memory or 0, "--device cpu, "),
        ):
            if memory and SLACK * needed > have:
                whole = self.on_device if other else self.memory
                raise SaematchError(
                    f"{self.what}: {size(whole)} of {kind} are needed, and {size(have)} are free; "
                    f"take {other}fewer workers, fewer views (--method cosine) or narrower SAEs; "
                    "saematch plan tells what they would take"
                )
        scratch = self.scratch if memory else 0
        for place, needed, other in (
            (folder() if scratch else None, scratch, "set TMPDIR to a folder on a larger disk"),
            (tempfile.gettempdir() if out is None else out, self.written, "write to a larger disk"),
        ):
            if place is None:
                continue
            free = _free(place)
            if SLACK * needed > free:
                raise SaematchError(
                    f"{self.what}: {size(needed)} of disk are needed in {place}, "
                    f"and {size(free)} are free there: {other}"
                )

    def limits(self) -> list[Limit]:
        """Memory and disk, the one that is used up most first."""
        machine = self.machine
        found = [
            Limit("memory of a pair", self.memory, machine.memory),
            Limit("memory of the GPU", self.on_device, machine.device_memory or 0),
            Limit("memory to follow features at the end", self.following, machine.memory),
            Limit("disk for scratch files and the run", self.scratch + self.written, machine.disk),
        ]
        return sorted(
            (limit for limit in found if limit.need),
            key=lambda limit: -limit.need / max(1, limit.have),
        )

    def __str__(self) -> str:
        said = [
            f"about {duration(self.seconds)}",
            *([f"{size(self.on_device)} of the GPU's memory"] if self.on_device else []),
            f"{size(max(self.memory, self.following))} of memory",
            f"{size(self.written)} on disk",
        ]
        if self.scratch:
            said.append(f"and {size(self.scratch)} of scratch files meanwhile")
        return f"{self.what}: " + ", ".join(said)

    @property
    def what(self) -> str:
        """The pairs in words."""
        pairs, (n, m) = "1 pair" if self.pairs == 1 else f"{self.pairs:,} pairs", self.features
        return f"{pairs} of {n:,} x {m:,} features"


def _read(saes: Sequence[Sizes], pairs: Sequence[tuple[int, int]]) -> int:
    """Bytes that are read for pairs, where no more than two SAEs are kept."""
    kept: list[int] = []
    read = 0
    for pair in pairs:
        for place in pair:
            if place in kept:
                kept.remove(place)
            else:
                read += saes[place].bytes
            kept = [*kept, place][-HELD:]
    return read


def _free(place: str | Path) -> int:
    folder = Path(place).absolute()
    while not os.path.exists(folder):  # a name that is too long is none
        folder = folder.parent
    return shutil.disk_usage(folder).free


def size(count: float) -> str:
    """`310 MB`, `11 GB` or `1.4 TB`."""
    for unit, scale in (("TB", 1e12), ("GB", 1e9)):
        if count >= 0.95 * scale:
            return f"{count / scale:.{0 if count >= 9.5 * scale else 1}f} {unit}"
    return f"{max(1, round(count / 1e6))} MB"


def duration(seconds: float) -> str:
    """`41 s`, `12 min`, `3.4 h` or `5.1 days`."""
    for unit, scale in (("days", 48 * 3600), ("h", 99.5 * 60), ("min", 99.5)):
        if seconds >= scale:
            one = {"days": 86400, "h": 3600, "min": 60}[unit]
            return f"{seconds / one:.{0 if unit == 'min' else 1}f} {unit}"
    return f"{max(1, round(seconds))} s"

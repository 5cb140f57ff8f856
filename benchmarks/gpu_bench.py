"""A stopwatch for `benchmarks/gpu.py`: a piece of work on a device, then on the processor."""

from __future__ import annotations

import json
import resource
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import torch

Result = TypeVar("Result")
CPU = torch.device("cpu")
SAMPLE = 2**35  # operations of a product that is timed
Compared = tuple[bool, str]  # whether two results are the same, and how far, in words


class Bench:
    """Times work of one part, compares its results, and writes a line of JSON for each.

    Args:
        device: to measure, beside the processor.
        full: in the sizes of real SAEs, not in small.
        seconds: after which the part is ended.
        part: its name.
        file: for the lines.
    """

    def __init__(self, device: str, full: bool, seconds: float, part: str, file: Path) -> None:
        self.device, self.full, self.part, self.file = torch.device(device), full, part, file
        self._end = time.monotonic() + seconds
        self._products: dict[tuple[Any, ...], float] = {}

    def measure(
        self,
        what: str,
        work: Callable[[torch.device], Result],
        compared: Callable[[Result, Result], Compared],
        shape: tuple[int, int, int] | None = None,
        alone: Callable[[Result], Compared] | None = None,
        cost: float = 8.0,
    ) -> Result:
        """Do it on the device, and on the processor if there is time; write a line.

        Args:
            what: it is, in words.
            work: of a device.
            compared: the device's result with the processor's.
            shape: `(n, m, D)` of the product that it is a multiple of.
            alone: what to check of the device's result where the processor's is left out.
            cost: in such products on the processor, at most, to tell whether there is time.
        """
        row: dict[str, Any] = {"part": self.part, "what": what}
        self._reset_memory()
        found, row["seconds"] = self._timed(work, self.device)
        row["GiB"] = self._memory()
        if shape is not None:
            for dtype, name in ((torch.float32, "float32"), (torch.bfloat16, "bfloat16")):
                row[name] = row["seconds"] / self.product(self.device, dtype, shape)
        if self._affordable(row["seconds"], shape, cost):
            other, row["processor"] = self._timed(work, CPU)
            row["same"], row["results"] = compared(found, other)
        elif alone is not None:
            row["same"], row["results"] = alone(found)
        else:
            row["results"] = "not compared: no time is left for the processor"
        self.write(row)
        return found

    def write(self, row: dict[str, Any]) -> None:
        with self.file.open("a") as lines:
            lines.write(json.dumps(row) + "\n")

    def product(
        self, device: torch.device, dtype: torch.dtype, shape: tuple[int, int, int]
    ) -> float:
        """Seconds of one product of a shape, from as many of its rows as are quick."""
        key = device, dtype, shape
        if key not in self._products:
            n, m, width = shape
            most = SAMPLE * (64 if device.type == "cuda" else 1)
            rows = max(1, min(n, most // (2 * m * width)))
            x = torch.randn(rows, width, device=device).to(dtype)
            y = torch.randn(m, width, device=device).to(dtype)
            torch.mm(x, y.T)
            each = [self._timed(lambda _: torch.mm(x, y.T), device)[1] for _ in range(3)]
            self._products[key] = min(each) * n / rows
        return self._products[key]

    def _affordable(self, took: float, shape: tuple[int, int, int] | None, cost: float) -> bool:
        left = self._end - time.monotonic()
        if self.device == CPU or shape is None:
            return took < left / 2
        return cost * self.product(CPU, torch.float32, shape) < left

    def _timed(
        self, work: Callable[[torch.device], Result], device: torch.device
    ) -> tuple[Result, float]:
        self._wait(device)
        start = time.perf_counter()
        found = work(device)
        self._wait(device)
        return found, time.perf_counter() - start

    def _wait(self, device: torch.device) -> None:
        if device.type == "cuda":
            torch.cuda.synchronize(device)

    def _reset_memory(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)

    def _memory(self) -> float:
        if self.device.type == "cuda":
            return torch.cuda.max_memory_allocated(self.device) / 2**30
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20

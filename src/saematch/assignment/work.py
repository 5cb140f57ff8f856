"""The work done by an assignment."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

from saematch.numerics.hardware import Precision


class Progress(Protocol):
    """Told how far a solve is: the phase, rows assigned so far, and rows in all."""

    def __call__(self, phase: str, assigned: int, rows: int, /) -> None: ...


@dataclass
class Work:
    """Counts and times of one solve."""

    precision: Precision = "float32"  # of the filter
    kept: bool = False  # whether the approximate scores were held in memory
    scored: int = 0  # rows that went through a matrix product; `scored / n` products in all
    refreshed: int = 0  # lists made again
    rounds: int = 0  # of making lists again
    exact_scores: int = 0
    bids: int = 0
    paths: int = 0  # rows assigned along augmenting paths
    product_seconds: float = 0.0
    selection_seconds: float = 0.0  # of candidates, with the exact scores of the best two
    bidding_seconds: float = 0.0  # with augmenting paths

    @contextmanager
    def bidding(self) -> Iterator[None]:
        """Count the time of the block as bidding."""
        start = time.perf_counter()
        yield
        self.bidding_seconds += time.perf_counter() - start

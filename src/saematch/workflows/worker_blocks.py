"""Which items each worker takes: those that stand next to each other, and so share SAEs."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Generic, TypeVar

T = TypeVar("T")


class Blocks(Generic[T]):
    """Items, a block for each worker; what none took yet has a length.

    A worker goes through its own block. One that has none, or is done with it, takes the second
    half of the longest that is left, so that nothing waits for a worker that is slow or gone.
    """

    def __init__(self, items: Sequence[T], workers: Sequence[str]) -> None:
        size = -(-len(items) // max(1, len(workers)))
        starts = range(0, len(items), size or 1)
        names = workers or [""]  # of a cluster whose workers are still to come
        self._left = {
            name: deque(items[start : start + size])
            for name, start in zip(names, starts, strict=False)
        }

    def __len__(self) -> int:
        return sum(map(len, self._left.values()))

    def take(self, worker: str) -> T:
        """The next item of a worker; IndexError where none is left."""
        mine = self._left.setdefault(worker, deque())
        if not mine:
            longest = max(self._left.values(), key=len)
            half = [longest.pop() for _ in range(-(-len(longest) // 2))]
            mine.extend(reversed(half))
        return mine.popleft()

"""A cache of large values, which holds at most two at a time."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")
MOST = 2  # a pair


class Held(Generic[K, V]):
    """Values by key; no more than two are in memory, also while the next one is made.

    `functools.lru_cache` would drop the oldest only when the new one is there.
    """

    def __init__(self, make: Callable[[K], V]) -> None:
        self._make = make
        self._kept: dict[K, V] = {}  # the one used last stands last

    def clear(self) -> None:
        """Drop all."""
        self._kept.clear()

    def __getitem__(self, key: K) -> V:
        if key in self._kept:
            self._kept[key] = self._kept.pop(key)
            return self._kept[key]
        while len(self._kept) >= MOST:
            del self._kept[next(iter(self._kept))]
        self._kept[key] = self._make(key)
        return self._kept[key]

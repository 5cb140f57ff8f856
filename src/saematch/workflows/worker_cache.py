"""What a worker keeps from one task to the next, and gives up once its work is done."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any, Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")
_EVERY: list[Callable[[], Any]] = []
_CALLS: list[str | None] = []  # the last one


class Kept(Generic[K, V]):
    """The value of one key, which is dropped before that of another is made."""

    def __init__(self, make: Callable[[K], V]) -> None:
        self._make = make
        self._kept: dict[K, V] = {}
        at_the_end(self._kept.clear)

    def __call__(self, key: K) -> V:
        if key not in self._kept:
            self._kept.clear()
            self._kept[key] = self._make(key)
        return self._kept[key]


def at_the_end(forget: Callable[[], Any]) -> None:
    """Have something called once a worker's work is done."""
    _EVERY.append(forget)


def forget_all(unless: str | None = None) -> None:
    """Drop all that is kept in this process, unless it is that of a call of this name."""
    if unless is None or unless not in _CALLS:
        for forget in _EVERY:
            forget()
        _CALLS[:] = [unless]

"""Limits of what is asked of an endpoint: tokens in all, calls a minute, and when to stop."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from saematch.errors import SaematchError

clock: Callable[[], float] = time.monotonic
_LOOK = 0.1  # seconds between looks at whether to stop


class BudgetError(SaematchError):
    """A budget is spent: with a larger one, asking again goes on from there."""


class Stopped(Exception):  # noqa: N818
    """Raised in what waits, when the run that it belongs to ends."""


def pause(seconds: float, stop: threading.Event) -> None:
    """Wait, but no longer than until `stop`.

    Raises:
        Stopped: it is set.
    """
    if stop.wait(max(0.0, seconds)):
        raise Stopped


class Pace:
    """When the next call may start: calls are spread evenly over the minute.

    Args:
        per_minute: how many there may be; None: any number.
    """

    def __init__(self, per_minute: int | None) -> None:
        self._apart = 60 / per_minute if per_minute else 0.0
        self._next, self._lock = -float("inf"), threading.Lock()

    def turn(self, stop: threading.Event) -> None:
        """Wait for the next free turn."""
        with self._lock:
            start = max(clock(), self._next)
            self._next = start + self._apart
        while (left := start - clock()) > 0:
            pause(left, stop)

    def hold(self, seconds: float) -> None:
        """No call starts for so long, except those that already wait for their turn."""
        with self._lock:
            self._next = max(self._next, clock() + seconds)


class Budget:
    """Tokens that may be spent: those of calls under way are set aside as forecast.

    Args:
        tokens: how many; None: any number.
    """

    def __init__(self, tokens: int | None) -> None:
        self._tokens, self.spent, self._aside = tokens, 0, 0
        self._changed = threading.Condition()

    @contextmanager
    def call(self, forecast: int, stop: threading.Event) -> Iterator[Callable[[int], None]]:
        """For one call; what is yielded is to be told the tokens that it took.

        Raises:
            BudgetError: the call would not fit.
            Stopped: the run ends while it waits for calls under way, which may take less than
                forecast.
        """
        took: list[int] = []
        with self._changed:
            while self._tokens is not None and (self.spent + self._aside + forecast > self._tokens):
                if not self._aside:
                    raise BudgetError(
                        f"the budget of {self._tokens:,} tokens does not last: {self.spent:,} are "
                        f"spent, and the next call may take {forecast:,}"
                    )
                self._changed.wait(_LOOK)
                if stop.is_set():
                    raise Stopped
            self._aside += forecast
        try:
            yield took.append
        finally:
            with self._changed:
                self._aside -= forecast
                self.spent += sum(took)
                self._changed.notify_all()

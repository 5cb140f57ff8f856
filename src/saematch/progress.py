"""How a workflow says how far it is: to any callable that takes a `Step`.

`progress=print` is one; a bar is a few lines more. A workflow goes through one or more stages, such
as reading and matching; of each, steps are told as they begin, and once more when all are done.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")
# notes for the user: INFO for what is going on, WARNING for what to keep in mind
log = logging.getLogger("saematch")


@dataclass(frozen=True)
class Step:
    """`done` of `total` steps of a stage are done, and `what` comes next."""

    stage: str  # matching, reading texts, ...
    done: int
    total: int | None  # None: not known
    what: str = ""  # what is being done now; empty where the stage says it all

    def __str__(self) -> str:
        count = "" if self.total is None else f" {self.done:,} of {self.total:,}"
        return f"{self.stage}{count}" + (f": {self.what}" if self.what else "")


Progress = Callable[[Step], None]


def silent(step: Step) -> None:
    """Tells nobody."""


def tracked(
    items: Iterable[T],
    progress: Progress,
    stage: str,
    total: int,
    done: int = 0,
    name: Callable[[T], str] = str,
) -> Iterator[T]:
    """The same items one by one, told as steps of a stage."""
    for item in items:
        progress(Step(stage, done, total, name(item)))
        yield item
        done += 1
    progress(Step(stage, done, total))

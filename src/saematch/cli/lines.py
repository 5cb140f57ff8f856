"""Progress where stderr is no terminal: a line for each thing that is done."""

from __future__ import annotations

import sys
import time
from typing import Any

from rich.progress import Progress, TaskID

SOON = 5.0  # seconds that a task may take without a word
OFTEN = 30.0  # seconds between lines, where one thing after the other is called the same


class Lines(Progress):
    """A progress bar that is written as lines, such as

    `3 of 21: resid_post_0 → resid_post_2, 41 s, about 12 min left`
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        # of each task: when it began, and how far it was; when the last line was due, and its name
        self._begun: dict[TaskID, tuple[float, float]] = {}
        self._last: dict[TaskID, tuple[float, str]] = {}

    def add_task(self, description: str, *arguments: Any, **options: Any) -> TaskID:
        task = super().add_task(description, *arguments, **options)
        now = time.monotonic()
        self._begun[task] = now, self._tasks[task].completed
        self._last[task] = now, ""
        return task

    def update(self, task_id: TaskID, **changes: Any) -> None:
        before = self._tasks[task_id].completed
        name = self._tasks[task_id].description
        super().update(task_id, **changes)
        self._tell(task_id, before, name)

    def advance(self, task_id: TaskID, advance: float = 1) -> None:
        before = self._tasks[task_id].completed
        super().advance(task_id, advance)
        self._tell(task_id, before, self._tasks[task_id].description)

    def _tell(self, task_id: TaskID, before: float, name: str) -> None:
        """A line, if what is called `name` is done now."""
        task, now = self._tasks[task_id], time.monotonic()
        began, first = self._begun[task_id]
        last, named = self._last[task_id]
        if task.completed <= before or now - began < SOON:
            return
        if name == named and now - last < OFTEN and not task.finished:
            return
        self._last[task_id] = now, name
        said = f"{task.completed:,.0f} of {task.total:,.0f}" if task.total else f"{before:,.0f}"
        said = f"{said}: {name}, {duration(now - last)}"
        if task.total and not task.finished:
            left = (now - began) / (task.completed - first) * (task.total - task.completed)
            said += f", about {duration(left)} left"
        print(said, file=sys.stderr, flush=True)


def duration(seconds: float) -> str:
    """`41 s`, `12 min` or `3.4 h`."""
    if seconds < 99.5:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 99.5 * 60 else f"{seconds / 3600:.1f} h"

"""Where the command line writes: tables to stdout, progress to stderr."""

from __future__ import annotations

import codecs
import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import typer

from saematch.progress import Step, log

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress, TaskID

# for a stdout that has no such characters, each of one cell, so that columns stay in line
PLAIN = dict(zip("→≥█▓▒░·…«»↵␣─", ">>#=-. ~<>\\_-", strict=True))
PIPED_WIDTH = 100  # columns, where there is no terminal to ask


def output(quiet: bool = False) -> Console:
    """The console for results; plain text of a fixed width where stdout is not a terminal."""
    from rich.console import Console

    # texts hold any character, and an ASCII or Windows stdout must not end the command
    codecs.register_error("saematch", _plain)
    reconfigure = getattr(sys.stdout, "reconfigure", None)
    if reconfigure is not None:
        reconfigure(errors="saematch")
    console = Console(quiet=quiet, highlight=False, emoji=False, markup=False)
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console.width = PIPED_WIDTH
    return console


def progress(quiet: bool = False) -> Progress:
    """A bar on stderr that is gone when it is done; where stderr is no terminal, lines instead."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    from saematch.cli.lines import Lines

    console = Console(stderr=True)
    if quiet or not console.is_terminal:
        return Lines(console=console, disable=True) if not quiet else Progress(disable=True)
    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("about", style="dim"),
        TimeRemainingColumn(),
        TextColumn("left", style="dim"),
        console=console,
        transient=True,
        speed_estimate_period=3600,  # seconds: steps may take minutes
    )


class Bar:
    """A workflow's progress as a bar, stage after stage; counts what is matched."""

    def __init__(self, shown: Progress) -> None:
        self.matched = 0  # pairs, by this call
        self._shown = shown
        self._task: TaskID | None = None
        self._last = Step("", 0, None)

    def __call__(self, step: Step) -> None:
        last, self._last = self._last, step
        same = (step.stage, step.total) == (last.stage, last.total) and step.done >= last.done
        if same and step.stage == "matching":
            self.matched += step.done - last.done
        said = f"{step.stage} {step.what}" if step.what else step.stage
        if self._task is None or not same:
            if self._task is not None:
                self._shown.remove_task(self._task)
            # what an earlier call has done says nothing of how long the rest takes
            self._task = self._shown.add_task(said, total=step.total, completed=step.done)
        else:
            self._shown.update(self._task, completed=step.done, description=said)


class _Notes(logging.Handler):
    """What workflows note, on stderr."""

    def emit(self, record: logging.LogRecord) -> None:
        head = "Note: " if record.levelno == logging.WARNING else ""
        typer.echo(head + record.getMessage(), err=True)


@contextmanager
def reporting(quiet: bool = False) -> Iterator[Bar]:
    """Show the progress and the notes of a workflow meanwhile, unless `quiet`."""
    level = log.level
    handler = logging.NullHandler() if quiet else _Notes()
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    try:
        with progress(quiet) as shown:
            yield Bar(shown)
    finally:
        log.removeHandler(handler)
        log.setLevel(level)


def _plain(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    text = error.object[error.start : error.end]
    return "".join(PLAIN.get(character, "?") for character in text), error.end

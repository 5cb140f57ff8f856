"""Where the command line writes: tables to stdout, progress to stderr."""

from __future__ import annotations

import codecs
import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress

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


def _plain(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    text = error.object[error.start : error.end]
    return "".join(PLAIN.get(character, "?") for character in text), error.end

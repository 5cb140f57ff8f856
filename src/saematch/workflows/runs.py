"""Runs however they are given."""

from __future__ import annotations

from pathlib import Path

from saematch.progress import log
from saematch.runs.run import Run

GivenRun = Run | str | Path


def opened_run(run: GivenRun) -> Run:
    """A run as it is, or the one in a directory.

    Raises:
        RunError: there is none, or it cannot be read.
    """
    return run if isinstance(run, Run) else Run.open(run)


def warn_unfinished(run: Run) -> None:
    """Note that a run was stopped before it was done."""
    if run.finished is None:
        log.warning(
            f"{run.path} is unfinished, with {len(run.pairs)} pairs so far: the same saematch "
            f"{run.record.command} again continues it"
        )

"""Runs however they are given."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from saematch.errors import RunError
from saematch.matching.saved import SavedSae, same_sae
from saematch.progress import log
from saematch.runs.run import Run
from saematch.sae.checksum import checksum
from saematch.sae.sae import SAE
from saematch.workflows.saes import Saes

GivenRun = Run | str | Path


def opened_run(run: GivenRun) -> Run:
    """A run as it is, or the one in a directory.

    Raises:
        RunError: there is none, or it cannot be read.
    """
    if not isinstance(run, (Run, str, Path)):
        raise RunError(f"run is a {type(run).__name__}; it is a run or its directory")
    return run if isinstance(run, Run) else Run.open(run)


def warn_unfinished(run: Run) -> None:
    """Note that a run was stopped before it was done."""
    if run.finished is None:
        log.warning(
            f"{run.path} is unfinished, with {len(run.pairs)} pairs so far: the same saematch "
            f"{run.record.command} again continues it"
        )


def loading(run: Run, given: Saes) -> Callable[[str], SAE]:
    """How an SAE of a run is had by its name: of those in memory, or loaded and checked."""
    in_memory = {checksum(sae): sae for sae in given.in_memory}

    def load(name: str) -> SAE:
        its = run.sae(name)
        source, sae = its.conventions.source, in_memory.get(its.checksum)
        if sae is None and not source:
            raise RunError(
                f"{name} was given in memory when {run.path} was made: give it again (saes=...)"
            )
        saved = SavedSae(source, its.checksum, "float32", its.d_sae, its.site)
        return same_sae(saved, sae, str(run.path), "make the run again", RunError)

    return load

"""A task as it travels to a worker, and how it is done there."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from contextlib import chdir, nullcontext
from dataclasses import dataclass
from typing import Any

import torch

from saematch import __version__
from saematch.errors import SaematchError
from saematch.workflows.worker_cache import forget_all


@dataclass(frozen=True, eq=False)
class Work:
    """A task, its item, and what it is to find where it is done."""

    task: Callable[..., Any]
    item: Any
    threads: int | None  # of the arithmetic; those of the worker where None
    call: str  # that it is part of
    folder: str  # that names of files start from
    version: str  # of who sends it


_ONE = threading.Lock()  # a worker process may have several threads


def itself(value: Any) -> Any:
    """A value as a task, so that workers have it for others."""
    return value


def done(work: Work, *common: Any) -> Any:
    """What a task returns, given what it has in common with others."""
    from distributed import get_worker

    if work.version != __version__:
        raise SaematchError(
            f"the worker at {get_worker().address} has saematch {__version__}, where the command "
            f"that gives it work is of {work.version}: install that one there, or start it anew"
        )
    # names of files start there; another machine may have no such folder. Were they made absolute
    # instead, so would be what a run records of an SAE, and its path could tell another layer
    within = chdir(work.folder) if os.path.isdir(work.folder) else nullcontext()
    with _ONE, within:
        # files may have changed since another call, which perhaps was killed
        forget_all(unless=work.call)
        # Dask starts workers with one, whatever they have
        torch.set_num_threads(work.threads or get_worker().state.nthreads)
        return work.task(work.item, *common)

"""A task as it travels to a worker, and how it is done there."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from contextlib import chdir, nullcontext
from dataclasses import dataclass
from typing import Any

import torch

from saematch.workflows.worker_cache import forget_all


@dataclass(frozen=True, eq=False)
class Work:
    """A task, its item, and what it is to find where it is done."""

    task: Callable[[Any], Any]
    item: Any
    threads: int | None  # of the arithmetic; those of the worker where None
    call: str  # that it is part of
    folder: str  # that names of files start from


_ONE = threading.Lock()  # a worker process may have several threads


def done(work: Work) -> Any:
    """What a task returns."""
    from distributed import get_worker

    # names of files start there; another machine may have no such folder. Were they made absolute
    # instead, so would be what a run records of an SAE, and its path could tell another layer
    within = chdir(work.folder) if os.path.isdir(work.folder) else nullcontext()
    with _ONE, within:
        # files may have changed since another call, which perhaps was killed
        forget_all(unless=work.call)
        # Dask starts workers with one, whatever they have
        torch.set_num_threads(work.threads or get_worker().state.nthreads)
        return work.task(work.item)

"""Where tasks of a workflow run: in this process, or in those of a Dask cluster.

A task is a function at the top of a module and a value; what it needs that is large it reads where
it runs. Results come as they are done, and only the process of the workflow writes to the run.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import torch

import saematch
from saematch.errors import SaematchError, install
from saematch.files.foreign import reason

if TYPE_CHECKING:
    from distributed import Client

    # how many workers to start here, the address of a scheduler that runs, or a client of one
    GivenWorkers = int | str | Client

T = TypeVar("T")
R = TypeVar("R")
HOST = "127.0.0.1"
PATIENCE = 30  # seconds that a scheduler has to answer


class Workers(Protocol):
    """Runs tasks somewhere."""

    here: bool  # whether that is this process, which has what was given in memory

    def each(self, task: Callable[[T], R], items: Sequence[T]) -> Iterator[tuple[T, R]]:
        """`(item, task(item))` for every item, as they are done."""
        ...


class Here:
    """Runs them in this process, one after the other, in their order."""

    here = True

    def each(self, task: Callable[[T], R], items: Sequence[T]) -> Iterator[tuple[T, R]]:
        """See `Workers`."""
        for item in items:
            yield item, task(item)


class Cluster:
    """Runs them on a Dask cluster: each worker process one at a time.

    Args:
        client: of the cluster.
        threads: of a worker's arithmetic; as many as it takes by itself where None.
    """

    here = False

    def __init__(self, client: Client, threads: int | None = None) -> None:
        self.client, self._threads = client, threads

    def each(self, task: Callable[[T], R], items: Sequence[T]) -> Iterator[tuple[T, R]]:
        """See `Workers`.

        Raises:
            SaematchError: what a task raises; or a task's worker died, and those that took it over.
        """
        from distributed import KilledWorker, as_completed

        futures = self.client.map(
            _alone, [(task, item, self._threads) for item in items], pure=False, retries=0
        )
        items_of = dict(zip([future.key for future in futures], items, strict=True))
        try:
            for future in as_completed(futures):
                item = items_of[future.key]
                try:
                    result = future.result()
                except KilledWorker as error:
                    raise SaematchError(
                        f"{item}: the workers that did it died: is their memory enough?"
                    ) from error
                except RuntimeError as error:
                    if "deserialization" not in str(error):
                        raise
                    raise SaematchError(
                        "the scheduler and its workers need the same saematch and the same Dask as "
                        f"this process (saematch {saematch.__version__})"
                    ) from error
                future.release()
                yield item, result
        finally:
            # what is not done yet is not wanted where a task failed, or the caller stopped
            self.client.cancel([future for future in futures if not future.done()])


_ONE = threading.Lock()  # a worker process may have several threads


def _alone(work: tuple[Callable[[Any], Any], Any, int | None]) -> Any:
    task, item, threads = work
    with _ONE:
        if threads is not None:
            torch.set_num_threads(threads)
        return task(item)


@contextmanager
def opened_workers(given: GivenWorkers | None) -> Iterator[Workers]:
    """The workers that are asked for; those that are started here end with the block.

    Args:
        given: None for this process, a number of workers to start on this machine, the address of
            a scheduler that runs, or a `distributed.Client`.

    Raises:
        SaematchError: Dask is not installed, there is no such scheduler, or the number is below 1.
    """
    if given is None:
        yield Here()
        return
    try:
        from distributed import Client, LocalCluster
    except ImportError as error:
        raise SaematchError(f"workers need Dask: {install('cluster')}") from error
    if isinstance(given, Client):
        yield Cluster(given)
        return
    if isinstance(given, int) and given < 1:
        raise SaematchError(f"workers is {given}; one is the least")
    with ExitStack() as stack:
        threads = None
        try:
            if isinstance(given, int):
                threads = max(1, (os.cpu_count() or 1) // given)
                cluster = LocalCluster(
                    n_workers=given,
                    threads_per_worker=1,
                    host=HOST,
                    dashboard_address=None,  # pyright: ignore[reportArgumentType]
                    silence_logs=logging.ERROR,
                )
                stack.enter_context(cluster)
                client = stack.enter_context(Client(cluster, timeout=PATIENCE))
            else:
                client = stack.enter_context(Client(given, timeout=PATIENCE))
        except (OSError, ValueError, TimeoutError) as error:
            failed = f"no scheduler at {given}"
            if isinstance(given, int):
                failed = f"{given} workers cannot be started on this machine"
            raise SaematchError(f"{failed}: {reason(error)}") from error
        yield Cluster(client, threads)

"""Clusters that workers are of: started on this machine, or found where they run."""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Iterator
from concurrent.futures import CancelledError
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING, Any

from saematch.errors import SaematchError, install
from saematch.files.foreign import reason
from saematch.workflows.worker_cache import forget_all
from saematch.workflows.workers import Cluster, Here, Workers

if TYPE_CHECKING:
    from distributed import Client, LocalCluster

    # how many workers to start here, the address of a scheduler that runs, a client of one, or
    # workers that are open already
    GivenWorkers = int | str | Client | Here | Cluster

HOST = "127.0.0.1"
PATIENCE = 60  # seconds that a scheduler has to answer
START = 600  # those that workers on this machine have to start, which may be busy


@contextmanager
def opened_workers(given: GivenWorkers | None) -> Iterator[Workers]:
    """The workers that are asked for; those that are started here end with the block.

    Args:
        given: None for this process, a number of workers to start on this machine, the address of
            a scheduler that runs, the file that it wrote (`--scheduler-file`), a
            `distributed.Client`, or workers that are open already.

    Raises:
        SaematchError: Dask is not installed, there is no such scheduler, or the number is below 1.
    """
    if given is None or isinstance(given, (Here, Cluster)):
        yield Here() if given is None else given
        return
    try:
        import dask
        from distributed import Client
    except ImportError as error:
        raise SaematchError(f"workers need Dask: {install('cluster')}") from error
    if isinstance(given, Client):
        yield from _used(given)
        return
    if isinstance(given, int) and given < 1:
        raise SaematchError(f"workers is {given}; one is the least")
    with ExitStack() as stack:
        threads = None
        try:
            if isinstance(given, int):
                threads = max(1, (os.cpu_count() or 1) // given)
                # also of workers that take the place of others
                stack.enter_context(dask.config.set({"distributed.comm.timeouts.connect": START}))
                cluster = stack.enter_context(_started(given))
                client = stack.enter_context(_connected(address=cluster, timeout=START))
            else:
                there: dict[str, Any] = {"address": given}
                if os.path.isfile(given):
                    there = {"scheduler_file": given}
                client = stack.enter_context(_connected(**there, timeout=PATIENCE))
        except (OSError, ValueError, TimeoutError) as error:
            failed = f"no scheduler at {given}"
            if isinstance(given, int):
                failed = f"{given} workers cannot be started on this machine"
            raise SaematchError(f"{failed}: {reason(error)}") from error
        yield from _used(client, threads)


@contextmanager
def _connected(**where: Any) -> Iterator[Client]:
    """A client of a cluster. One that looks for a lost scheduler is closed without a word."""
    from distributed import Client

    client, log = Client(**where), logging.getLogger("distributed.client")
    try:
        yield client
    finally:
        before = log.level
        log.setLevel(logging.CRITICAL)  # it would tell where it was, at length
        client.close()
        log.setLevel(before)


@contextmanager
def _started(workers: int) -> Iterator[LocalCluster]:
    """A cluster on this machine, with processes that Ctrl-C does not reach."""
    from distributed import LocalCluster

    with _undisturbed():
        cluster = LocalCluster(
            n_workers=workers,
            threads_per_worker=1,
            host=HOST,
            dashboard_address=None,  # pyright: ignore[reportArgumentType]
            # or it warns where another has Dask's own port
            scheduler_kwargs={"dashboard_address": f"{HOST}:0"},
            silence_logs=logging.ERROR,
        )
    try:
        yield cluster
    finally:
        with _undisturbed():
            cluster.close()


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Ctrl-C comes afterwards, and never to threads that start meanwhile nor to their processes.

    A terminal sends it to workers too, and each would tell where it was at that moment.
    """
    if not hasattr(signal, "pthread_sigmask"):  # on Windows
        yield
        return
    from multiprocessing import resource_tracker

    resource_tracker.ensure_running()  # a thread that starts it lets Ctrl-C through afterwards
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _used(client: Client, threads: int | None = None) -> Iterator[Cluster]:
    """A cluster to work with, whose workers keep nothing afterwards."""
    try:
        yield Cluster(client, threads)
    finally:
        if client.status == "running":
            with suppress(OSError, CancelledError):  # of a scheduler that was lost meanwhile
                client.run(forget_all)

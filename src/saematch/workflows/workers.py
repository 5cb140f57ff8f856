"""Where tasks of a workflow run: in this process, or in those of a Dask cluster.

A task is a function at the top of a module and a value; what it needs that is large it reads where
it runs. Results come as they are done, and only the process of the workflow writes to the run.
"""

from __future__ import annotations

import logging
import os
import warnings
from collections import Counter, deque
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import CancelledError
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any, Protocol, TypeVar
from uuid import uuid4

import saematch
from saematch.errors import SaematchError, install
from saematch.files.foreign import reason
from saematch.workflows.worker_blocks import Blocks
from saematch.workflows.worker_cache import forget_all
from saematch.workflows.worker_tasks import Work, done

if TYPE_CHECKING:
    from distributed import Client, Future

T = TypeVar("T")
R = TypeVar("R")
HOST = "127.0.0.1"
PATIENCE = 60  # seconds that a scheduler has to answer
START = 600  # those that workers on this machine have to start, which may be busy
AHEAD = 2  # tasks that each worker has, at least one of which waits
LOOK = 5  # seconds after which workers that came meanwhile get tasks


class Workers(Protocol):
    """Runs tasks somewhere."""

    here: bool  # whether that is this process, which has what was given in memory

    def each(self, task: Callable[[T], R], items: Sequence[T]) -> Iterator[tuple[T, R]]:
        """`(item, task(item))` for every item, as they are done."""
        ...

    def in_order(self, task: Callable[[T], R], items: Sequence[T]) -> Iterator[tuple[T, R]]:
        """The same in the order of the items; few results wait for those before them."""
        ...


class Here:
    """Runs them in this process, one after the other, in their order."""

    here = True

    def each(self, task: Callable[[T], R], items: Sequence[T]) -> Iterator[tuple[T, R]]:
        """See `Workers`."""
        for item in items:
            yield item, task(item)

    def in_order(self, task: Callable[[T], R], items: Sequence[T]) -> Iterator[tuple[T, R]]:
        """See `Workers`."""
        return self.each(task, items)


class Cluster:
    """Runs them on a Dask cluster: each worker process one at a time.

    Args:
        client: of the cluster.
        threads: of a worker's arithmetic; as many as Dask counts for it where None.
    """

    here = False

    def __init__(self, client: Client, threads: int | None = None) -> None:
        self.client, self._threads, self._call = client, threads, uuid4().hex

    def each(self, task: Callable[[T], R], items: Sequence[T]) -> Iterator[tuple[T, R]]:
        """See `Workers`; a worker gets items that stand next to each other.

        Raises:
            SaematchError: what a task raises; or a task's worker died, and those that took it over.
        """
        blocks = Blocks(items, [*self._workers()])
        sent: dict[Future, tuple[T, str]] = {}
        try:
            while blocks or sent:
                self._hand_out(task, blocks, sent)
                for future in self._done(sent):
                    item, _ = sent.pop(future)
                    yield item, _result(future, item)
        finally:
            self._forget([*sent])

    def in_order(self, task: Callable[[T], R], items: Sequence[T]) -> Iterator[tuple[T, R]]:
        """See `Workers`; raises as `each` does."""
        waiting: deque[tuple[T, Future]] = deque()
        rest = deque(items)
        try:
            while rest or waiting:
                room = AHEAD * max(1, len(self._workers())) - len(waiting)
                more = [rest.popleft() for _ in range(min(max(room, 0), len(rest)))]
                waiting.extend(zip(more, self._sent(task, more), strict=True))
                item, future = waiting.popleft()
                yield item, _result(future, item)
        finally:
            self._forget([future for _, future in waiting])

    def _workers(self) -> Collection[str]:
        with _telling(OSError):
            return self.client.nthreads()  # pyright: ignore[reportReturnType]

    def _hand_out(
        self, task: Callable[[T], R], blocks: Blocks[T], sent: dict[Future, tuple[T, str]]
    ) -> None:
        """Send what is left until every worker has enough."""
        has = Counter(worker for _, worker in sent.values())
        workers = self._workers() or [""]
        for enough in range(1, AHEAD + 1):
            for worker in workers:
                if blocks and has[worker] < enough:
                    item = blocks.take(worker)
                    (future,) = self._sent(task, [item], worker)
                    sent[future] = item, worker
                    has[worker] += 1

    def _done(self, sent: Mapping[Future, Any]) -> Collection[Future]:
        """Those that are done, as soon as there is one; none after a while."""
        from distributed import wait

        with _telling(), self.client.as_current():
            try:
                found = wait([*sent], timeout=LOOK, return_when="FIRST_COMPLETED")
                return found.done  # pyright: ignore[reportAttributeAccessIssue]
            except TimeoutError:
                return ()

    def _sent(self, task: Callable[[T], R], items: Sequence[T], worker: str = "") -> list[Future]:
        """Tasks on their way to a worker; another does them where that one is gone, or is busy."""
        here = os.getcwd()
        work = [Work(task, item, self._threads, self._call, here) for item in items]
        with _telling(), warnings.catch_warnings():
            # the token ids of an evaluation
            warnings.filterwarnings("ignore", "Sending large graph")
            return self.client.map(
                done,
                work,
                workers=[worker] if worker else None,
                allow_other_workers=bool(worker),
                pure=False,
                retries=0,
            )

    def _forget(self, futures: Sequence[Future]) -> None:
        """Cancel what is not done where a task failed, or the caller stopped: nobody wants it."""
        if self.client.status == "running":  # else the scheduler is lost, and all is cancelled
            self.client.cancel([future for future in futures if not future.done()])


@contextmanager
def _telling(*others: type[Exception]) -> Iterator[None]:
    """Raises SaematchError where the scheduler is lost."""
    from distributed.comm import CommClosedError

    try:
        yield
    except (CancelledError, CommClosedError, *others) as error:
        raise SaematchError(
            "the connection to the scheduler is lost: see that it runs, and repeat the command, "
            "which continues with what is not done"
        ) from error


if TYPE_CHECKING:
    # how many workers to start here, the address of a scheduler that runs, a client of one, or
    # workers that are open already
    GivenWorkers = int | str | Client | Here | Cluster


def _result(future: Future, item: object) -> Any:
    """What a task returned; SaematchError where it could not be done."""
    from distributed import KilledWorker

    try:
        with _telling():
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
    return result


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
        from distributed import Client, LocalCluster
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
                cluster = LocalCluster(
                    n_workers=given,
                    threads_per_worker=1,
                    host=HOST,
                    dashboard_address=None,  # pyright: ignore[reportArgumentType]
                    # or it warns where another has Dask's own port
                    scheduler_kwargs={"dashboard_address": f"{HOST}:0"},
                    silence_logs=logging.ERROR,
                )
                stack.enter_context(cluster)
                client = stack.enter_context(Client(cluster, timeout=START))
            else:
                there: dict[str, Any] = {"address": given}
                if os.path.isfile(given):
                    there = {"scheduler_file": given}
                client = stack.enter_context(Client(**there, timeout=PATIENCE))
        except (OSError, ValueError, TimeoutError) as error:
            failed = f"no scheduler at {given}"
            if isinstance(given, int):
                failed = f"{given} workers cannot be started on this machine"
            raise SaematchError(f"{failed}: {reason(error)}") from error
        yield from _used(client, threads)


def _used(client: Client, threads: int | None = None) -> Iterator[Cluster]:
    """A cluster to work with, whose workers keep nothing afterwards."""
    try:
        yield Cluster(client, threads)
    finally:
        if client.status == "running":
            client.run(forget_all)

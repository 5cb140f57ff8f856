"""Where tasks of a workflow run: in this process, or in those of a Dask cluster.

A task is a function at the top of a module and a value; what it needs that is large it reads where
it runs. Results come as they are done, and only the process of the workflow writes to the run.
"""

from __future__ import annotations

import os
import time
import warnings
from collections import Counter, deque
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import CancelledError
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol, TypeVar
from uuid import uuid4

from saematch import __version__
from saematch.errors import SaematchError
from saematch.files.foreign import reason
from saematch.progress import log
from saematch.workflows.worker_blocks import Blocks
from saematch.workflows.worker_tasks import Work, done, itself

if TYPE_CHECKING:
    from distributed import Client, Future

T = TypeVar("T")
R = TypeVar("R")
COME = 1800  # seconds to wait for workers where there is none
AHEAD = 2  # tasks that each worker has, at least one of which waits
LOOK = 5  # seconds after which workers that came meanwhile get tasks


class Workers(Protocol):
    """Runs tasks somewhere."""

    here: bool  # whether that is this process, which has what was given in memory

    def each(self, task: Callable[[T], R], items: Sequence[T]) -> Iterator[tuple[T, R]]:
        """`(item, task(item))` for every item, as they are done."""
        ...

    def in_order(
        self, task: Callable[..., R], items: Sequence[T], *common: Any
    ) -> Iterator[tuple[T, R]]:
        """`(item, task(item, *common))` in the order of the items; few results wait for others.

        What tasks have in common, which may be large, reaches each process once.
        """
        ...


class Here:
    """Runs them in this process, one after the other, in their order."""

    here = True

    def each(self, task: Callable[[T], R], items: Sequence[T]) -> Iterator[tuple[T, R]]:
        """See `Workers`."""
        for item in items:
            yield item, task(item)

    def in_order(
        self, task: Callable[..., R], items: Sequence[T], *common: Any
    ) -> Iterator[tuple[T, R]]:
        """See `Workers`."""
        for item in items:
            yield item, task(item, *common)


class Cluster:
    """Runs them on a Dask cluster: each worker process one at a time.

    Args:
        client: of the cluster.
        threads: of a worker's arithmetic; as many as Dask counts for it where None.
    """

    here = False

    def __init__(self, client: Client, threads: int | None = None) -> None:
        self.client, self._threads, self._call = client, threads, uuid4().hex
        self._lonely: float | None = None  # since when there is none

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
                for future in self._done([*sent]):
                    item, _ = sent.pop(future)
                    yield item, _result(future, item)
        finally:
            self._forget([*sent])

    def in_order(
        self, task: Callable[..., R], items: Sequence[T], *common: Any
    ) -> Iterator[tuple[T, R]]:
        """See `Workers`; raises as `each` does."""
        waiting: deque[tuple[T, Future]] = deque()
        rest = deque(items)
        workers = self._workers()
        there = [self._lasting(value) for value in common] if items else []
        try:
            while rest or waiting:
                room = AHEAD * max(1, len(workers)) - len(waiting)
                more = [rest.popleft() for _ in range(min(max(room, 0), len(rest)))]
                waiting.extend(zip(more, self._sent(task, more, common=there), strict=True))
                item, future = waiting[0]
                if self._done([future]):
                    waiting.popleft()
                    yield item, _result(future, item)
                workers = self._workers()
        finally:
            self._forget([*there, *(future for _, future in waiting)])

    def _workers(self) -> Collection[str]:
        """Those that are there now; SaematchError where there has been none for too long."""
        with _telling(OSError):
            found: Collection[str] = self.client.nthreads()  # pyright: ignore[reportAssignmentType]
        if found:
            self._lonely = None
        elif self._lonely is None:
            self._lonely = time.monotonic()
            log.warning(
                f"the scheduler has no workers: waiting for some, {COME / 60:g} min at most"
            )
        elif time.monotonic() - self._lonely > COME:
            raise SaematchError(
                f"the scheduler has had no workers for {COME / 60:g} min: start some, and repeat "
                "the command, which continues with what is not done"
            )
        return found

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

    def _done(self, sent: Collection[Future]) -> Collection[Future]:
        """Those that are done, as soon as there is one; none after a while."""
        from distributed import wait

        with _telling(), self.client.as_current():
            try:
                found = wait(sent, timeout=LOOK, return_when="FIRST_COMPLETED")
                return found.done  # pyright: ignore[reportAttributeAccessIssue]
            except TimeoutError:
                return ()

    def _sent(
        self,
        task: Callable[..., R],
        items: Sequence[T],
        worker: str = "",
        common: Sequence[Future] = (),
    ) -> list[Future]:
        """Tasks on their way to a worker; another does them where that one is gone, or is busy."""
        here = os.getcwd()
        work = [Work(task, item, self._threads, self._call, here, __version__) for item in items]
        with _telling():
            return self.client.map(
                done,
                work,
                *([future] * len(work) for future in common),
                workers=[worker] if worker else None,
                allow_other_workers=bool(worker),
                pure=False,
                retries=0,
            )

    def _lasting(self, value: Any) -> Future:
        """A value among the workers; a task, so that it is there again where its worker dies."""
        with _telling(), warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Sending large graph")
            return self.client.submit(itself, value, pure=False)

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
    except (RuntimeError, ImportError) as error:
        if isinstance(error, RuntimeError) and "deserialization" not in str(error):
            raise
        lacks = f", and one of them lacks something: {reason(error)}"
        raise SaematchError(
            "the scheduler and its workers need the same saematch and the same Dask as this "
            f"process (saematch {__version__}){lacks if isinstance(error, ImportError) else ''}"
        ) from error
    future.release()
    return result

"""What commands need beside them: a language model to ask, a Dask scheduler and two workers.

They are forked from this process, which has imported all that they need.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from saematch.files.atomic import whole

HOST = "127.0.0.1"
WORKERS = 2
PATIENCE = 20.0  # seconds until they must answer


@dataclass(frozen=True)
class Crew:
    """Where they listen, and the file that tells which processes they are at the moment."""

    address: str
    told: Path

    def scheduler(self) -> int:
        """Its process."""
        return json.loads(self.told.read_text())[0]

    def workers(self) -> list[int]:
        """Their processes."""
        return json.loads(self.told.read_text())[1:]


@contextmanager
def chatting() -> Iterator[str]:
    """The address of a stub that answers every question with 1, 2 or 3, always alike."""
    port = _free_port()
    process = _forked(None, lambda: _chat(port))
    try:
        _until(lambda: _listens(port))
        yield f"http://{HOST}:{port}/v1"
    finally:
        os.kill(process, signal.SIGKILL)
        os.waitpid(process, 0)


def _chat(port: int) -> None:
    from support.chat_server import ChatServer, says

    def answered(prompt: str, before: int):
        return says(str(1 + zlib.crc32(prompt.encode()) % 3))

    with ChatServer(script=answered, port=port):
        signal.pause()


@contextmanager
def cluster(home: Path) -> Iterator[Crew]:
    """A scheduler and workers, each started anew where it ends; `home` gets what they say."""
    port = _free_port()
    crew = Crew(f"tcp://{HOST}:{port}", home / "crew.json")
    keeper = _forked(home / "crew.out", lambda: _keep(crew, port, home))
    try:
        _until(lambda: crew.told.is_file() and _listens(port))
        yield crew
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(keeper, signal.SIGKILL)
        os.waitpid(keeper, 0)


def _keep(crew: Crew, port: int, home: Path) -> None:
    """Start whichever of them has ended."""
    os.setsid()
    works = [lambda: asyncio.run(_scheduler(port))]
    works += [lambda: asyncio.run(_worker(crew.address, home))] * WORKERS
    processes = [0] * len(works)
    while True:
        for place, work in enumerate(works):
            if not processes[place]:
                processes[place] = _forked(None, work)
                if place == 0:
                    _until(lambda: _listens(port))
        with whole(crew.told) as partial:
            partial.write_text(json.dumps(processes))
        ended, _ = os.wait()
        processes[processes.index(ended)] = 0
        time.sleep(0.3)


async def _scheduler(port: int) -> None:
    from distributed import Scheduler

    async with Scheduler(host=HOST, port=port, dashboard=False) as scheduler:
        await scheduler.finished()


async def _worker(address: str, home: Path) -> None:
    from distributed import Worker

    async with Worker(address, nthreads=1, host=HOST, local_directory=str(home)) as worker:
        await worker.finished()


def _forked(out: Path | None, work: Callable[[], None]) -> int:
    pid = os.fork()
    if pid:
        return pid
    try:
        if out is not None:
            file = os.open(out, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
            os.dup2(file, 1)
            os.dup2(file, 2)
        work()
    finally:
        os._exit(0)


def _free_port() -> int:
    with socket.socket() as some:
        some.bind((HOST, 0))
        return some.getsockname()[1]


def _listens(port: int) -> bool:
    with socket.socket() as some:
        return some.connect_ex((HOST, port)) == 0


def _until(there: Callable[[], bool]) -> None:
    began = time.monotonic()
    while not there():
        if time.monotonic() - began > PATIENCE:
            raise RuntimeError("no server came up")
        time.sleep(0.02)

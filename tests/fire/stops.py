"""What may stop a command: signals, a full disk, the loss of a worker or of the scheduler."""

from __future__ import annotations

import builtins
import contextlib
import io
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fire.forked import of_session
from fire.servers import Crew

KILL, TERM, CTRL_C, FULL = "kill -9", "SIGTERM", "Ctrl-C", "disk full"
WORKER, LOST = "worker killed", "scheduler restarted"
KINDS = (KILL, TERM, CTRL_C, FULL, WORKER, LOST)
ROOM = 64 << 20  # of the small disk, beyond what is on it already
FILLER = ".filler"

Stop = Callable[[int], None]  # is told the process of the command


def stopping(kind: str, folder: Path, crew: Crew | None) -> Stop:
    """What does it; the command works in `folder`, which for a full disk is a `small_disk`."""

    def worker(pid: int) -> None:
        workers = crew.workers() if crew else _started_workers(pid)
        if workers:
            _send(workers[0], signal.SIGKILL)

    def scheduler(pid: int) -> None:
        assert crew is not None
        _send(crew.scheduler(), signal.SIGKILL)

    return {
        KILL: lambda pid: _send(pid, signal.SIGKILL),
        TERM: lambda pid: _send(pid, signal.SIGTERM),
        # a terminal sends it to all that the command started, too
        CTRL_C: lambda pid: os.killpg(pid, signal.SIGINT),
        FULL: lambda pid: _fill(folder),
        WORKER: worker,
        LOST: scheduler,
    }[kind]


@contextmanager
def small_disk(folder: Path) -> Iterator[None]:
    """A disk of its own at an empty folder, which can be filled. It takes root."""
    size = f"size={ROOM}"
    subprocess.run(["mount", "-t", "tmpfs", "-o", size, "fire", str(folder)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def emptied(folder: Path) -> None:
    """There is room again on the small disk."""
    (folder / FILLER).unlink(missing_ok=True)


class Before:
    """Counts the events that change files, and stops the command before the k-th.

    Args:
        event: k; 0 for none.
        stop: what stops it.
    """

    def __init__(self, event: int = 0, stop: Stop = lambda pid: None) -> None:
        self.left, self.stop, self.seen = event, stop, 0

    def __enter__(self) -> Before:
        for name in ("replace", "rename", "link", "unlink", "mkdir", "rmdir", "fsync"):
            setattr(os, name, self._counted(getattr(os, name)))
        opening = builtins.open

        def opened(file, mode="r", *rest, **more):
            if isinstance(mode, str) and set(mode) & set("wax+"):
                self._event()
            return opening(file, mode, *rest, **more)

        builtins.open = io.open = opened
        return self

    def __exit__(self, *_: object) -> None:
        """The process ends after it."""

    def _counted(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*arguments: Any, **named: Any) -> Any:
            self._event()
            return call(*arguments, **named)

        return counted

    def _event(self) -> None:
        self.seen += 1
        self.left -= 1
        if self.left == 0:
            self.stop(os.getpid())


def _fill(folder: Path) -> None:
    """Leave no room on the disk of a folder."""
    file = os.open(folder / FILLER, os.O_WRONLY | os.O_CREAT)
    with contextlib.suppress(OSError):
        while True:
            os.write(file, bytes(1 << 20))
    with contextlib.suppress(OSError):
        while True:
            os.write(file, bytes(1 << 10))
    os.close(file)


def _started_workers(pid: int) -> list[int]:
    """Processes that a command with --workers started to work for it."""
    return [
        one
        for one in of_session(pid)
        if one != pid and b"spawn_main" in Path(f"/proc/{one}/cmdline").read_bytes()
    ]


def _send(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)

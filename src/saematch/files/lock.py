"""One writer at a time in a directory, across programs."""

from __future__ import annotations

import json
import os
import socket
import sys
import weakref
from dataclasses import dataclass, field
from pathlib import Path

import filelock

from saematch.errors import RunError, SaematchError
from saematch.files.foreign import reason

LOCK = ".saematch.lock"  # hidden, so that neither the explorer nor an export serves it
WAIT = 3.0  # seconds that a second writer waits, in case the first is just ending


@dataclass
class _Held:
    """A lock of this process, and the number of objects that share it."""

    lock: filelock.FileLock
    writers: int = 1
    told: Path = field(default_factory=Path)


_HELD: dict[Path, _Held] = {}  # by real path


class WriterLock:
    """The right to write in a directory, shared by all objects of this process.

    The operating system releases it when the process ends, for whatever reason. Readers never ask
    for it.

    Args:
        path: the directory; it must exist.
        error: the class of error to raise.
        of: its name in errors, if it stands for another directory.

    Raises:
        SaematchError: of the class `error`: another program, which is named, is writing there; or
            the directory cannot be written to.
    """

    def __init__(
        self, path: Path, error: type[SaematchError] = RunError, of: Path | None = None
    ) -> None:
        self._place = path.resolve()
        held = _HELD.get(self._place)
        if held is not None:
            held.writers += 1
        else:
            _HELD[self._place] = _acquire(path, of or path, error)
        self._free = weakref.finalize(self, _release, self._place)

    def release(self) -> None:
        """Release it; a second call does nothing."""
        self._free()


def _acquire(path: Path, of: Path, error: type[SaematchError]) -> _Held:
    file, told = path / LOCK, path / f"{LOCK}.json"
    if file.is_symlink() or told.is_symlink():
        raise error(f"{file} is a link: remove it")
    lock = filelock.FileLock(file, timeout=WAIT, thread_local=False)
    try:
        lock.acquire()
    except filelock.Timeout as held:
        raise error(
            f"{of} is being written by {_holder(told)}: wait until that is done, or write "
            "elsewhere with -o"
        ) from held
    except OSError as raised:
        raise error(f"{of} cannot be written: {reason(raised)}") from raised
    who = {"command": _command(), "process": os.getpid(), "host": socket.gethostname()}
    try:
        told.write_text(json.dumps(who), encoding="utf-8")
    except OSError as raised:
        lock.release()
        raise error(f"{of} cannot be written: {reason(raised)}") from raised
    return _Held(lock, told=told)


def _release(place: Path) -> None:
    held = _HELD.get(place)
    if held is None:
        return
    held.writers -= 1
    if not held.writers:
        del _HELD[place]
        held.told.unlink(missing_ok=True)
        held.lock.release()


def _command() -> str:
    """The command line of this program in short: `saematch flow`, or the name of a script."""
    program = Path(sys.argv[0]).stem if sys.argv and sys.argv[0] else "python"
    if program in ("saematch", "__main__"):
        return " ".join(["saematch", *sys.argv[1:2]])
    return program


def _holder(told: Path) -> str:
    try:
        who = json.loads(told.read_text(encoding="utf-8"))
        return f"`{who['command']}` (process {who['process']} on {who['host']})"
    except (OSError, ValueError, KeyError, TypeError):
        return "another program"

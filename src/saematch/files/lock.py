"""One writer at a time in a directory, across programs and machines.

Two things say who writes: a lock of the operating system, which is gone with the process that held
it, and a note beside it with the holder's name, which the holder touches every `BEAT` seconds. On a
network file system the lock may be granted to two machines at once; the note then tells them apart,
since only one can create it. On one machine the lock decides, or, on a file system without locks,
whether the process of the note lives. The note of another machine counts until it was not touched
for `LEASE` seconds by the file system's own clock.
"""

from __future__ import annotations

import json
import os
import socket
import sys
import threading
import time
import uuid
import weakref
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import filelock

from saematch.errors import RunError, SaematchError
from saematch.files.atomic import SUFFIX
from saematch.files.foreign import reason

LOCK = ".saematch.lock"  # hidden, so that neither the explorer nor an export serves it
NOTE = f"{LOCK}.json"
WAIT = 3.0  # seconds that a second writer waits, in case the first is just ending
BEAT = 20.0  # seconds between two touches of the note
SETTLE = 0.2  # seconds in which others that discard the same note have done so
LEASE = 180.0  # seconds without a touch after which its writer is taken to be gone


@dataclass
class _Held:
    """A lock of this process, and the number of objects that share it."""

    lock: filelock.BaseFileLock
    note: Path
    told: dict[str, Any]
    writers: int = 1
    lost: bool = False  # to another program, which heard nothing of this one for too long
    ended: threading.Event = field(default_factory=threading.Event)

    def beat(self) -> None:
        """Touch the note until the lock is released."""
        while not self.ended.wait(BEAT):
            self.touch()

    def touch(self) -> None:
        """Say that this program still writes, unless another has taken over."""
        try:
            ours = json.loads(self.note.read_text(encoding="utf-8")) == self.told
            if ours:
                os.utime(self.note)
        except (FileNotFoundError, ValueError):
            ours = False
        except OSError:
            return  # a disk that cannot be reached now may be later
        self.lost = not ours and not self.ended.is_set()

    def release(self) -> None:
        self.ended.set()
        if self.told["process"] == os.getpid():  # a forked child has a copy of this
            if _read(self.note) == self.told:
                self.note.unlink(missing_ok=True)
            self.lock.release()


_HELD: dict[Path, _Held] = {}  # by real path
_GUARD = threading.RLock()  # of _HELD; a finalizer may run where its thread holds it


class WriterLock:
    """The right to write in a directory, shared by all objects and threads of this process.

    It is given back when the process ends, for whatever reason. Readers never ask for it.

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
        with _GUARD:
            held = _HELD.get(self._place)
            if held is not None:
                held.writers += 1
            else:
                _HELD[self._place] = _acquire(path, of or path, error)
        self._free = weakref.finalize(self, _release, self._place)

    def release(self) -> None:
        """Release it; a second call does nothing."""
        self._free()


def check_not_lost(path: Path) -> None:
    """Raise RunError where another program took over the writing in a directory of this one."""
    held = _HELD.get(path.resolve())
    if held is None:
        return
    held.touch()  # a program that was asleep has not done so for long
    if held.lost:
        raise RunError(
            f"{path} was taken over by {_name(_read(held.note))}, which heard nothing of this "
            f"program for {LEASE:.0f} seconds or found its note removed: nothing more is written"
        )


def _acquire(path: Path, of: Path, error: type[SaematchError]) -> _Held:
    file, note = path / LOCK, path / NOTE
    if file.is_symlink() or note.is_symlink():
        raise error(f"{file} is a link: remove it")
    lock, locks = filelock.FileLock(file, timeout=WAIT, thread_local=False), True
    try:
        lock.acquire()
    except filelock.Timeout as held:
        raise error(_refusal(of, _read(note))) from held
    except NotImplementedError:
        file.touch()
        locks = False  # on this file system: the note has to do
    except OSError as raised:
        raise error(f"{of} cannot be written: {reason(raised)}") from raised
    told = {
        "command": _command(),
        "process": os.getpid(),
        "host": socket.gethostname(),
        "machine": _machine(),
        "token": uuid.uuid4().hex,
    }
    try:
        _leave(note, told, locks, of, error)
    except OSError as raised:
        lock.release()
        raise error(f"{of} cannot be written: {reason(raised)}") from raised
    except BaseException:
        lock.release()
        raise
    held = _Held(lock, note, told)
    threading.Thread(target=held.beat, name="saematch lock", daemon=True).start()
    return held


def _leave(
    note: Path, told: dict[str, Any], locks: bool, of: Path, error: type[SaematchError]
) -> None:
    """Create the note, which one program alone can; wait a little for one that counts."""
    own = _beside(note, told, "new")
    until, discarded = time.monotonic() + WAIT, False
    try:
        own.write_text(json.dumps(told), encoding="utf-8")
        while True:
            if _created(own, note):
                if discarded:
                    time.sleep(SETTLE)
                if not discarded or _read(note) == told:
                    return
            there = _read(note)
            if left := _counts_for(note, there, locks):
                if time.monotonic() > until:
                    raise error(_refusal(of, there, left))
                time.sleep(0.1)
            else:
                _discard(note, there, _beside(note, told, "old"))
                discarded = True
    finally:
        own.unlink(missing_ok=True)


def _beside(note: Path, told: dict[str, Any], what: str) -> Path:
    """A file beside the note, of a name that `atomic.sweep` removes where it was left."""
    return note.with_name(f"{note.name}.{what}.{told['token'][:8]}{SUFFIX}")


def _created(own: Path, note: Path) -> bool:
    """Make the note, unless there is one: what one program alone can, on a network too."""
    try:
        os.link(own, note)
    except FileExistsError:
        return False
    except OSError:  # a file system without such links
        try:
            with note.open("x", encoding="utf-8") as file:
                file.write(own.read_text(encoding="utf-8"))
        except FileExistsError:
            return False
    return True


def _counts_for(note: Path, there: dict[str, Any] | None, locks: bool) -> float:
    """For how many seconds more a note counts unless it is touched; 0 where it does not."""
    if there is not None and there.get("machine") == _machine():
        process = there.get("process")
        # who has the lock of this machine is alone on it
        if locks or not isinstance(process, int) or process == os.getpid() or not _lives(process):
            return 0.0
    clock = note.with_name(LOCK)
    try:
        os.utime(clock)
        now, touched = (_modified(file) for file in (clock, note))
    except FileNotFoundError:
        return 0.0
    return max(0.0, LEASE - (now - touched))


def _modified(file: Path) -> float:
    with file.open("rb") as opened:  # a network file system may keep old times of others
        return os.fstat(opened.fileno()).st_mtime


def _machine() -> str:
    """What this machine, since it was started, has alone, whatever it is called."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return socket.gethostname()


def _lives(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        return True  # of another user
    return True


def _discard(note: Path, there: dict[str, Any] | None, aside: Path) -> None:
    """Take away a note that no longer counts, unless another program just did, and left its own."""
    try:
        os.replace(note, aside)
    except FileNotFoundError:
        return
    if _read(aside) != there:
        with suppress(OSError):  # else its holder finds that it is gone
            os.link(aside, note)
    aside.unlink(missing_ok=True)


def _release(place: Path) -> None:
    with _GUARD:
        held = _HELD.get(place)
        if held is None:
            return
        held.writers -= 1
        if not held.writers:
            del _HELD[place]
            held.release()


def _command() -> str:
    """The command line of this program in short: `saematch flow`, or the name of a script."""
    program = Path(sys.argv[0]).stem if sys.argv and sys.argv[0] else "python"
    if program in ("saematch", "__main__"):
        return " ".join(["saematch", *sys.argv[1:2]])
    return program


def _read(note: Path) -> dict[str, Any] | None:
    try:
        found = json.loads(note.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def _name(who: dict[str, Any] | None) -> str:
    try:
        assert who is not None
        return f"`{who['command']}` (process {who['process']} on {who['host']})"
    except (KeyError, AssertionError):
        return "another program"


def _refusal(of: Path, who: dict[str, Any] | None, left: float = 0.0) -> str:
    told = f"{of} is being written by {_name(who)}: wait until that is done, or write elsewhere"
    if who is not None and left and who.get("machine") != _machine():
        return (
            f"{told} with -o; if that program is gone, the same call is free to go on in "
            f"{left:.0f} seconds"
        )
    return f"{told} with -o"

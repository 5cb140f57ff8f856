"""A function in a process of its own, forked, with limits on memory and time.

The parent has imported all that is slow to import and has run nothing with it, so that no pool of
threads is lost in the fork.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import select
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PAGE = os.sysconf("SC_PAGE_SIZE")
SOON = 10.0  # seconds in which what a command started has to end after it


@dataclass(frozen=True)
class Limits:
    """Of one process. What grows beyond `grown` or takes more than `cpu` is a finding."""

    space: int = 4 << 30  # address space, beyond what the parent has
    grown: int = 768 << 20  # resident memory, likewise
    cpu: int = 10  # seconds
    wall: float = 45.0  # seconds
    idle: float = 4.0  # seconds without any work, waiting for something that never comes


@dataclass(frozen=True)
class Ended:
    """How a process ended: with a value, or by a signal (`limit` says which limit sent it)."""

    value: Any = None
    signal: int = 0
    limit: str | None = None
    seconds: float = 0.0
    grown: int = 0
    output: str = ""
    left: tuple[str, ...] = ()  # processes that it started, and that did not end soon after it


@dataclass
class Running:
    """A process that was started and has not been waited for."""

    pid: int
    pipe: int
    out: Path
    limits: Limits
    began: float

    def end(self, at: tuple[float, Callable[[int], None]] | None = None) -> Ended:
        """Wait for it, and stop it where it passes a limit.

        Args:
            at: seconds, and what is done then, given its process id.
        """
        received, limit, idle_since, worked = b"", None, time.monotonic(), -1
        while True:
            ready, _, _ = select.select([self.pipe], [], [], 0.02 if at else 0.2)
            if ready:
                part = os.read(self.pipe, 1 << 20)
                if not part:
                    break
                received += part
                continue
            now = time.monotonic()
            if at and now - self.began >= at[0]:
                at[1](self.pid)
                at = None
            state, used = _work(self.pid)
            if used != worked or state in "RD":
                idle_since, worked = now, used
            if state == "Z":
                # what it wrote between the last look and its end
                while select.select([self.pipe], [], [], 0)[0] and (
                    part := os.read(self.pipe, 1 << 20)
                ):
                    received += part
                break
            if now - self.began > self.limits.wall or now - idle_since > self.limits.idle:
                limit = "waits" if now - idle_since > self.limits.idle else "wall"
                _send(self.pid, signal.SIGKILL)
                break
        os.close(self.pipe)
        _, status, usage = os.wait4(self.pid, 0)
        left = _still_there(self.pid)
        _kill_group(self.pid)
        by = os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0
        if by in (signal.SIGXCPU, signal.SIGKILL) and usage.ru_utime + usage.ru_stime >= (
            self.limits.cpu - 0.5
        ):
            limit = limit or "cpu"
        try:
            value = json.loads(received) if received else None
        except ValueError:
            value = None
        return Ended(
            value=value,
            signal=by,
            limit=limit,
            seconds=time.monotonic() - self.began,
            grown=max(0, usage.ru_maxrss * 1024 - _resident()),
            output=self.out.read_text("utf-8", "backslashreplace") if self.out.is_file() else "",
            left=left,
        )


def start(work: Callable[[], Any], folder: Path, out: Path, limits: Limits) -> Running:
    """Fork; the child works in `folder`, writes what it prints to `out`, reads "y" and no more."""
    read, write = os.pipe()
    out.unlink(missing_ok=True)
    began = time.monotonic()
    pid = os.fork()
    if pid:
        os.close(write)
        return Running(pid, read, out, limits, began)
    try:
        os.setsid()
        os.close(read)
        _redirect(out)
        room = _size() + limits.space
        resource.setrlimit(resource.RLIMIT_AS, (room, room))
        resource.setrlimit(resource.RLIMIT_CPU, (limits.cpu, limits.cpu + 2))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        signal.signal(signal.SIGINT, signal.default_int_handler)
        os.chdir(folder)
        value = json.dumps(work()).encode()
        sys.stdout.flush()
        sys.stderr.flush()
        while value:
            value = value[os.write(write, value) :]
    except BaseException as raised:  # the harness itself; `work` tells what it meets
        os.write(write, json.dumps({"harness": f"{type(raised).__name__}: {raised}"}).encode())
    finally:
        os._exit(0)


def forked(
    work: Callable[[], Any],
    folder: Path,
    out: Path,
    limits: Limits | None = None,
    at: tuple[float, Callable[[int], None]] | None = None,
) -> Ended:
    """`work()` in a process of its own, which has ended when this returns."""
    return start(work, folder, out, limits or Limits()).end(at)


def of_session(pid: int) -> list[int]:
    """The running processes of the session that a process leads, itself too."""
    found = []
    for place in Path("/proc").iterdir():
        told = _stat(int(place.name)) if place.name.isdecimal() else []
        if told and int(told[3]) == pid and told[0] != "Z":
            found.append(int(place.name))
    return found


def _redirect(out: Path) -> None:
    # a user who says yes to whatever a library asks
    answers, answer = os.pipe()
    os.write(answer, b"y\n" * 100)
    os.close(answer)
    os.dup2(answers, 0)
    file = os.open(out, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(file, 1)
    os.dup2(file, 2)
    sys.stdin = os.fdopen(0, closefd=False)
    sys.stdout = os.fdopen(1, "w", closefd=False)
    sys.stderr = os.fdopen(2, "w", closefd=False)


def _still_there(pid: int) -> tuple[str, ...]:
    """What an ended process started and is there after a while."""
    began = time.monotonic()
    while found := of_session(pid):
        if time.monotonic() - began > SOON:
            return tuple(_name(one) for one in found)
        time.sleep(0.1)
    return ()


def _name(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()[:120]
    except OSError:
        return str(pid)


def _stat(pid: int) -> list[str]:
    """What the system tells of a process from its state on; nothing where it is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def _work(pid: int) -> tuple[str, int]:
    """The state of a process, and the ticks that it and its threads have worked."""
    told = _stat(pid)
    return (told[0], int(told[11]) + int(told[12])) if told else ("Z", 0)


def _send(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def _kill_group(pid: int) -> None:
    """What the child started itself."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


def _size() -> int:
    return int(Path("/proc/self/statm").read_text().split()[0]) * PAGE


def _resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE

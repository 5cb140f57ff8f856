"""One writer at a time, also of two machines whose file system grants both the lock."""

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import filelock
import pytest

from saematch.errors import RunError
from saematch.files import lock as module
from saematch.files.directory import remove, writing
from saematch.files.lock import LEASE, NOTE, WriterLock


class NoLock(filelock.BaseFileLock):
    """What a file system does that grants a lock to everyone."""

    def _acquire(self):
        self._context.lock_file_fd = os.open(self.lock_file, os.O_RDWR | os.O_CREAT)

    def _release(self):
        os.close(self._context.lock_file_fd)
        self._context.lock_file_fd = None


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setattr(module, "WAIT", 0.2)


class Machines:
    """Two machines in one process: each has its own name and its own locks."""

    def __init__(self, monkeypatch):
        self._patch, self._held = monkeypatch, {}
        monkeypatch.setattr(filelock, "FileLock", NoLock)

    def on(self, name):
        self._patch.setattr(module.socket, "gethostname", lambda: name)
        self._patch.setattr(module, "_machine", lambda: f"boot of {name}")
        self._patch.setattr(module, "_HELD", self._held.setdefault(name, {}))


@pytest.fixture
def machines(monkeypatch):
    return Machines(monkeypatch)


def age(folder, seconds):
    at = time.time() - seconds
    os.utime(folder / NOTE, (at, at))


def test_another_machine_is_refused_by_name_though_it_gets_the_lock(tmp_path, machines):
    machines.on("alpha")
    one = WriterLock(tmp_path)
    machines.on("beta")
    with pytest.raises(
        RunError, match=rf"process {os.getpid()} on alpha.*free to go on in 1[78]\d"
    ):
        WriterLock(tmp_path)
    machines.on("alpha")
    one.release()
    machines.on("beta")
    two = WriterLock(tmp_path)
    assert json.loads((tmp_path / NOTE).read_text())["host"] == "beta"
    two.release()
    assert sorted(p.name for p in tmp_path.iterdir()) == [module.LOCK]


def test_a_machine_that_crashed_is_taken_over_after_the_lease(tmp_path, machines):
    machines.on("alpha")
    one = WriterLock(tmp_path)
    age(tmp_path, LEASE - 9)
    machines.on("beta")
    with pytest.raises(RunError, match=r"go on in \d seconds"):
        WriterLock(tmp_path)
    age(tmp_path, LEASE + 1)
    two = WriterLock(tmp_path)
    # alpha had only been asleep: it finds that out, and writes nothing more
    machines.on("alpha")
    held = module._HELD[tmp_path.resolve()]
    assert not held.lost
    with (
        pytest.raises(RunError, match=r"taken over by `.*` \(process .* on beta\)"),
        writing(tmp_path, "after.json") as partial,
    ):
        partial.write_text("{}")
    assert not (tmp_path / "after.json").exists()
    (tmp_path / "theirs.json").write_text("{}")
    with pytest.raises(RunError, match="taken over by"):
        remove(tmp_path, ["theirs.json"])
    assert (tmp_path / "theirs.json").exists()
    one.release()
    assert json.loads((tmp_path / NOTE).read_text())["host"] == "beta"
    machines.on("beta")
    module._HELD[tmp_path.resolve()].touch()
    assert not module._HELD[tmp_path.resolve()].lost
    two.release()


def test_a_holder_touches_its_note_by_the_clock_of_the_disk(tmp_path, machines, monkeypatch):
    monkeypatch.setattr(module, "BEAT", 0.02)
    machines.on("alpha")
    others = set(threading.enumerate())
    one = WriterLock(tmp_path)
    own = set(threading.enumerate()) - others
    assert "saematch lock" in {thread.name for thread in own}
    age(tmp_path, LEASE + 60)
    until = time.monotonic() + 5
    while time.time() - (tmp_path / NOTE).stat().st_mtime > LEASE and time.monotonic() < until:
        time.sleep(0.01)
    # a wrong clock of the other machine changes nothing
    monkeypatch.setattr(time, "time", lambda: 4e9)
    machines.on("beta")
    with pytest.raises(RunError, match="on alpha"):
        WriterLock(tmp_path)
    machines.on("alpha")
    one.release()
    for thread in own:
        thread.join(timeout=60)
        assert not thread.is_alive()


def test_of_many_machines_at_once_one_writes(tmp_path, machines):
    machines.on("gamma")
    (tmp_path / NOTE).write_text(json.dumps({"host": "gone", "process": 1, "machine": "gone"}))
    age(tmp_path, LEASE + 1)
    told = [{"host": f"m{k}", "token": f"{k:08d}", "process": 1, "machine": k} for k in range(8)]
    (tmp_path / module.LOCK).touch()
    start, written = threading.Barrier(len(told)), []

    def tries(who):
        start.wait()
        try:
            module._leave(tmp_path / NOTE, who, True, tmp_path, RunError)
            written.append(who)
        except RunError:
            return

    threads = [threading.Thread(target=tries, args=(who,)) for who in told]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [json.loads((tmp_path / NOTE).read_text())] == written
    assert sorted(p.name for p in tmp_path.iterdir()) == [module.LOCK, NOTE]


def test_without_locks_a_process_of_this_machine_counts_while_it_lives(tmp_path, monkeypatch):
    class Without(NoLock):
        def _acquire(self):
            raise NotImplementedError("no flock here")

        def _release(self):
            pass

    monkeypatch.setattr(filelock, "FileLock", Without)
    other = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    told = {"command": "saematch flow", "process": other.pid, "host": "here"}
    (tmp_path / NOTE).write_text(json.dumps({**told, "machine": module._machine()}))
    try:
        with pytest.raises(RunError, match=rf"`saematch flow` \(process {other.pid} on here\)"):
            WriterLock(tmp_path)
    finally:
        other.kill()
        other.communicate()
    WriterLock(tmp_path).release()
    assert not (tmp_path / NOTE).exists()


def test_with_locks_a_note_that_was_left_on_this_machine_does_not_count(tmp_path):
    told = {"command": "saematch flow", "process": os.getppid(), "host": "here"}
    (tmp_path / NOTE).write_text(json.dumps({**told, "machine": module._machine()}))
    WriterLock(tmp_path).release()
    assert not (tmp_path / NOTE).exists()


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"host": 5}', "\x00"])
def test_a_damaged_note_stops_nobody_for_longer_than_the_lease(content, tmp_path):
    (tmp_path / NOTE).write_text(content)
    with pytest.raises(RunError, match="is being written by another program"):
        WriterLock(tmp_path)
    age(tmp_path, LEASE + 1)
    WriterLock(tmp_path).release()
    assert Path(tmp_path / NOTE).exists() is False


def test_threads_of_a_process_share_the_lock(tmp_path):
    """Asked for at the same moment, it is not refused to one of them, and is free after all."""
    together, locks = threading.Barrier(4), []

    def ask():
        together.wait()
        locks.append(WriterLock(tmp_path))

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(locks) == 4
    for lock in locks[1:]:
        lock.release()
    assert (tmp_path / NOTE).is_file()
    locks[0].release()
    assert not (tmp_path / NOTE).exists()

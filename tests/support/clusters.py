"""Dask clusters of two workers on this machine."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import dask
import distributed

PATIENCE = 600  # seconds: on a busy machine a process takes its time to start


@contextmanager
def two_workers() -> Iterator[distributed.Client]:
    """A client of a cluster inside this process, whose workers are others."""
    with (
        dask.config.set({"distributed.comm.timeouts.connect": PATIENCE}),
        distributed.LocalCluster(
            n_workers=2,
            threads_per_worker=1,
            host="127.0.0.1",
            dashboard_address=None,
            scheduler_kwargs={"dashboard_address": "127.0.0.1:0"},
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        yield client


def waited(there: Callable[[], bool]) -> None:
    """Return once something is there; fail where it does not come."""
    end = time.monotonic() + PATIENCE
    while not there():
        assert time.monotonic() < end
        time.sleep(0.1)


def kill_a_worker(client: distributed.Client) -> None:
    """End one of the workers at once; its nanny starts another."""
    os.kill(next(iter(client.run(os.getpid).values())), signal.SIGKILL)


@contextmanager
def scheduler_apart(folder: Path) -> Iterator[tuple[Path, subprocess.Popen[bytes]]]:
    """A scheduler in a process of its own with one worker: the file it wrote, and the process."""
    file = folder / "scheduler.json"
    told = ("--scheduler-file", str(file), "--no-dashboard")
    starts = [
        ("dask_scheduler", "--host", "127.0.0.1", "--port", "0", *told),
        ("dask_worker", *told, "--nthreads", "1", "--host", "127.0.0.1"),
    ]
    started: list[subprocess.Popen[bytes]] = []
    try:
        for module, *arguments in starts:
            command = [sys.executable, "-m", f"distributed.cli.{module}", *arguments]
            started.append(subprocess.Popen(command, cwd=folder, stderr=subprocess.DEVNULL))
            waited(file.is_file)
        yield file, started[0]
    finally:
        for process in reversed(started):
            process.terminate()
        for process in started:
            process.wait(PATIENCE)

"""Inputs, kills and attacks, each job in a process forked from one that has imported everything.

`serve` reads jobs from standard input, one JSON object a line, and writes a result a line; `Pool`
keeps some processes that do at work.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from queue import Empty, Queue
from typing import Any

from fire.forked import Limits, forked
from fire.mutations.pickles import CANARY
from fire.registry import MUTATIONS, SURFACES, Change, Input, NotApplicableError
from fire.seeds import SEEDS, build
from fire.surfaces import CommandError
from fire.verdict import judge, raised

TESTS = Path(__file__).parents[1]
SILENT = {
    "OMP_NUM_THREADS": "1",
    "POLARS_MAX_THREADS": "1",
    "ARROW_DEFAULT_MEMORY_POOL": "system",
    "TOKENIZERS_PARALLELISM": "false",
    "HF_HUB_OFFLINE": "1",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "NO_COLOR": "1",
    "COLUMNS": "400",
    "TERM": "dumb",
}


def preload() -> None:
    """Import all that is slow to import; nothing may start threads that work."""
    import polars
    import pyarrow.parquet
    import torch
    import transformers

    import saematch.activations.model
    import saematch.activations.store
    import saematch.cli
    import saematch.evaluation
    import saematch.explorer.export
    import saematch.flow.analysis
    import saematch.flow.exports
    import saematch.matching
    import saematch.plots
    import saematch.runs

    _ = (polars, pyarrow.parquet, saematch, torch)
    for name in ("AutoConfig", "AutoModel", "AutoModelForCausalLM", "AutoTokenizer"):
        getattr(transformers, name)


def copied(seed: Path, folder: Path) -> None:
    """A seed's files; mutations write new ones, so that large ones need no copy."""

    def link(source: str, target: str) -> None:
        if os.path.getsize(source) > 1 << 20:
            os.link(source, target)
        else:
            shutil.copyfile(source, target)

    shutil.copytree(seed, folder, copy_function=link)


def attempt(given: Input | None, name: str, folder: Path) -> dict[str, Any]:
    """Damage the input in `folder` (not without `given`), and read it; what came of it."""
    what, refuse = "", None
    if given is not None:
        try:
            rng = random.Random(given.id)
            change = MUTATIONS[given.mutation].apply(given.aim(folder), rng)
        except NotApplicableError:
            return {"skipped": True}
        change = change if isinstance(change, Change) else Change(change)
        what, refuse = change.what, change.refuse
    told: dict[str, Any] = {"what": what, "refuse": refuse}
    try:
        wrong = SURFACES[name].call(folder)
        return {**told, "wrong": wrong}
    except CommandError as ended:
        return {**told, "status": ended.status}
    except BaseException as error:
        return {**told, "error": raised(error)}


def try_input(job: dict[str, Any], seeds: Path, work: Path) -> dict[str, Any]:
    """One input; `surface` alone: the valid one."""
    given = Input.of(job["input"]) if job.get("input") else None
    name = given.surface if given else job["surface"]
    limits = Limits(**job.get("limits", {}))
    folder, canary = work / "in", work / "canary"
    shutil.rmtree(folder, ignore_errors=True)
    copied(build(SURFACES[name].seed, seeds), folder)
    os.environ[CANARY] = str(canary)
    os.environ["XDG_CACHE_HOME"] = str(work / "in" / ".cache")
    ended = forked(lambda: attempt(given, name, folder), folder, work / "out", limits)
    verdict = judge(ended, limits, canary.exists())
    if canary.is_dir():
        shutil.rmtree(canary)
    canary.unlink(missing_ok=True)
    seconds = round(ended.seconds, 3)
    return {"id": given.id if given else name, "seconds": seconds, **asdict(verdict)}


def build_seeds(job: dict[str, Any], seeds: Path, work: Path) -> dict[str, Any]:
    """Every seed that is named, in a process of its own."""
    failed = {}
    for name in job["seeds"]:
        limits = Limits(cpu=400, wall=600, idle=60)
        seeds.mkdir(parents=True, exist_ok=True)
        ended = forked(lambda name=name: str(build(name, seeds)), seeds, work / "out", limits)
        if not (seeds / name).is_dir():
            failed[name] = f"{ended.value} {ended.output[-2000:]}"
    return {"failed": failed}


def serve(seeds: Path, work: Path) -> None:
    """Jobs from standard input until it ends."""
    os.environ.update(SILENT)
    preload()
    from fire import attacks, kills

    doing = {"input": try_input, "seeds": build_seeds, "kill": kills.run, "attack": attacks.run}
    answers = os.fdopen(os.dup(1), "w")
    work.mkdir(parents=True, exist_ok=True)
    for line in sys.stdin:
        job = json.loads(line)
        try:
            result = doing[job["do"]](job, seeds, work)
        except Exception as error:
            told = f"{type(error).__name__}: {error}"
            result = {"id": job.get("id", job.get("input", "")), "kind": "harness", "how": told}
        answers.write(json.dumps({**result, "job": job["number"]}) + "\n")
        answers.flush()


class Pool:
    """Some processes that do jobs, and a folder that they work in."""

    def __init__(self, folder: Path, processes: int = 2, patience: float = 300.0) -> None:
        self.seeds, self.folder, self.patience = folder / "seeds", folder, patience
        self._started = [self._start(number) for number in range(processes)]

    def prepare(self) -> None:
        """Make all seeds. Raises RuntimeError where one cannot be made."""
        (result,) = self.do([{"do": "seeds", "seeds": [*SEEDS]}], patience=900)
        if result.get("failed") or result.get("kind") == "harness":
            raise RuntimeError(f"seeds that cannot be made: {result}")

    def do(
        self, jobs: Sequence[dict[str, Any]], patience: float | None = None
    ) -> Iterator[dict[str, Any]]:
        """The result of each job, in the order in which they end."""
        waiting: Queue[dict[str, Any]] = Queue()
        for number, job in enumerate(jobs):
            waiting.put({**job, "number": number})
        done: Queue[dict[str, Any]] = Queue()
        for number in range(min(len(self._started), len(jobs))):
            threading.Thread(target=self._work, args=(number, waiting, done), daemon=True).start()
        for _ in jobs:
            yield done.get(timeout=patience or self.patience)

    def close(self) -> None:
        for process in self._started:
            _end(process)

    def __enter__(self) -> Pool:
        return self

    def __exit__(self, *_) -> None:
        self.close()

    def _work(self, number: int, waiting: Queue, done: Queue) -> None:
        while True:
            try:
                job = waiting.get_nowait()
            except Empty:
                return
            process = self._started[number]
            assert process.stdin is not None
            assert process.stdout is not None
            try:
                process.stdin.write(json.dumps(job) + "\n")
                process.stdin.flush()
                line = process.stdout.readline()
                done.put(json.loads(line))
            except (OSError, ValueError) as error:
                identity = job.get("id", job.get("input", ""))
                told = f"the process of jobs ended: {error}"
                done.put({"id": identity, "kind": "harness", "how": told, "job": job["number"]})
                _end(process)
                self._started[number] = self._start(number)

    def _start(self, number: int) -> subprocess.Popen:
        work = self.folder / f"work-{number}-{time.monotonic_ns()}"
        code = "import sys; from pathlib import Path; from fire.engine import serve; "
        code += f"serve(Path({str(self.seeds)!r}), Path({str(work)!r}))"
        source = [str(TESTS), *(p for p in sys.path if p)]
        return subprocess.Popen(
            [sys.executable, "-c", code],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **SILENT, "PYTHONPATH": os.pathsep.join(source)},
        )


def _end(process: subprocess.Popen) -> None:
    process.kill()
    process.wait()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            with contextlib.suppress(OSError):
                pipe.close()


# the registries are filled by importing what registers
from fire import families, mutations, surfaces  # noqa: E402

_ = (families, mutations, surfaces)

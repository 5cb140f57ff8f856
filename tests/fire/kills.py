"""Commands stopped before a file event, or at a moment, and called again.

What must hold: the same call again ends well; then tables and JSON are those of a call that nobody
disturbed; no visible file was ever half written; none is left that no undisturbed call makes; and
Ctrl-C ends with 130, without a traceback.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import sys
from pathlib import Path
from typing import Any

from fire.commands import COMMANDS, Command, partials, snapshot
from fire.forked import Ended, Limits, forked
from fire.seeds import build, command

PATIENT = Limits(space=16 << 30, cpu=300, wall=300.0, idle=60.0)
_EVENTS = ("os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.link", "os.symlink", "os.truncate")
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


def plan(n: int, seed: int, moments: bool = True) -> list[dict[str, Any]]:
    """`n` kills over all commands, most before a file event; where, as a share of the whole.

    With `moments`, three of ten at a moment instead, where no two tries are the same.
    """
    rng = random.Random(seed)
    names = sorted(COMMANDS)
    found = []
    for number in range(n):
        name = names[number % len(names)]
        mode = "time" if rng.random() < 0.3 and moments else "event"
        word = rng.choice(("KILL", "KILL", "TERM", "INT"))
        # the last events decide what counts
        share = rng.random() if rng.random() < 0.6 else 1 - 0.3 * rng.random()
        found.append({"do": "kill", "id": f"{name}::{word}::{mode}::{share:.4f}"})
    return found


def run(job: dict[str, Any], seeds: Path, work: Path) -> dict[str, Any]:
    """One kill, and what came of it."""
    name, word, mode, share = job["id"].split("::")
    asked, number = COMMANDS[name], signal.Signals[f"SIG{word}"]
    known = reference(asked, seeds, work)
    folder = _fresh(asked, seeds, work)
    if mode == "event":
        at = 1 + int(float(share) * known["events"])
        first = play(asked, folder, work, event=(at, number))
        where = f"event {at} of {known['events']}"
    else:
        seconds = float(share) * known["seconds"]
        first = play(asked, folder, work, kill_at=(seconds, number))
        where = f"after {seconds:.2f} of {known['seconds']:.2f} s"
    faults = _faults(asked, first, number)
    left = forked(lambda: look(asked, folder), folder, work / "out", PATIENT).value
    torn = [place for place, digest in left["files"].items() if digest.startswith("unreadable")]
    if torn:
        faults.append(("half written", ", ".join(torn)))
    if asked.change:
        asked.change(folder)
    again = play(asked, folder, work)
    after = forked(lambda: look(asked, folder), folder, work / "out", PATIENT).value
    faults += _compared(asked, known, again, after["files"])
    return {
        "id": job["id"],
        "kind": faults[0][0] if faults else "fine",
        "place": name,
        "what": f"{word} {where}",
        "how": "; ".join(f"{kind}: {how}" for kind, how in faults)[:400],
        "seconds": round(first.seconds + again.seconds, 2),
        "partials": len(after["partials"]),
    }


def play(asked: Command, folder: Path, work: Path, event=None, kill_at=None, extra=()) -> Ended:
    """The command in a process of its own, which may be stopped."""
    os.environ["XDG_CACHE_HOME"] = str(folder / ".cache")

    def work_in_child() -> dict[str, int]:
        counted = _count(folder, *(event or (0, 0)))
        status = command(*asked.arguments, *extra)
        return {"status": status, "events": counted()}

    return forked(work_in_child, folder, work / "out", PATIENT, kill_at)


def _count(folder: Path, at: int, number: int):
    """Count what changes files below `folder`; before the event `at`, send the signal."""
    seen = 0
    root = str(folder)

    def hook(name: str, arguments: tuple) -> None:
        nonlocal seen
        if name == "open":
            path, mode, flags = arguments
            writes = flags & _WRITES if isinstance(flags, int) else set(str(mode)) & set("wax+")
            if not writes:
                return
        elif name not in _EVENTS:
            return
        path = arguments[0]
        if isinstance(path, int):
            return
        if not os.path.abspath(os.fsdecode(path)).startswith(root):
            return
        seen += 1
        if seen == at:
            os.kill(os.getpid(), number)

    sys.addaudithook(hook)
    return lambda: seen


def _fresh(asked: Command, seeds: Path, work: Path) -> Path:
    folder = work / "in"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(build(asked.seed, seeds), folder)
    return folder


def look(asked: Command, folder: Path) -> dict[str, Any]:
    result = folder / asked.result
    return {"files": snapshot(result, folder), "partials": partials(folder)}


def reference(asked: Command, seeds: Path, work: Path) -> dict[str, Any]:
    """What an undisturbed call makes, in how many events; with changed inputs, if they change."""
    kept = seeds / f"reference.{asked.name}.json"
    if kept.is_file():
        return json.loads(kept.read_text())
    folder = _fresh(asked, seeds, work)
    if asked.change:
        asked.change(folder)
    ended = play(asked, folder, work)
    if not ended.value or ended.value.get("status") != 0:
        raise RuntimeError(f"{asked.name} undisturbed: {ended.value} {ended.output[-500:]}")
    files = forked(lambda: look(asked, folder), folder, work / "out", PATIENT).value["files"]
    known = {"files": files, "events": ended.value["events"], "seconds": ended.seconds}
    partial = kept.with_suffix(f".{os.getpid()}")
    partial.write_text(json.dumps(known))
    partial.rename(kept)
    return known


def _faults(asked: Command, first: Ended, number: int) -> list[tuple[str, str]]:
    """What is wrong with how the call ended that was stopped."""
    if first.limit:
        return [("hang", f"it had to be stopped after {first.seconds:.0f} s")]
    if "Traceback (most recent" in first.output or "panicked at" in first.output:
        return [("traceback", " / ".join(first.output.strip().splitlines()[-6:]))]
    if number == signal.SIGINT and not first.signal:
        status = (first.value or {}).get("status")
        if status not in (0, 130):
            return [("ctrl-c", f"status {status}, {first.value}")]
    return []


def _compared(
    asked: Command, known: dict[str, Any], again: Ended, files: dict[str, str]
) -> list[tuple[str, str]]:
    status = (again.value or {}).get("status")
    refused = status == 1 and again.output.strip().splitlines()[-1].startswith("saematch: ")
    # an export that was complete before the kill is one that is there
    complete = asked.name == "export" and files == known["files"]
    if refused and (asked.change or complete):
        return []
    if status != 0:
        last = (again.output.strip().splitlines() or [""])[-1]
        return [("again fails", f"status {status}: {last}")]
    differ = sorted(p for p in known["files"] if files.get(p) != known["files"][p])
    stray = sorted(files.keys() - known["files"].keys())
    found = []
    if differ:
        found.append(("differs", ", ".join(differ)))
    if stray:
        found.append(("stray files", ", ".join(stray)))
    return found

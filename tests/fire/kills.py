"""Commands stopped before their k-th file event, or at a moment, and called again.

Whatever stops a command, the same command afterwards ends well, with the tables and run.json of one
that was never stopped (but for dates), and nothing half-written is visible in between.
"""

from __future__ import annotations

import builtins
import json
import os
import random
import re
import shutil
import signal
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fire.engine import FINDING, FINE, Verdict, build_apart
from fire.forked import Ended, Limits, forked
from fire.registry import SEPARATOR
from fire.seeds import build, command, must, seed

LIMITS = Limits(space=16 << 30, grown=4 << 30, cpu=300, wall=300, idle=60)
_SAES = [f"saes/resid_post_{layer}" for layer in range(3)]
_INTERVENED = (
    *("--model", "saematch:model", "--text", "a.jsonl", "--length", "24", "--after", "3"),
    *("--examples", "4", "--fit-examples", "4", "--whole-tracks", "2", "--windows", "1"),
)
# by name: the seed it starts from, its arguments, and what it writes
COMMANDS: dict[str, tuple[str, tuple[str, ...], str]] = {
    "match": ("run", ("match", *_SAES[:2], "-o", "new", "-q"), "new"),
    "flow": ("run", ("flow", *_SAES, "-o", "new", "-q"), "new"),
    "compare": ("run", ("compare", *_SAES[:2], "-o", "new", "--any-site", "-q"), "new"),
    "relate": ("run", ("relate", "run", "--activations", "store", "-q"), "run"),
    "match --overwrite": ("run", ("match", *_SAES[:2], "-o", "run", "--overwrite", "-q"), "run"),
    "relate --overwrite": (
        "run",
        ("relate", "related", "--activations", "store", "--top-k", "3", "--overwrite", "-q"),
        "related",
    ),
    "export --overwrite": ("export", ("explore", "run", "--export", "site", "--overwrite"), "site"),
    "export": ("run", ("explore", "run", "--export", "site"), "site"),
    "label": ("labelled", ("label", "run", "a.jsonl", "b.jsonl", "-q"), "run"),
    "label --overwrite": (
        "labelled",
        ("label", "labelled", "b.jsonl", "--overwrite", "-q"),
        "labelled",
    ),
    "plot": ("run", ("plot", "run", "-o", "figures"), "figures"),
    "trace --export": (
        "run",
        ("trace", "run", "resid_post_1", "3", "--export", "a.json"),
        "a.json",
    ),
    "capture": (
        "shipped",
        ("capture", "saematch:resid_post_0", "--model", "saematch:model", "--text", "a.jsonl",
         "--length", "16", "-o", "acts", "-q"),
        "acts",
    ),
    "evaluate": (
        "evaluated",
        ("evaluate", "run", "--model", "saematch:model", "--text", "a.jsonl", "--examples", "3",
         "--fit-examples", "3", "--length", "16", "-q"),
        "run",
    ),
    "evaluate, its texts changed": (
        "evaluated",
        ("evaluate", "run", "--model", "saematch:model", "--text", "a.jsonl", "--text", "b.jsonl",
         "--examples", "3", "--fit-examples", "3", "--length", "16", "-q"),
        "run",
    ),
    "intervene": (
        "evaluated",
        ("intervene", "run", *_INTERVENED, "--features", "3", "--substituted", "2", "-q"),
        "run",
    ),
    "intervene --overwrite": (
        "causes",
        ("intervene", "run", *_INTERVENED, "--features", "4", "--substituted", "2", "--overwrite",
         "-q"),
        "run",
    ),
    "dashboard": (
        "evaluated",
        ("dashboard", "run", "--model", "saematch:model", "--text", "a.jsonl", "--length", "24",
         "-q"),
        "run",
    ),
    "circuit": (
        "evaluated",
        ("circuit", "run", "--model", "saematch:model", "--prompt", "import numpy", "-q"),
        "run",
    ),
    "circuit --overwrite": (
        "circuits",
        ("circuit", "run", "--model", "saematch:model", "--prompt", "import numpy",
         "--nodes", "0.5", "--overwrite", "-q"),
        "run",
    ),
    "steer --sweep": (
        "evaluated",
        ("steer", "run", "2_7", "--model", "saematch:model", "--sweep", "1", "--along", "layer",
         "--prompt", "The", "--tokens", "3", "-q"),
        "run",
    ),
    "steer --sweep --overwrite": (
        "swept",
        ("steer", "run", "2_7", "--model", "saematch:model", "--sweep", "2", "--along", "layer",
         "--prompt", "The", "--tokens", "3", "--overwrite", "-q"),
        "run",
    ),
}  # fmt: skip
# by name: what happens between a kill and the same command; it may then be refused too
CHANGES: dict[str, Callable[[Path], object]] = {
    "evaluate, its texts changed": lambda folder: shutil.copyfile(
        folder / "c.jsonl", folder / "b.jsonl"
    ),
}


@seed("shipped")
def _shipped(folder: Path) -> None:
    lines = [
        f"The {n} rivers run to the sea, and {n + 1} come back to the hills." for n in range(9)
    ]
    texts = {
        "a": lines,
        "b": [line.replace("sea", "old mill") for line in lines[::-1]],
        "c": [line.replace("rivers", "roads of the country") for line in lines],
    }
    for name, some in texts.items():
        rows = [json.dumps({"text": line}) for line in some]
        (folder / f"{name}.jsonl").write_text("\n".join(rows), encoding="utf-8")


@seed("evaluated")
def _evaluated(folder: Path) -> None:
    _shipped(folder)
    os.chdir(folder)
    names = ("saematch:resid_post_2", "saematch:resid_post_3")
    if command("match", *names, "-o", "run", "-q"):
        raise RuntimeError("the run to evaluate was not made")


@seed("circuits")
def _circuits(folder: Path) -> None:
    _evaluated(folder)
    for prompt in ("import numpy", "the river"):
        must("circuit", "run", "--model", "saematch:model", "--prompt", prompt, "-q")


@seed("causes")
def _causes(folder: Path) -> None:
    _evaluated(folder)
    must("intervene", "run", *_INTERVENED, "--features", "3", "--substituted", "2", "-q")


@seed("swept")
def _swept(folder: Path) -> None:
    _evaluated(folder)
    asked = ("--model", "saematch:model", "--along", "layer", "--prompt", "The", "--tokens", "3")
    for feature in ("2_7", "3_9"):
        must("steer", "run", feature, *asked, "--sweep", "1", "-q")


@seed("labelled")
def _labelled(folder: Path) -> None:
    shutil.copytree(build("run", folder.parent) / "run", folder / "run")
    os.chdir(folder)
    for name, said in (("a", "rivers"), ("b", "roads")):
        rows = [
            json.dumps({"site": f"resid_post_{n % 3}", "feature": n, "label": f"{said} {n}"})
            for n in range(12)
        ]
        Path(f"{name}.jsonl").write_text("\n".join(rows), encoding="utf-8")
    shutil.copytree("run", "labelled")
    must("label", "labelled", "a.jsonl", "-q")


@dataclass(frozen=True)
class Kill:
    """A command, what it is sent, and before which of its file events; before none: when."""

    name: str
    signal: int
    event: int
    share: float = 0.0  # of the time that the command takes undisturbed

    @property
    def id(self) -> str:
        word = signal.Signals(self.signal).name
        return SEPARATOR.join(("kill", self.name, word, f"{self.share:.3f}-{self.event}"))

    @classmethod
    def of(cls, identity: str) -> Kill:
        """The kill of an id. Raises ValueError where there is none."""
        _, name, word, where = identity.split(SEPARATOR)
        share, event = where.split("-")
        if name not in COMMANDS:
            raise ValueError(f"{identity}: no such command")
        return cls(name, int(signal.Signals[word]), int(event), float(share))


def plan_kills(n: int, seed: int, seeds: Path) -> list[Kill]:
    """`n` kills, spread over commands, their events (or moments, one in four) and three signals."""
    rng = random.Random(seed)
    whole = {name: _undisturbed(name, seeds) for name in COMMANDS}
    found = []
    while len(found) < n:
        for name in COMMANDS:
            events = whole[name]["events"]
            sent = rng.choice((signal.SIGKILL, signal.SIGKILL, signal.SIGTERM, signal.SIGINT))
            if rng.random() < 0.25 or not events:
                found.append(Kill(name, int(sent), 0, round(rng.random(), 3)))
            else:
                found.append(Kill(name, int(sent), rng.randrange(1, events + 1)))
    return found[:n]


def killed(one: Kill, seeds: Path) -> Verdict:
    """Stop a command, look at what is left, call it again, and compare."""
    start, arguments, place = COMMANDS[one.name]
    whole = _undisturbed(one.name, seeds)
    with tempfile.TemporaryDirectory(prefix="fire-") as home:
        folder = Path(home) / "here"
        shutil.copytree(build_apart(start, seeds), folder)
        os.environ["XDG_CACHE_HOME"] = str(Path(home) / "cache")
        moment = None if one.event else (one.share * whole["seconds"], one.signal)
        first = _called(arguments, folder, _Stop(one.event, one.signal), moment)
        wrong = _ended(first, one) or _left(folder / place)
        if wrong is None:
            again = arguments
            if one.name == "export" and (folder / place / "saematch-export.json").is_file():
                again = (*arguments, "--overwrite")  # it was whole already
            if one.name in CHANGES:
                CHANGES[one.name](folder)
            second = _called(again, folder, None)
            status = (second.value or {}).get("status")
            if status == 1 and one.name in CHANGES and "Traceback" not in second.output:
                return Verdict(one.id, FINE, "refused")
            wrong = None if status == 0 else f"the same again: {status}, {second.output[-300:]}"
        wrong = wrong or _differs(whole["files"], snapshot(folder / place))
    return Verdict(one.id, FINDING if wrong else FINE, (wrong or "")[:100], one.name, wrong or "")


def snapshot(place: Path) -> dict[str, Any]:
    """Visible files and what is in them, but for dates and times."""
    files = [place] if place.is_file() else sorted(p for p in place.rglob("*") if p.is_file())
    found = {}
    for file in files:
        name = file.name if file == place else file.relative_to(place).as_posix()
        if any(part.startswith(".") for part in name.split("/")) and name != ".nojekyll":
            continue
        content = file.read_bytes()
        if file.suffix == ".json":
            content = re.sub(rb'"\d{4}-\d\d-\d\dT[^"]+"|"seconds": [-\d.e]+', b'""', content)
        if name.endswith(("run/explorer/index.json", "saematch-export.json")):
            content = b""  # digests and sizes of what has dates
        if file.suffix == ".html" and "figures" in str(place):
            content = re.sub(rb"[0-9a-f]{8}-[0-9a-f-]{27}", b"", content)
        found[name] = content
    return found


class _Stop:
    """Counts the events that change files, and sends a signal before the k-th."""

    def __init__(self, event: int, number: int) -> None:
        self.left, self.number, self.seen = event, number, 0

    def __enter__(self) -> _Stop:
        for module, name in ((os, "replace"), (os, "rename"), (os, "unlink"), (os, "mkdir")):
            setattr(module, name, self._counted(getattr(module, name)))
        opening = builtins.open

        def opened(file, mode="r", *rest, **more):
            if isinstance(mode, str) and set(mode) & set("wax+"):
                self._event()
            return opening(file, mode, *rest, **more)

        builtins.open = opened
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
            os.kill(os.getpid(), self.number)


def _called(
    arguments: tuple[str, ...],
    folder: Path,
    stop: _Stop | None,
    moment: tuple[float, int] | None = None,
) -> Ended:
    def work() -> dict[str, int]:
        with stop or _Stop(0, 0) as counting:
            status = command(*arguments)
        return {"status": status, "events": counting.seen}

    return forked(work, folder, folder.parent / "out", LIMITS, moment)


def _undisturbed(name: str, seeds: Path) -> dict[str, Any]:
    """How many events a command has, how long it takes, and what it leaves; found once."""
    kept = seeds / "undisturbed" / name.replace(" ", "_")
    if not (kept / "events.json").is_file():
        start, arguments, place = COMMANDS[name]
        shutil.rmtree(kept, ignore_errors=True)
        kept.mkdir(parents=True)
        shutil.copytree(build_apart(start, seeds), kept / "here")
        os.environ["XDG_CACHE_HOME"] = str(kept / "cache")
        if name in CHANGES:
            CHANGES[name](kept / "here")
        ended = _called(arguments, kept / "here", None)
        if (ended.value or {}).get("status") != 0:
            raise RuntimeError(f"{name} fails undisturbed: {ended.value} {ended.output[-1000:]}")
        told = {**ended.value, "seconds": ended.seconds}
        (kept / "events.json").write_text(json.dumps(told))
        (kept / "place").write_text(place)
    told = json.loads((kept / "events.json").read_text())
    return {**told, "files": snapshot(kept / "here" / COMMANDS[name][2])}


def _ended(first: Ended, one: Kill) -> str | None:
    """Whether a command that was stopped ended as it should."""
    if "Traceback" in first.output:
        return f"a traceback: {first.output[-200:]}"
    status = (first.value or {}).get("status")
    if one.signal == signal.SIGINT and status not in (0, 130):
        return f"Ctrl-C ended with {status}"
    if one.signal != signal.SIGINT and first.signal not in (0, one.signal):
        return f"ended by {first.signal}"
    return None


def _left(place: Path) -> str | None:
    """What is wrong with what a stopped command left."""
    files = [place] if place.is_file() else [p for p in place.rglob("*") if p.is_file()]
    for file in files:
        if file.name.startswith(".") or any(part.startswith(".") for part in file.parts):
            continue
        if file.suffix == ".json":
            try:
                json.loads(file.read_text())
            except ValueError:
                return f"half-written {file.name}"
        if file.suffix == ".parquet" and file.read_bytes()[-4:] != b"PAR1":
            return f"half-written {file.name}"
    return None


def _differs(whole: dict[str, Any], there: dict[str, Any]) -> str | None:
    if missing := sorted(whole.keys() - there.keys()):
        return f"missing afterwards: {', '.join(missing)[:200]}"
    if more := sorted(there.keys() - whole.keys()):
        return f"left over: {', '.join(more)[:200]}"
    changed = [name for name in whole if whole[name] != there[name]]
    return f"other content: {', '.join(changed)[:200]}" if changed else None

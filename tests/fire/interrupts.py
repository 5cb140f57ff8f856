"""Commands stopped before a file event, or at a moment, and called again.

Whatever stops a command, it leaves no process and nothing half-written, what is there can be read,
and the same command afterwards ends well, with the tables and run.json of one that was never
stopped (but for dates), alone and on a cluster.
"""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import signal
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fire import left
from fire.commands import CHANGES, COMMANDS, SCHEDULER, Command, addressed
from fire.engine import FINDING, FINE, NONE, Verdict, build_apart
from fire.forked import Ended, Limits, forked
from fire.registry import SEPARATOR
from fire.seeds import command
from fire.servers import Crew, cluster
from fire.stops import (
    CTRL_C,
    FULL,
    KILL,
    KINDS,
    LOST,
    TERM,
    WORKER,
    Before,
    Stop,
    emptied,
    small_disk,
    stopping,
)

LIMITS = Limits(space=16 << 30, grown=4 << 30, cpu=300, wall=1800, idle=90)
SURVIVED, REFUSED = "survived", "refused plainly"
# Python tells so of Ctrl-C in the moment in which it discards an object, whatever the command does
_IN_A_FINALIZER = re.compile(r"(?ms)^Exception ignored in.*?^KeyboardInterrupt")
_MOMENTS = 0.25  # share of interrupts that come at a moment rather than before a file event


@dataclass(frozen=True)
class Interrupt:
    """A command, what stops it, and where: at a share of its file events, or of its time."""

    name: str
    kind: str
    at: str  # event or moment
    share: float

    @property
    def id(self) -> str:
        where = f"{self.at} {self.share:.3f}"
        return SEPARATOR.join(("interrupt", self.name, self.kind, where))

    @classmethod
    def of(cls, identity: str) -> Interrupt:
        """The interrupt of an id. Raises ValueError where there is none."""
        _, name, kind, where = identity.split(SEPARATOR)
        at, share = where.split(" ")
        if name not in COMMANDS or kind not in KINDS:
            raise ValueError(f"{identity}: no such command, or nothing that stops one")
        return cls(name, kind, at, float(share))


def plan_interrupts(n: int, seed: int, only: str = "") -> list[Interrupt]:
    """`n` interrupts: all commands in turn, each by all that may stop it in turn.

    Args:
        n: how many.
        seed: of what is drawn: the order, and where each comes.
        only: names of commands, divided by |, `alone` or `cluster` for all of those; all unless
            given.
    """
    rng = random.Random(seed)
    wanted = {*only.split("|")} if only else {"alone", "cluster"}
    names = [
        name
        for name, its in COMMANDS.items()
        if {name, "cluster" if its.on_cluster else "alone"} & wanted
    ]
    if not names:
        raise ValueError(f"--only {only}: no command of that name")
    kinds = {name: _in_turn(_kinds(COMMANDS[name]), rng) for name in names}
    order = _in_turn(names, rng)
    found = []
    for _ in range(n):
        name = next(order)
        at = "moment" if rng.random() < _MOMENTS else "event"
        found.append(Interrupt(name, next(kinds[name]), at, round(rng.random(), 3)))
    return found


def interrupted(one: Interrupt, seeds: Path) -> Verdict:
    """Stop a command, look at what is left, call it again, and compare."""
    if one.kind == FULL and os.geteuid():
        return Verdict(one.id, NONE)
    its = COMMANDS[one.name]
    whole = undisturbed(one.name, seeds)
    with tempfile.TemporaryDirectory(prefix="fire-") as made, ExitStack() as stack:
        home, folder = Path(made), Path(made) / "here"
        folder.mkdir()
        if one.kind == FULL:
            stack.enter_context(small_disk(folder))
        shutil.copytree(build_apart(its.start, seeds), folder, dirs_exist_ok=True)
        os.environ["XDG_CACHE_HOME"] = str(home / "cache")
        crew = stack.enter_context(cluster(home)) if SCHEDULER in its.arguments else None
        stop = stopping(one.kind, folder, crew)
        if one.at == "event":
            event = 1 + int(one.share * whole["events"])
            first = _called(its.arguments, folder, crew, Before(event, stop))
        else:
            first = _called(its.arguments, folder, crew, at=(one.share * whole["seconds"], stop))
        wrong = _ended(first, one.kind) or left.half_written(folder / its.place)
        if wrong is None and one.kind not in (KILL, TERM):
            wrong = left.partial(folder / its.place)
        wrong = wrong or _unreadable(folder, its.place)
        emptied(folder)
        if wrong is None:
            refused, wrong = _again(one.name, folder, crew)
            if refused:
                return Verdict(one.id, FINE, REFUSED)
            wrong = wrong or left.differs(whole["files"], left.snapshot(folder / its.place))
    if wrong is None:
        return Verdict(one.id, FINE, SURVIVED, seconds=first.seconds)
    return Verdict(one.id, FINDING, wrong[:100], one.name, f"{wrong} | {first.output[-300:]}")


def undisturbed(name: str, seeds: Path) -> dict[str, Any]:
    """How many events a command has, how long it takes, and what it leaves alone; found once."""
    kept, its = seeds / "undisturbed" / name.replace(" ", "_"), COMMANDS[name]
    if not (kept / "events.json").is_file():
        shutil.rmtree(kept, ignore_errors=True)
        kept.mkdir(parents=True)
        shutil.copytree(build_apart(its.start, seeds), kept / "here")
        os.environ["XDG_CACHE_HOME"] = str(kept / "cache")
        if name in CHANGES:
            CHANGES[name](kept / "here")
        with ExitStack() as stack:
            crew = stack.enter_context(cluster(kept)) if SCHEDULER in its.arguments else None
            ended = _called(its.arguments, kept / "here", crew)
        if (ended.value or {}).get("status") != 0:
            raise RuntimeError(f"{name} fails undisturbed: {ended.value} {ended.output[-1000:]}")
        (kept / "events.json").write_text(json.dumps({**ended.value, "seconds": ended.seconds}))
    told = json.loads((kept / "events.json").read_text())
    if its.alone is not None:
        return {**told, "files": undisturbed(its.alone, seeds)["files"]}
    return {**told, "files": left.snapshot(kept / "here" / its.place)}


def table(verdicts: Sequence[dict[str, Any]]) -> list[str]:
    """What became of interrupts, by command and kind; nothing where there were none."""
    cells: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    for verdict in verdicts:
        parts = verdict["id"].split(SEPARATOR)
        if parts[0] != "interrupt":
            continue
        became = "FINDING" if verdict["verdict"] == FINDING else verdict["kind"]
        for row in (parts[1], "all"):
            for column in (parts[2], "all"):
                cells[row, column][became] += 1
    if not cells:
        return []
    rows = [*(name for name in COMMANDS if (name, "all") in cells), "all"]
    columns = [*KINDS, "all"]
    lines = [f"| {SURVIVED} | {' | '.join(columns)} |", "|---" * (1 + len(columns)) + "|"]
    for row in rows:
        told = [_cell(cells[row, column]) for column in columns]
        lines.append(f"| {row} | {' | '.join(told)} |")
    return lines


def _cell(counts: Counter[str]) -> str:
    others = [f"{n} {became}" for became, n in counts.items() if became != SURVIVED]
    return ", ".join([str(counts[SURVIVED])] * bool(counts[SURVIVED]) + others)


def _kinds(its: Command) -> list[str]:
    found = [KILL, TERM, CTRL_C, FULL]
    if its.on_cluster:
        found.append(WORKER)
    if SCHEDULER in its.arguments:
        found.append(LOST)
    return found


def _in_turn(some: Sequence[str], rng: random.Random) -> Iterator[str]:
    """All of them in a random order, again and again."""
    while True:
        yield from rng.sample(some, len(some))


def _called(
    arguments: Sequence[str],
    folder: Path,
    crew: Crew | None,
    before: Before | None = None,
    at: tuple[float, Stop] | None = None,
) -> Ended:
    given = addressed(arguments, crew.address if crew else "")

    def work() -> dict[str, int]:
        with before or Before() as counting:
            status = command(*given)
        return {"status": status, "events": counting.seen}

    return forked(work, folder, folder.parent / "out", LIMITS, at)


def _ended(first: Ended, kind: str) -> str | None:
    """Whether a command that was stopped ended as it should, with all that it started."""
    status, lines = (first.value or {}).get("status"), first.output.strip().splitlines()
    if "Traceback" in _IN_A_FINALIZER.sub("", first.output):
        return f"a traceback: {first.output[-200:]}"
    if first.left:
        return f"still there: {', '.join(first.left)}"
    if first.limit:
        return f"no end ({first.limit})"
    if kind in (KILL, TERM):
        allowed = {KILL: signal.SIGKILL, TERM: signal.SIGTERM}[kind]
        return None if status == 0 or first.signal == allowed else f"ended by {first.signal}"
    early = (first.value or {}).get("harness", "").startswith("KeyboardInterrupt")
    if status == 0 or (kind == CTRL_C and (status == 130 or early)):
        return None
    reasons = {FULL: ("No space left on device", "bytes are free"), LOST: ("scheduler",)}.get(kind)
    if status != 1 or reasons is None:
        return f"{kind} ended with {first.signal or status}"
    told = [line for line in lines if line.startswith("saematch: ")]
    plain = told == lines[-1:] and any(reason in told[0] for reason in reasons)
    return None if plain else f"not told plainly: {lines[-3:]}"


def _unreadable(folder: Path, place: str) -> str | None:
    """What is wrong with what a reader finds, in a process of its own."""
    ended = forked(lambda: {"wrong": left.read(Path(place))}, folder, folder.parent / "out", LIMITS)
    told = ended.value or {}
    return told.get("wrong") or told.get("harness") or (None if told else "a reader does not end")


def _again(name: str, folder: Path, crew: Crew | None) -> tuple[bool, str | None]:
    """The same command once more: whether it is refused plainly, where it may be; what is wrong."""
    its = COMMANDS[name]
    if name in CHANGES:
        CHANGES[name](folder)
    ended = _called(its.arguments, folder, crew)
    if its.beyond and (ended.value or {}).get("status") == 1 and its.beyond[0] in ended.output:
        ended = _called((*its.arguments, *its.beyond), folder, crew)
    status = (ended.value or {}).get("status")
    if status == 1 and name in CHANGES and len(ended.output.strip().splitlines()) == 1:
        return True, None
    if status == 1 and its.over and its.over in ended.output:
        return False, None
    if ended.limit:
        return False, f"the same again: no end ({ended.limit}), {ended.output[-300:]}"
    if ended.left:
        return False, f"still there afterwards: {', '.join(ended.left)}"
    return False, None if status == 0 else f"the same again: {status}, {ended.output[-300:]}"

"""Attacks that are made of every command that writes a run or an export of one."""

from __future__ import annotations

import re
import shutil
from functools import partial
from pathlib import Path

from fire.attacks import attack, run
from fire.commands import COMMANDS
from fire.forked import Ended, start
from fire.interrupts import LIMITS
from fire.left import snapshot
from fire.seeds import command

# by command: arguments that ask for something else in the same place
OTHERS = {
    "match": ("--method", "cosine"),
    "flow": ("--method", "cosine"),
    "compare": ("--cutoff", "0.5"),
    "relate": ("--top-k", "3"),
    "export": (),
}
# a refusal that tells that somebody else is at work, or was
_BY_NAME = re.compile(
    r"another|at work|being (written|made)|lock|in use|busy|otherwise|with other",
    re.IGNORECASE,
)


def _made(name: str, folder: Path) -> Path:
    """What the command makes, made before."""
    run(folder, *COMMANDS[name].arguments)
    return folder / COMMANDS[name].place


def _linked(name: str, extra: tuple[str, ...], folder: Path, victim: Path) -> str | None:
    """Each folder of the result in turn leads to one of the user's, with files of the user's."""
    arguments, kept = COMMANDS[name].arguments, folder.parent / "kept"
    _made(name, folder)
    folder.rename(kept)
    place = COMMANDS[name].place
    inner = sorted(p.relative_to(kept) for p in (kept / place).rglob("*") if p.is_dir())
    found = []
    for linked in inner:
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(kept, folder)
        other = folder / "other"
        (folder / linked).rename(other)
        for mine in ("mine.parquet", "my--data.parquet", "notes.txt"):
            (other / mine).write_text("mine")
        (folder / linked).symlink_to(other)
        before = snapshot(other)
        _, output = run(folder, *arguments, *extra)
        after = snapshot(other)
        if after != before:
            gone = sorted(before.keys() - after.keys())
            found.append(f"{linked}: {len(gone)} gone ({', '.join(gone[:3])}), others written")
        if "Traceback" in output:
            found.append(f"{linked}: a traceback")
    return "; ".join(found) or None


def _own_files(name: str, folder: Path, victim: Path) -> str | None:
    """Files of the user's beside the tables, when the command begins anew."""
    result = _made(name, folder)
    places = [result, *sorted(p for p in result.rglob("*") if p.is_dir())]
    names = ("my_notes.parquet", "my--data.parquet", "notes.txt", "a.json", ".hidden")
    mine = [place / file for place in places for file in names]
    for file in mine:
        file.write_text("mine")
    status, output = run(folder, *COMMANDS[name].arguments, *OTHERS[name], "--overwrite")
    lost = [p for p in mine if not p.is_file() or p.read_text() != "mine"]
    if lost:
        return "gone: " + ", ".join(p.relative_to(folder).as_posix() for p in lost)
    return None if status in (0, 1) and "Traceback" not in output else output[-200:]


def _together(name: str, others: bool, folder: Path, victim: Path) -> str | None:
    """Two at once; what ends with 0 has its result, and what is refused is told why."""
    arguments, place = COMMANDS[name].arguments, COMMANDS[name].place
    alone = folder.parent / "alone"
    shutil.copytree(folder, alone)
    run(alone, *arguments)
    calls = [(), OTHERS[name]] if others else [(), ()]
    begun = [
        start(partial(command, *arguments, *more), folder, folder.parent / f"out{i}", LIMITS)
        for i, more in enumerate(calls)
    ]
    ended = [one.end() for one in begun]
    found = [fault for one in ended if (fault := _untold(one))]
    well = {more for more, one in zip(calls, ended, strict=True) if one.value == 0}
    if len(well) > 1:
        found.append("both that asked for different results ended with 0")
    if not well:
        found.append("none ended well")
    if well == {()}:
        there = _unlike(alone / place, folder / place)
        if there:
            found.append(f"one ended with 0, and {', '.join(there)} are not what it makes alone")
    return "; ".join(found) or None


def _unlike(alone: Path, there: Path) -> list[str]:
    want, have = snapshot(alone), snapshot(there)
    return sorted(name for name in want if have.get(name) != want[name])


def _untold(one: Ended) -> str | None:
    lines = one.output.strip().splitlines() or [""]
    if one.value == 0:
        return None
    if one.value != 1 or "Traceback" in one.output:
        return f"ended with {one.value}: {lines[-1]}"
    return None if _BY_NAME.search(lines[-1]) else f"refused without saying why: {lines[-1]}"


for _name, _more in OTHERS.items():
    attack(f"every folder linked: {_name} --overwrite")(
        partial(_linked, _name, (*_more, "--overwrite"))
    )
    attack(f"every folder linked: {_name}")(partial(_linked, _name, ()))
    attack(f"own files: {_name}")(partial(_own_files, _name))
    attack(f"two at once: {_name}")(partial(_together, _name, False))
    if _more:
        attack(f"two others at once: {_name}")(partial(_together, _name, True))

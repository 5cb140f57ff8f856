"""Attacks on a user: folders that lead elsewhere, code in models, commands at once, a hostile net.

An attack is one function of a folder that is its own; it returns what went wrong, each in a line.
`linked`, `own files` and `together` are made of every command of `commands`.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from fire.commands import COMMANDS, Command
from fire.forked import Ended, forked, start
from fire.kills import PATIENT, look, play, reference
from fire.seeds import build, command


@dataclass(frozen=True)
class Place:
    """Where an attack happens: the seeds, and a folder of its own."""

    seeds: Path
    work: Path

    def fresh(self, seed: str) -> Path:
        folder = self.work / "in"
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(build(seed, self.seeds), folder)
        os.environ["XDG_CACHE_HOME"] = str(folder / ".cache")
        return folder


ATTACKS: dict[str, Callable[[Place], list[str]]] = {}
# a refusal that tells the user that somebody else is at work
_NAMES_THE_OTHER = re.compile(
    r"another|at work|being (written|made)|lock|in use|busy|running", re.I
)


def attack(name: str):
    """Decorator: a function of a `Place`."""

    def keep(function: Callable[[Place], list[str]]):
        ATTACKS[name] = function
        return function

    return keep


def run(job: dict[str, Any], seeds: Path, work: Path) -> dict[str, Any]:
    """One attack, and what it did."""
    done = ATTACKS[job["id"]](Place(seeds, work))
    kind = job["id"].split("::")[0]
    return {
        "id": job["id"],
        "kind": kind if done else "fine",
        "place": job["id"].split("::")[1],
        "how": "; ".join(done)[:1000],
        "count": len(done),
    }


def jobs() -> list[dict[str, Any]]:
    return [{"do": "attack", "id": name} for name in sorted(ATTACKS)]


def tree(folder: Path) -> dict[str, str]:
    """Every file and link below a folder, with a checksum."""
    found = {}
    for path in sorted(folder.rglob("*")):
        place = path.relative_to(folder).as_posix()
        if path.is_symlink():
            found[place] = f"link to {os.readlink(path)}"
        elif path.is_file():
            found[place] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found


def _changes(before: dict[str, str], after: dict[str, str]) -> list[str]:
    words = [f"{p} is gone" for p in before if p not in after]
    words += [f"{p} was written" for p in after if after[p] != before.get(p, after[p])]
    return words + [f"{p} is new" for p in after if p not in before]


def _made(asked: Command, at: Place) -> Path:
    """A folder in which the command has been called before."""
    folder = at.fresh(asked.seed)
    if not (folder / asked.result / "run.json").is_file() or asked.name == "evaluate":
        play(asked, folder, at.work)
    return folder


def _linked(asked: Command, extra: tuple[str, ...], at: Place) -> list[str]:
    """Each folder of the result in turn leads to a user's folder elsewhere."""
    folder = _made(asked, at)
    kept, found = at.work / "kept", []
    shutil.rmtree(kept, ignore_errors=True)
    folder.rename(kept)
    inner = sorted(p.relative_to(kept) for p in (kept / asked.result).rglob("*") if p.is_dir())
    for place in [Path(asked.result), *inner]:
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(kept, folder)
        victim = folder / "victim"
        (folder / place).rename(victim)
        for name in ("mine.parquet", "my--data.parquet", "notes.txt", "00009.parquet"):
            (victim / name).write_bytes(b"mine")
        if place == Path(asked.result):  # a run may lie elsewhere; what is in it is the user's
            continue
        (folder / place).symlink_to(victim)
        before = tree(victim)
        play(asked, folder, at.work, extra=extra)
        found += [f"{place}: {word}" for word in _changes(before, tree(victim))]
    return found


def _own_files(asked: Command, at: Place) -> list[str]:
    """A user's files lie beside the tables; the command is to begin anew."""
    folder = _made(asked, at)
    result = folder / asked.result
    places = [result, *sorted(p for p in result.rglob("*") if p.is_dir())]
    names = ("my_notes.parquet", "notes.txt", "a.json", ".hidden")
    mine = [place / name for place in places for name in names]
    for path in mine:
        path.write_bytes(b"mine")
    ended = play(asked, folder, at.work, extra=(*asked.others, "--overwrite"))
    lost = [p for p in mine if not p.is_file() or p.read_bytes() != b"mine"]
    found = [f"{path.relative_to(folder)} is gone" for path in lost]
    return found if (ended.value or {}).get("status") in (0, 1) else [*found, f"{ended.value}"]


def _together(asked: Command, number: int, others: bool, at: Place) -> list[str]:
    """The command several times at once; with `others`, every second asks for something else."""
    known = reference(asked, at.seeds, at.work)
    folder = at.fresh(asked.seed)
    calls = [asked.others if others and i % 2 else () for i in range(number)]
    started = [
        start(partial(_status, asked, extra), folder, at.work / f"out-{i}", PATIENT)
        for i, extra in enumerate(calls)
    ]
    ended = [process.end() for process in started]
    found = [fault for end in ended if (fault := _contradiction(end, others))]
    well = {calls[i] for i, end in enumerate(ended) if (end.value or {}).get("status") == 0}
    if not well:
        found.append("none ended well")
    if len(well) > 1:
        found.append("two that asked for different results both ended with 0")
    elif () in well:
        after = forked(lambda: look(asked, folder), folder, at.work / "out", PATIENT).value
        differ = sorted(p for p, d in known["files"].items() if after["files"].get(p) != d)
        if differ:
            found.append(f"one ended with 0, and {', '.join(differ)} differ")
    return found


def _status(asked: Command, extra: tuple[str, ...]) -> dict[str, int]:
    return {"status": command(*asked.arguments, *extra)}


def _contradiction(ended: Ended, others: bool) -> str | None:
    status = (ended.value or {}).get("status")
    lines = ended.output.strip().splitlines()
    if status == 0:
        return None
    if status != 1 or "Traceback" in ended.output or not lines[-1].startswith("saematch: "):
        return f"ended with {status or ended}: {lines[-1:]}"
    if _NAMES_THE_OTHER.search(lines[-1]) or (others and "made otherwise" in lines[-1]):
        return None
    return f"refused, but not by name: {lines[-1]}"


for _command in COMMANDS.values():
    if _command.change:
        continue
    if _command.overwrite:
        _extra = () if "--overwrite" in _command.arguments else ("--overwrite",)
        ATTACKS[f"linked::{_command.name}::overwrite"] = partial(
            _linked, _command, (*_command.others, *_extra)
        )
    if "--overwrite" not in _command.arguments:
        ATTACKS[f"linked::{_command.name}::plain"] = partial(_linked, _command, ())
    if _command.overwrite and _command.others:
        ATTACKS[f"linked::{_command.name}::others"] = partial(_linked, _command, _command.others)
        ATTACKS[f"own files::{_command.name}"] = partial(_own_files, _command)
        ATTACKS[f"together::{_command.name}::others"] = partial(_together, _command, 2, True)
    for _number in (2, 4):
        ATTACKS[f"together::{_command.name}::{_number}"] = partial(
            _together, _command, _number, False
        )


@attack("code::auto_map")
def _auto_map(at: Place) -> list[str]:
    """A model folder that names code of its own, and a user who says yes to every question."""
    import json

    folder, canary = at.fresh("model"), at.work / "canary"
    canary.unlink(missing_ok=True)
    program = f"open({str(canary)!r}, 'w')\nfrom transformers import GPT2Config as C\n"
    (folder / "model" / "evil.py").write_text(program)
    config = json.loads((folder / "model" / "config.json").read_text())
    config |= {"auto_map": {"AutoConfig": "evil.C"}, "model_type": "evil"}
    (folder / "model" / "config.json").write_text(json.dumps(config))
    return _opened(at, folder, canary)


@attack("code::kernels")
def _kernels(at: Place) -> list[str]:
    """A config that names compiled code on a hub as its attention."""
    import json

    found = []
    for field in ("_attn_implementation", "attn_implementation"):
        folder, canary = at.fresh("model"), at.work / "canary"
        canary.unlink(missing_ok=True)
        config = json.loads((folder / "model" / "config.json").read_text())
        config[field] = "org/kernels"
        (folder / "model" / "config.json").write_text(json.dumps(config))
        found += [f"{field}: {word}" for word in _opened(at, folder, canary, kernels=True)]
    return found


def _opened(at: Place, folder: Path, canary: Path, kernels: bool = False) -> list[str]:
    def opened() -> str:
        from saematch.activations.model import open_model
        from saematch.errors import SaematchError

        if kernels:
            from transformers.integrations import hub_kernels

            hub_kernels.load_and_register_attn_kernel = lambda *_, **__: canary.touch()
        try:
            open_model(str(folder / "model"))
        except SaematchError:
            return "refused"
        return "opened"

    ended = forked(opened, folder, at.work / "out", PATIENT)
    found = ["code of the model was run, or asked for"] if canary.exists() else []
    value = ended.value
    return [*found, f"{value}"] if value not in ("refused", "opened") else found


from fire import network  # noqa: E402

_ = network

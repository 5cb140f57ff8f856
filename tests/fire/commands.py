"""Every command that writes: what it starts from, how it is called, and what it makes."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from fire.seeds import build, command, must, seed

CHAT, SCHEDULER = "{chat}", "{scheduler}"  # addresses that are known when a command is called
CHAT_ADDRESS = "FIRE_CHAT"  # of the environment


@dataclass(frozen=True)
class Command:
    """A command that writes."""

    start: str  # the seed that it starts from
    arguments: tuple[str, ...]
    place: str  # what it writes
    beyond: tuple[str, ...] = ()  # what it asks for where its work was whole already
    over: str = ""  # what it is refused with where its work was whole already
    alone: str | None = None  # the command in one go, without help, whose files it must end with

    @property
    def on_cluster(self) -> bool:
        """Whether it shares its work out to processes."""
        return "--workers" in self.arguments or SCHEDULER in self.arguments


def addressed(arguments: Sequence[str], scheduler: str = "") -> list[str]:
    """Arguments with the addresses that are known now."""
    put = {CHAT: os.environ.get(CHAT_ADDRESS, ""), SCHEDULER: scheduler}
    return [put.get(one, one) for one in arguments]


_SAES = [f"saes/resid_post_{layer}" for layer in range(3)]
_MODEL = ("--model", "saematch:model")
_TEXTS = ("--examples", "3", "--fit-examples", "3", "--length", "16")
_INTERVENED = (
    *(*_MODEL, "--text", "a.jsonl", "--length", "24", "--after", "3", "--examples", "4"),
    *("--fit-examples", "4", "--whole-tracks", "2", "--windows", "1", "--substituted", "2"),
)
_JUDGED = (
    *("judge", "run", "--activations", "store", "--paths", "5", "--contexts", "2"),
    *("--yes", "-q"),
)
_ASKED = ("--judges", "firing,describe,choice", "--judge-model", "stub", "--base-url", CHAT)
_STEERED = (*_MODEL, "--along", "layer", "--prompt", "The", "--tokens", "3")
COMMANDS: dict[str, Command] = {
    "match": Command("run", ("match", *_SAES[:2], "-o", "new", "-q"), "new"),
    "flow": Command("run", ("flow", *_SAES, "-o", "new", "-q"), "new"),
    "compare": Command("run", ("compare", *_SAES[:2], "-o", "new", "--any-site", "-q"), "new"),
    "relate": Command("run", ("relate", "run", "--activations", "store", "-q"), "run"),
    "match --overwrite": Command(
        "run", ("match", *_SAES[:2], "-o", "run", "--overwrite", "-q"), "run"
    ),
    "relate --overwrite": Command(
        "run",
        ("relate", "related", "--activations", "store", "--top-k", "3", "--overwrite", "-q"),
        "related",
    ),
    "export": Command(
        "run", ("explore", "run", "--export", "site"), "site", beyond=("--overwrite",)
    ),
    "export --overwrite": Command(
        "export", ("explore", "run", "--export", "site", "--overwrite"), "site"
    ),
    "label": Command("labelled", ("label", "run", "a.jsonl", "b.jsonl", "-q"), "run"),
    "label --overwrite": Command(
        "labelled", ("label", "labelled", "b.jsonl", "--overwrite", "-q"), "labelled"
    ),
    "plot": Command("run", ("plot", "run", "-o", "figures"), "figures"),
    "trace --export": Command(
        "run", ("trace", "run", "resid_post_1", "3", "--export", "a.json"), "a.json"
    ),
    "capture": Command(
        "shipped",
        ("capture", "saematch:resid_post_{0-1}", *_MODEL, "--text", "a.jsonl",
         "--length", "16", "-o", "acts", "-q"),
        "acts",
    ),
    "evaluate": Command(
        "evaluated", ("evaluate", "run", *_MODEL, "--text", "a.jsonl", *_TEXTS, "-q"), "run"
    ),
    "evaluate, its texts changed": Command(
        "evaluated",
        ("evaluate", "run", *_MODEL, "--text", "a.jsonl", "--text", "b.jsonl", *_TEXTS, "-q"),
        "run",
    ),
    "judge": Command("run", (*_JUDGED, *_ASKED), "run"),
    "judge --overwrite": Command(
        "judged", (*_JUDGED, *_ASKED, "--seed", "1", "--overwrite"), "run"
    ),
    "intervene": Command(
        "evaluated", ("intervene", "run", *_INTERVENED, "--features", "3", "-q"), "run"
    ),
    "intervene --overwrite": Command(
        "causes", ("intervene", "run", *_INTERVENED, "--features", "4", "--overwrite", "-q"), "run"
    ),
    "dashboard": Command(
        "evaluated",
        ("dashboard", "run", *_MODEL, "--text", "a.jsonl", "--length", "24", "-q"),
        "run",
    ),
    "circuit": Command(
        "evaluated", ("circuit", "run", *_MODEL, "--prompt", "import numpy", "-q"), "run"
    ),
    "circuit --overwrite": Command(
        "circuits",
        ("circuit", "run", *_MODEL, "--prompt", "import numpy", "--nodes", "0.5", "--overwrite",
         "-q"),
        "run",
    ),
    "steer --sweep": Command(
        "evaluated", ("steer", "run", "2_7", *_STEERED, "--sweep", "1", "-q"), "run"
    ),
    "steer --sweep --overwrite": Command(
        "swept", ("steer", "run", "2_7", *_STEERED, "--sweep", "2", "--overwrite", "-q"), "run"
    ),
    "reproduce": Command(
        "shipped",
        ("reproduce", "sae-match", *_MODEL, "--saes", "saematch:resid_post_{2-4}",
         "--text", "a.jsonl", "--examples", "3", "--fit-examples", "4", "--length", "16",
         "--tokens", "60", "--reach", "1", "--paths", "3", "-o", "out", "-q"),
        "out",
    ),
}  # fmt: skip
# those that share their work out to processes, by how they are called
CLUSTERED = ("flow", "compare", "capture", "evaluate")
WAYS = {"--workers": ("--workers", "2"), "--scheduler": ("--scheduler", SCHEDULER)}
for _name in CLUSTERED:
    _alone = COMMANDS[_name]
    for _way, _more in WAYS.items():
        COMMANDS[f"{_name} {_way}"] = replace(
            _alone, arguments=(*_alone.arguments, *_more), alone=_name
        )
# those that can be divided without a scheduler, by how they are called
SHARDED = ("flow", "compare", "capture", "evaluate", "judge")
OF = 2  # shards
for _name in SHARDED:
    _alone = COMMANDS[_name]
    COMMANDS[f"{_name} --shard"] = replace(
        _alone,
        arguments=(*_alone.arguments, "--shard", f"{OF}/{OF}"),
        place=f"{_alone.place}/shards/{_name}-{OF}-of-{OF}",
    )
    COMMANDS[f"merge: {_name}"] = Command(
        f"shards of {_name}",
        ("merge", _alone.place, "--remove-shards", "-q"),
        _alone.place,
        over="no shards in",
        alone=_name,
    )
# by name: what happens between an interrupt and the same command, which may then be refused
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


def _shards(name: str, folder: Path) -> None:
    """All shards of a command, to be merged."""
    its = COMMANDS[name]
    shutil.copytree(build(its.start, folder.parent), folder, dirs_exist_ok=True)
    os.chdir(folder)
    for number in range(1, OF + 1):
        must(*addressed(its.arguments), "--shard", f"{number}/{OF}")


for _name in SHARDED:
    seed(f"shards of {_name}")(partial(_shards, _name))


@seed("judged")
def _judged(folder: Path) -> None:
    for name in ("run", "store"):
        shutil.copytree(build("run", folder.parent) / name, folder / name)
    os.chdir(folder)
    must(*_JUDGED, "--judges", "firing")


@seed("circuits")
def _circuits(folder: Path) -> None:
    _evaluated(folder)
    for prompt in ("import numpy", "the river"):
        must("circuit", "run", *_MODEL, "--prompt", prompt, "-q")


@seed("causes")
def _causes(folder: Path) -> None:
    _evaluated(folder)
    must("intervene", "run", *_INTERVENED, "--features", "3", "-q")


@seed("swept")
def _swept(folder: Path) -> None:
    _evaluated(folder)
    for feature in ("2_7", "3_9"):
        must("steer", "run", feature, *_STEERED, "--sweep", "1", "-q")


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

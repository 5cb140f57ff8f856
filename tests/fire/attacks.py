"""Bad will: folders that lead elsewhere, files of the user's in the way, two commands at once."""

from __future__ import annotations

import json
import os
import shutil
import socket
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from fire.commands import COMMANDS
from fire.engine import FINDING, FINE, Verdict, build_apart
from fire.forked import forked, start
from fire.interrupts import LIMITS
from fire.left import snapshot
from fire.registry import SEPARATOR
from fire.seeds import command

ATTACKS: dict[str, Callable[[Path, Path], str | None]] = {}
_FOLDERS = ("features", "contexts", "pairs", "candidates", "sources", "nulls", "flow", "relations")
_WRITERS = {
    "match": ("match", "saes/resid_post_0", "saes/resid_post_1", "-o", "run", "--overwrite", "-q"),
    "match again": ("match", "saes/resid_post_0", "saes/resid_post_1", "-o", "run", "-q"),
    "flow": (*COMMANDS["flow"].arguments[:4], "-o", "run", "-q"),
    "relate": ("relate", "run", "--activations", "store", "--overwrite", "-q"),
}


def attack(name: str):
    """Decorator: a function of a folder with the seed `run` and a folder of somebody else's."""

    def keep(act: Callable[[Path, Path], str | None]):
        ATTACKS[name] = act
        return act

    return keep


def identity(name: str) -> str:
    """The id of an attack."""
    return SEPARATOR.join(("attack", name, "x", "0-0"))


def attacked(name: str, seeds: Path) -> Verdict:
    """What came of an attack, in a folder of its own."""
    with tempfile.TemporaryDirectory(prefix="fire-") as home:
        folder, victim = Path(home) / "here", Path(home) / "victim"
        shutil.copytree(build_apart("run", seeds), folder)
        os.environ["XDG_CACHE_HOME"] = str(Path(home) / "cache")
        victim.mkdir()
        for file in ("mine.parquet", "my--data.parquet", "00000.parquet", "notes.txt"):
            (victim / file).write_text("mine")
        for file in (folder / "run" / "pairs").iterdir():
            (victim / file.name).write_text("mine")
        before = snapshot(victim)
        wrong = ATTACKS[name](folder, victim)
        if snapshot(victim) != before:
            wrong = f"somebody else's files changed ({wrong})"
    return Verdict(
        identity(name), FINDING if wrong else FINE, (wrong or "")[:100], name, wrong or ""
    )


def run(folder: Path, *arguments: str) -> tuple[int, str]:
    """Status and output of a command in a process of its own."""
    ended = forked(lambda: command(*arguments), folder, folder.parent / "out", LIMITS)
    return (-ended.signal if ended.value is None else ended.value), ended.output


for _name, _arguments in _WRITERS.items():
    for _linked in _FOLDERS:

        @attack(f"{_name} through a linked {_linked}")
        def _(
            folder: Path,
            victim: Path,
            linked: str = _linked,
            arguments: tuple[str, ...] = _arguments,
        ) -> str | None:
            place = folder / "run" / linked
            if place.is_dir():
                shutil.rmtree(place)
            place.symlink_to(victim)
            _, output = run(folder, *arguments)
            return "a traceback" if "Traceback" in output else None


@attack("activations through a linked folder of a store")
def _store(folder: Path, victim: Path) -> str | None:
    shutil.rmtree(folder / "store" / "tokens")
    (folder / "store" / "tokens").symlink_to(victim)
    (folder / "a.txt").write_text("The rivers run to the sea.\n\nAnd they come back.")
    names = ("saematch:resid_post_0", "--model", "saematch:model", "--text", "a.txt")
    _, output = run(folder, "capture", *names, "-o", "store", "--overwrite", "-q")
    return "a traceback" if "Traceback" in output else None


@attack("a user's files beside tables outlive --overwrite")
def _mine(folder: Path, victim: Path) -> str | None:
    mine = [folder / "run" / place for place in ("pairs/my_notes.parquet", "flow/mine.txt", "x.md")]
    for file in mine:
        file.write_text("mine")
    status, _ = run(folder, *_WRITERS["match"])
    gone = [file.name for file in mine if not file.is_file() or file.read_text() != "mine"]
    return f"{status}: {', '.join(gone)} gone" if gone or status else None


@attack("an export that lists what is not its own")
def _export(folder: Path, victim: Path) -> str | None:
    run(folder, "explore", "run", "--export", "site")
    listing = folder / "site" / "saematch-export.json"
    content = json.loads(listing.read_text())
    content["files"] |= {"../../victim/notes.txt": 4, str(victim / "mine.parquet"): 4}
    listing.write_text(json.dumps(content))
    status, output = run(folder, "explore", "run", "--export", "site", "--overwrite")
    return f"{status} {output[-200:]}" if status else None


@attack("a model that asks to run its code")
def _auto_map(folder: Path, victim: Path) -> str | None:
    from saematch.sae import shipped

    model = folder / "model"
    shutil.copytree(shipped.folder() / "model", model)
    config = json.loads((model / "config.json").read_text())
    canary = folder.parent / "canary"
    (model / "evil.py").write_text(f"open({str(canary)!r}, 'w')\nclass C: ...\nclass M: ...\n")
    wrong = []
    for more in (
        {"auto_map": {"AutoConfig": "evil.C", "AutoModelForCausalLM": "evil.M"}, "model_type": "z"},
        {"auto_map": {"AutoConfig": "evil.C", "AutoModelForCausalLM": "evil.M"}},
        {"_attn_implementation": "org/kernels"},
        {"attn_implementation": "org/kernels"},
    ):
        (model / "config.json").write_text(json.dumps({**config, **more}))
        (folder / "a.txt").write_text("The rivers run to the sea.\n\nAnd they come back.")
        names = ("saematch:resid_post_0", "--model", "model", "--text", "a.txt", "-o", "acts")
        _, output = run(folder, "capture", *names, "--length", "16", "-q", "--overwrite")
        if canary.exists():
            wrong.append(f"code ran with {[*more]}")
        if "Traceback" in output or "[y/N]" in output:
            wrong.append(f"{[*more]}: {output[-200:]}")
    return "; ".join(wrong) or None


def _at_once(folder: Path, *commands: tuple[str, ...]) -> list[int]:
    """Statuses of commands that begin together."""
    begun = [
        start(lambda c=c: command(*c), folder, folder.parent / f"out{i}", LIMITS)
        for i, c in enumerate(commands)
    ]
    ended = [one.end() for one in begun]
    return [-one.signal if one.value is None else one.value for one in ended]


@attack("two matches with other options at once")
def _two(folder: Path, victim: Path) -> str | None:
    pair = ("saes/resid_post_0", "saes/resid_post_1", "-o", "new", "-q")
    asked = [("match", *pair, "--method", method) for method in ("cosine", "sae-match")]
    statuses = _at_once(folder, *asked)
    made = json.loads((folder / "new" / "run.json").read_text())
    if statuses.count(0) != 1 or not made["pairs"]:
        return f"statuses {statuses}, {len(made['pairs'])} pairs of {made['options']['method']}"
    winner = ("cosine", "sae-match")[statuses.index(0)]
    return None if made["options"]["method"] == winner else f"{winner} won and is not there"


for _name in ("match", "flow", "relate", "match --overwrite", "export"):

    @attack(f"four times at once: {_name}")
    def _(folder: Path, victim: Path, name: str = _name) -> str | None:
        arguments, place = COMMANDS[name].arguments, COMMANDS[name].place
        statuses = _at_once(folder, *[arguments] * 4)
        if 0 not in statuses or set(statuses) - {0, 1}:
            return f"statuses {statuses}"
        if name != "export":
            manifest = json.loads((folder / place / "run.json").read_text())
            if manifest["finished"] is None and name != "relate":
                return f"unfinished, statuses {statuses}"
        again, output = run(folder, *arguments)
        return None if again == 0 or name == "export" else f"the same again: {output[-200:]}"


@attack("browsers of bad will")
def _server(folder: Path, victim: Path) -> str | None:
    from saematch.explorer.places import PAGE, Places
    from saematch.explorer.server import Server

    server = Server(Places(PAGE, folder / "run", folder / "run"))
    own = f"Host: 127.0.0.1:{server.port}\r\n"
    try:
        refused = {
            f"GET /run/../../victim/notes.txt HTTP/1.1\r\n{own}\r\n": (b"403", b"404", b"400"),
            f"GET /run/%2e%2e/%2e%2e/victim/notes.txt HTTP/1.1\r\n{own}\r\n": (b"404",),
            f"GET /run//{victim}/notes.txt HTTP/1.1\r\n{own}\r\n": (b"404",),
            "GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n": (b"403",),
            f"GET / HTTP/1.1\r\n{own}Origin: http://evil.example\r\n\r\n": (b"403",),
            f"GET / HTTP/1.1\r\n{own}Content-Length: 0\r\nContent-Length: 9\r\n\r\n": (b"400",),
            "GET /\r\n\r\n": (b"400",),
            f"POST / HTTP/1.1\r\n{own}\r\n": (b"405",),
        }
        for request, allowed in refused.items():
            with socket.create_connection(("127.0.0.1", server.port), timeout=10) as link:
                link.sendall(request.encode())
                answer = link.recv(65536)
            if answer.split(b" ")[1] not in allowed or b"mine" in answer:
                return f"{request[:50]!r}: {answer[:60]!r}"
        silent = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(100)]
        began = time.monotonic()
        with socket.create_connection(("127.0.0.1", server.port), timeout=10) as link:
            link.sendall(f"GET / HTTP/1.1\r\n{own}\r\n".encode())
            served = link.recv(100).startswith(b"HTTP/1.1 200")
        for link in silent:
            link.close()
        if not served or time.monotonic() - began > 5:
            return "nobody is served beside a hundred silent ones"
    finally:
        server.stop()
    return None


# these register attacks of their own
from fire import everywhere, network  # noqa: E402

__all__ = ["ATTACKS", "attack", "attacked", "everywhere", "network", "run"]

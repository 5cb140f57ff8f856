"""The commands that write, each with small inputs, and what a folder holds that they wrote."""

from __future__ import annotations

import hashlib
import io
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

HIDDEN = ".partial"
_SECONDS = re.compile(rb'"seconds": [0-9.e-]+')
_DATE = re.compile(rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(\+00:00|Z)?")
_RANDOM = re.compile(rb"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


@dataclass(frozen=True)
class Command:
    """A call and what it makes.

    `others`: the arguments that ask for something else in the same place. `change`: what happens to
    the inputs between a kill and the same call.
    """

    name: str
    seed: str
    arguments: tuple[str, ...]
    result: str
    overwrite: bool = True  # whether it knows --overwrite
    others: tuple[str, ...] = ()
    change: Callable[[Path], object] | None = None


def _layers(n: int) -> tuple[str, ...]:
    return tuple(f"saes/resid_post_{layer}" for layer in range(n))


def _model(*arguments: str) -> tuple[str, ...]:
    return (*arguments, "--model", "saematch:model", "--quiet")


_TEXTS = ("--text", "a.jsonl", "--text", "b.jsonl", "--examples", "3", "--length", "24")
_EVALUATE = ("evaluate", "run", *_TEXTS, "--fit-examples", "4", "--quantiles", "0.5")
_EVALUATE = _model(*_EVALUATE, "--carry", "none", "--resamples", "20")
_ACTIVATIONS = ("activations", "saematch:resid_post_0", "saematch:resid_post_1", *_TEXTS)

COMMANDS = {
    command.name: command
    for command in (
        Command(
            "match",
            "run",
            ("match", *_layers(2), "-o", "new", "--quiet"),
            "new",
            others=("--method", "cosine"),
        ),
        Command(
            "flow",
            "run",
            ("flow", *_layers(3), "-o", "new", "--quiet"),
            "new",
            others=("--method", "cosine"),
        ),
        Command(
            "compare",
            "run",
            ("compare", *_layers(3), "--any-site", "-o", "new", "--quiet"),
            "new",
            others=("--cutoff", "0.5"),
        ),
        Command(
            "relate",
            "run",
            ("relate", "run", "--activations", "store", "--quiet"),
            "run",
            others=("--top-k", "3"),
        ),
        Command(
            "relate.overwrite",
            "run",
            ("relate", "related", "--activations", "store", "--top-k", "3", "--overwrite", "-q"),
            "related",
        ),
        Command(
            "activations",
            "evaluable",
            _model(*_ACTIVATIONS, "-o", "new"),
            "new",
            others=("--seed", "3"),
        ),
        Command("evaluate", "evaluable", _EVALUATE, "run", others=("--seed", "3")),
        Command(
            "evaluate.changed",
            "evaluable",
            _EVALUATE,
            "run",
            change=lambda folder: shutil.copyfile(folder / "c.jsonl", folder / "b.jsonl"),
        ),
        Command("export", "run", ("explore", "run", "--export", "site"), "site"),
        Command(
            "export.overwrite",
            "export",
            ("explore", "run", "--export", "site", "--overwrite"),
            "site",
        ),
        Command("plot", "run", ("plot", "run", "--only", "p_values"), "run", overwrite=False),
        Command(
            "trace",
            "graph",
            ("trace", "run", "resid_post_1", "4", "--export", "out/b.json"),
            "out",
            overwrite=False,
        ),
    )
}


def snapshot(folder: Path, base: Path) -> dict[str, str]:
    """A digest of every visible file, but for dates, random names and where the folder lies.

    A table or JSON file that cannot be read is `unreadable: ...`.
    """
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not any(part.endswith(HIDDEN) for part in path.parts):
            found[path.relative_to(folder).as_posix()] = _digest(path, base)
    return found


def partials(folder: Path) -> list[str]:
    """What killed writers left, hidden."""
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob(f"*{HIDDEN}"))


def _digest(path: Path, base: Path) -> str:
    import json

    import polars as pl

    content = path.read_bytes()
    try:
        if path.suffix == ".parquet":
            made = io.BytesIO()
            pl.read_parquet(io.BytesIO(content)).rechunk().write_ipc(made)
            content = made.getvalue()
        elif path.suffix == ".json":
            json.loads(content)
    except Exception as error:
        return f"unreadable: {error}"
    if path.suffix != ".parquet":
        content = _SECONDS.sub(b'"seconds": 0', content)
        content = _RANDOM.sub(b"RANDOM", _DATE.sub(b"DATE", content))
        content = content.replace(str(base).encode(), b"BASE")
    return hashlib.sha256(content).hexdigest()

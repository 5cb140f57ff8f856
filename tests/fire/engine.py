"""One input in a process of its own, and what became of it."""

from __future__ import annotations

import importlib
import os
import pkgutil
import random
import re
import shutil
import signal
import tempfile
import traceback
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import saematch
from fire import families  # noqa: F401  its checkpoints are surfaces
from fire.forked import Ended, Limits, forked
from fire.mutations.pickles import CANARY
from fire.registry import MUTATIONS, SEPARATOR, SURFACES, Change, Input, NotApplicableError
from fire.seeds import build
from fire.surfaces import CommandError

_PACKAGE = Path(saematch.__file__).parent
# what a user must not see of the inside
_INSIDE = re.compile(r"Traceback \(most recent|panicked at|^  File \"", re.MULTILINE)
OF_A_RUN = ("graph", "export", "labelled", "judged")  # seeds
FINE, REFUSED, NONE, FINDING = "fine", "refused", "not applicable", "FINDING"


@dataclass(frozen=True)
class Verdict:
    """What became of an input: fine, refused in one line, or a finding and its kind."""

    id: str
    verdict: str
    kind: str = ""  # of a finding: what it has in common with others
    what: str = ""  # was done to the input
    told: str = ""
    seconds: float = 0.0

    @property
    def group(self) -> str:
        """Surface, mutation and kind: findings of one group have most likely one cause."""
        surface, _, kind, _ = self.id.split(SEPARATOR)
        return f"{surface} x {kind}: {self.kind}"


def tried(one: Input, seeds: Path, limits: Limits | None = None) -> Verdict:
    """Make an input anew and read it.

    Args:
        one: which.
        seeds: where valid inputs are kept.
        limits: of the process.
    """
    limits = limits or Limits()
    with tempfile.TemporaryDirectory(prefix="fire-") as home:
        folder, canary = Path(home) / "input", Path(home) / "canary"
        shutil.copytree(build_apart(SURFACES[one.surface].seed, seeds), folder, symlinks=True)
        os.environ[CANARY] = str(canary)
        os.environ["XDG_CACHE_HOME"] = str(Path(home) / "cache")
        ended = forked(lambda: _read(one, folder), folder, Path(home) / "out", limits)
        return _judged(one, ended, limits, canary.exists())


def all_tried(inputs: Iterable[Input], seeds: Path) -> Iterator[Verdict]:
    """The verdicts of inputs, one after the other."""
    for one in inputs:
        yield tried(one, seeds)


def warm() -> None:
    """Import what inputs need, so that no process has to; nothing is run with it."""
    import saematch

    for found in pkgutil.walk_packages(saematch.__path__, "saematch."):
        if not found.name.endswith("__main__"):
            importlib.import_module(found.name)
    for name in (
        "distributed",
        "plotly.graph_objects",
        "pyarrow.parquet",
        "rich.table",
        "transformers.models.gpt2.modeling_gpt2",
        "transformers.models.auto.modeling_auto",
        "transformers.models.auto.tokenization_auto",
    ):
        importlib.import_module(name)


def build_apart(name: str, seeds: Path) -> Path:
    """The folder of a valid input, made in a process of its own: this one must start no threads."""
    folder = seeds / name
    if not folder.is_dir():
        for other in {
            "graph": ["run"],
            "export": ["run"],
            "labelled": ["run"],
            "judged": ["run"],
        }.get(name, []):
            build_apart(other, seeds)
        long = Limits(space=16 << 30, grown=16 << 30, cpu=900, wall=900, idle=120)
        seeds.mkdir(parents=True, exist_ok=True)
        ended = forked(lambda: str(build(name, seeds)), seeds, seeds / f"{name}.out", long)
        if not folder.is_dir():
            raise RuntimeError(f"seed {name} was not made: {ended.value} {ended.output[-2000:]}")
    return folder


def _read(one: Input, folder: Path) -> dict[str, Any]:
    """In the child: damage the input, read it, and say what came of it."""
    from saematch.errors import SaematchError

    rng = random.Random(one.id)
    try:
        change = MUTATIONS[one.mutation].apply(one.aim(folder), rng)
    except NotApplicableError:
        return {"verdict": NONE}
    change = Change(change) if isinstance(change, str) else change
    found: dict[str, Any] = {"what": change.what}
    try:
        wrong = SURFACES[one.surface].call(folder)
    except SaematchError as error:
        return {**found, "verdict": REFUSED, "told": str(error)}
    except CommandError as error:
        return {**found, "verdict": REFUSED, "status": error.status}
    except BaseException as error:
        place = next(
            (
                f"{Path(f.filename).name}:{f.name}"
                for f in reversed(traceback.extract_tb(error.__traceback__))
                if Path(f.filename).is_relative_to(_PACKAGE)
            ),
            "",
        )
        kind = f"{type(error).__name__} in {place}"
        return {**found, "verdict": FINDING, "kind": kind, "told": str(error)[:300]}
    if wrong is None and change.refuse is not None:
        wrong = f"taken, though {change.refuse}"
    if wrong is not None:
        kind = "a wrong result: " + re.sub(r"[-\d.]+", "#", wrong)[:80]
        return {**found, "verdict": FINDING, "kind": kind, "told": wrong}
    return {**found, "verdict": FINE}


def _judged(one: Input, ended: Ended, limits: Limits, canary: bool) -> Verdict:
    value = ended.value or {}
    what, told = value.get("what", ""), value.get("told", "")

    def finding(kind: str, more: str = "") -> Verdict:
        return Verdict(one.id, FINDING, kind, what, more or told, ended.seconds)

    if canary:
        return finding("CODE RAN")
    if "harness" in value:
        return finding(f"the harness: {value['harness'][:80]}")
    if ended.limit is not None:
        return finding(f"no end ({ended.limit})")
    if ended.signal:
        return finding(f"ended by {signal.Signals(ended.signal).name}", ended.output[-300:])
    if ended.grown > limits.grown:
        return finding("memory", f"{ended.grown >> 20} MiB more than before")
    if not value:
        return finding("ended without a word", ended.output[-300:])
    if value["verdict"] == FINDING:
        return finding(value["kind"])
    if _INSIDE.search(ended.output):
        return finding("the inside shown", ended.output[-400:])
    if "\n" in told.strip():
        return finding("more than one line")
    if (status := value.get("status")) is not None:
        lines = [line for line in ended.output.splitlines() if line.strip()]
        if status not in (1, 2) or not lines:
            return finding(f"status {status} and {len(lines)} lines")
        told = lines[-1]
    return Verdict(one.id, value["verdict"], "", what, told[:300], ended.seconds)


def as_json(verdict: Verdict) -> dict[str, Any]:
    return asdict(verdict)

"""Tables that the page needs besides those of a run, so that no view has to read a large one whole.

They are made when a run is first explored or exported, and looked up by row number:

    index.json                 SAEs in order of depth, codes, which of the tables there are
    pairs.parquet              one row per pair: how many features match, split, merge, end, begin
    nodes.parquet              one row per feature of every SAE, for search and lists
    labels.parquet             what each of them is called
    life/NUMBER.parquet        one row per feature, in the order of tracks, with its edges
    vocabulary.parquet         the tokens of top contexts
    postings.parquet           which features fire on each
    relations.parquet          where the rows of a pair stand in the tables of relations
    correlation/A--B.parquet   of each feature of A and its target

docs/explorer.md has the columns. The run itself is not written to: another program may be adding
to it. The tables lie in the user's cache, by the path of the run and the digest of its run.json; an
exported run has them beside its own.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from saematch.errors import RunError
from saematch.explorer.heard import correlations, ranges
from saematch.explorer.life import life
from saematch.explorer.nodes import Nodes
from saematch.explorer.overview import overview
from saematch.explorer.places import MADE, PIECES
from saematch.explorer.words import words
from saematch.files.atomic import SUFFIX
from saematch.files.foreign import read_json, reason
from saematch.layers.graph import KINDS
from saematch.layers.origins import CLASSES as ORIGINS
from saematch.runs.manifest import MANIFEST
from saematch.runs.run import Run

INDEX = "index.json"
FORMAT, VERSION = "saematch explorer", 2
# rows that are read together, and decoded: a life is in one group or two, a column is read whole
ROWS = {"nodes": 4096, "labels": 1024, "life": 128, "vocabulary": 65536, "postings": 8192}
# rows of a file of lives: the list of its groups comes with the end of the file, of which the page
# reads 64 KiB at once
PIECE = 2048
CORRELATION, LIFE = PIECES
# called with what is being made, how many steps are done, and of how many
Progress = Callable[[str, int, int], None]
DAY = 86400.0  # seconds; tables of an older state of a run that nobody opened for that long go


@dataclass(frozen=True)
class Made:
    """The folder of the tables of a run."""

    folder: Path
    temporary: bool = False

    def close(self) -> None:
        """Remove them, where they could not be kept."""
        if self.temporary:
            shutil.rmtree(self.folder, ignore_errors=True)


def prepare(run: Run, progress: Progress | None = None) -> Made:
    """The tables of a run: those beside it, those in the cache, or new ones.

    Args:
        run: to be explored.
        progress: told of each step, where new ones are made.

    Raises:
        RunError: a table of the run cannot be read.
    """
    digest = digest_of(run)
    beside = run.path / MADE
    if _are_of(beside, digest):
        return Made(beside)
    place = _cached(run, digest)
    if _are_of(place, digest):
        os.utime(place / INDEX)
        return Made(place)
    try:
        place.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        _sweep(place.parent)
        partial = place.with_name(f".{place.name}.{uuid.uuid4().hex[:8]}{SUFFIX}")
        partial.mkdir()
    except OSError:
        folder = Path(tempfile.mkdtemp(prefix="saematch-explorer-"))
        make(run, folder, digest, progress)
        return Made(folder, temporary=True)
    try:
        make(run, partial, digest, progress)
        shutil.rmtree(place, ignore_errors=True)  # damaged
        partial.rename(place)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        if _are_of(place, digest):  # another program was faster
            return Made(place)
        raise
    return Made(place)


def make(run: Run, folder: Path, digest: str, progress: Progress | None = None) -> None:
    """Write all tables of a run to an empty folder, `index.json` last.

    Args:
        run: that they are of.
        folder: an empty one.
        digest: of its run.json.
        progress: told of each step.

    Raises:
        RunError: a table of the run cannot be read, or one of these not be written.
    """
    nodes = Nodes.of(run)
    there: dict[str, str] = {}
    counts: dict[str, int] = {}
    try:
        for name, frame in _frames(run, nodes, progress or _silent):
            place = folder / f"{name}.parquet"
            place.parent.mkdir(exist_ok=True)
            rows = ROWS.get(name.split("/")[0], 4096)
            frame.write_parquet(place, row_group_size=rows, statistics=False)
            if "/" not in name:
                there[name], counts[name] = f"{MADE}/{name}.parquet", len(frame)
        index = {
            "format": FORMAT,
            "format_version": VERSION,
            "run": digest,
            **nodes.index,
            "kinds": list(KINDS),
            "origins": list(ORIGINS),
            "nodes": counts["nodes"],
            "life": {"rows": PIECE, "files": -(-counts["nodes"] // PIECE)},
            "tokens": counts["vocabulary"],
            "postings": counts["postings"],
            "tables": there,
        }
        text = json.dumps(index, ensure_ascii=False, allow_nan=False, indent=1)
        (folder / INDEX).write_text(text + "\n", encoding="utf-8")
    except (OSError, pl.exceptions.PolarsError) as error:
        raise RunError(
            f"the explorer's tables of {run.path} cannot be made: {reason(error)}"
        ) from error


def digest_of(run: Run) -> str:
    """Of its run.json: another one is another state of the run."""
    try:
        return f"sha256:{hashlib.sha256((run.path / MANIFEST).read_bytes()).hexdigest()}"
    except OSError as error:
        raise RunError(f"{run.path / MANIFEST} cannot be read: {error.strerror}") from error


def _frames(run: Run, nodes: Nodes, progress: Progress) -> Iterator[tuple[str, pl.DataFrame]]:
    files = -(-nodes.total // PIECE)
    steps = _Steps(progress, total=len(run.pairs) + files + 4)
    steps.next("pairs")
    yield "pairs", overview(run, nodes)
    spans = ranges(run)
    if len(spans):
        yield "relations", spans
    steps.next("correlations")
    heard = correlations(run, nodes)
    for (a, b), frame in heard.of_pairs():
        steps.next(f"correlations of {a} and {b}")
        yield f"{CORRELATION}/{a}--{b}", frame
    steps.skip(len(run.pairs) - len(heard.pairs))
    steps.next("tracks")
    lives = life(run, nodes, heard.pearson)
    for number, piece in enumerate(lives.iter_slices(PIECE)):
        steps.next("lives of features")
        yield f"{LIFE}/{number:05}", piece
    steps.next("tokens")
    table = nodes.table(lives)
    yield "labels", table.select("label")
    yield "nodes", table.drop("label")
    vocabulary, postings = words(nodes.tokens)
    yield "vocabulary", vocabulary
    yield "postings", postings
    progress("done", steps.total, steps.total)


@dataclass
class _Steps:
    progress: Progress
    total: int
    done: int = -1

    def next(self, what: str) -> None:
        """Tell that the step before is done, and what this one makes."""
        self.done += 1
        self.progress(what, max(self.done, 0), self.total)

    def skip(self, steps: int) -> None:
        """Count steps for which there is nothing to make."""
        self.done += steps


def _silent(what: str, done: int, total: int) -> None:
    """Tells nobody."""


def _are_of(folder: Path, digest: str) -> bool:
    try:
        index: Any = read_json(folder / INDEX)
        tables = index["tables"].values()
        whole = all((folder / Path(table).name).is_file() for table in tables)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False
    made = index.get("format"), index.get("format_version"), index.get("run")
    return whole and made == (FORMAT, VERSION, digest)


def _cached(run: Run, digest: str) -> Path:
    path = hashlib.sha256(os.fsencode(run.path.resolve())).hexdigest()[:16]
    return cache() / path / f"{VERSION}-{digest.removeprefix('sha256:')[:16]}"


def cache() -> Path:
    """Where the tables are kept: the user's folder for what can be made again."""
    if given := os.environ.get("XDG_CACHE_HOME"):
        root = Path(given)
    elif sys.platform == "win32":
        root = Path(os.environ.get("LOCALAPPDATA") or Path.home())
    elif sys.platform == "darwin":
        root = Path.home() / "Library" / "Caches"
    else:
        root = Path.home() / ".cache"
    return root / "saematch" / "explorer"


def _sweep(folder: Path) -> None:
    """Remove tables of older states of a run, and what was left unfinished."""
    for old in folder.iterdir():
        try:
            index = old / INDEX
            used = (index if index.is_file() else old).stat().st_mtime
        except OSError:
            continue
        if time.time() - used > DAY:
            shutil.rmtree(old, ignore_errors=True)

"""Small tables for the page, so that no view has to read a large table of the run whole.

They are made when a run is first explored or exported, and looked up by row number:

    index.json                 SAEs in order of depth, codes, which of the tables there are
    pairs.parquet              one row per pair: how many features match, split, merge, end, begin
    links.parquet              how many features tracks lead from each SAE to each other one
    nodes.parquet              one row per feature of every SAE, for search and lists
    labels.parquet             what a list shows of each: label, context, figures
    tracks.parquet             one row per track, those first that are good to begin with
    life/NUMBER.parquet        one row per feature, in the order of tracks, with its edges
    vocabulary.parquet         the tokens of top contexts, and words of labels that were given
    postings.parquet           which features fire on each, or are said to mean it
    communities.parquet        how clean each community is, to order them by
    relations.parquet          which rows of the co-activation tables belong to a pair
    firing/A--B.parquet        correlation, and tokens in common, of each feature and its target
    causes_NAME.parquet        what interventions found, where the run has any
    shared.parquet             of a comparison: by how many other SAEs each feature is shared

docs/reference/explorer.md has the columns. The run itself is not written to, because another
program may be adding to it. The tables lie in the user's cache, by the path of the run and the
digest of its run.json; an exported run has them beside its own.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from saematch.errors import RunError
from saematch.explorer.causes import cause_tables
from saematch.explorer.coactivation import correlations, rows_of_pairs
from saematch.explorer.communities import clean
from saematch.explorer.life import life
from saematch.explorer.nodes import SNIPPETS, Nodes
from saematch.explorer.overview import examples, links, overview
from saematch.explorer.places import MADE, PIECES
from saematch.explorer.shared import shared
from saematch.explorer.tracks import tracks
from saematch.explorer.vocabulary import postings_of
from saematch.files.atomic import SUFFIX
from saematch.files.cache import user_cache
from saematch.files.directory import why_unwritten
from saematch.files.foreign import read_json
from saematch.layers.graph import KINDS
from saematch.layers.origins import CLASSES as ORIGINS
from saematch.runs.manifest import MANIFEST
from saematch.runs.run import Run

INDEX = "index.json"
FORMAT, VERSION = "saematch explorer", 4
# rows that are read and decoded together: a track is in one or two groups of life/
ROWS = {
    "nodes": 8192,
    "labels": 1024,
    "tracks": 1024,
    "life": 128,
    "vocabulary": 65536,
    "postings": 8192,
}
# of a feature, besides label and context; nodes.parquet has them for orders and filters
LISTED = ("frequency", "lifespan", "score", "p_value")
# rows per file of life/: the list of its groups is at the end of the file, of which the page reads
# 64 KiB at once
PIECE = 2048
FIRING, LIFE = PIECES
# called with the current step, the number of steps done, and their total
Progress = Callable[[str, int, int], None]
DAY = 86400.0  # seconds; unused tables of an older state of a run are removed after that


@dataclass(frozen=True)
class PageTables:
    """The folder with the page's tables of a run."""

    folder: Path
    temporary: bool = False

    def close(self) -> None:
        """Remove them, if they could not be kept in the cache."""
        if self.temporary:
            shutil.rmtree(self.folder, ignore_errors=True)


def prepare(run: Run, progress: Progress | None = None) -> PageTables:
    """The page's tables of a run: those beside it, those in the cache, or new ones.

    Args:
        run: the run to be explored.
        progress: called at each step while new ones are made.

    Raises:
        RunError: a table of the run cannot be read.
    """
    digest = digest_of(run)
    beside = run.path / MADE
    if _are_of(beside, digest):
        return PageTables(beside)
    place = _cached(run, digest)

    def whole(folder: Path) -> bool:
        return _are_of(folder, digest)

    return keep(place, whole, lambda folder: make(run, folder, digest, progress))


def keep(place: Path, whole: Callable[[Path], bool], make: Callable[[Path], None]) -> PageTables:
    """The folder of tables at a place of the cache, made if it is not whole.

    Where the cache cannot be written, they are made in a temporary folder.

    Args:
        place: of the folder; with an `index.json`, by whose date of use it is kept.
        whole: whether a folder has them all.
        make: writes them to an empty folder.
    """
    if whole(place):
        os.utime(place / INDEX)
        return PageTables(place)
    try:
        place.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        _sweep(place.parent)
        partial = place.with_name(f".{place.name}.{uuid.uuid4().hex[:8]}{SUFFIX}")
        partial.mkdir()
    except OSError:
        folder = Path(tempfile.mkdtemp(prefix="saematch-explorer-"))
        make(folder)
        return PageTables(folder, temporary=True)
    try:
        make(partial)
        shutil.rmtree(place, ignore_errors=True)  # damaged
        partial.rename(place)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        if whole(place):  # another program was faster
            return PageTables(place)
        raise
    return PageTables(place)


def make(run: Run, folder: Path, digest: str, progress: Progress | None = None) -> None:
    """Write all tables of a run to an empty folder, `index.json` last.

    Args:
        run: the run.
        folder: an empty folder.
        digest: of its run.json.
        progress: called at each step.

    Raises:
        RunError: a table of the run cannot be read, or one of these cannot be written.
    """
    nodes = Nodes.of(run)
    there: dict[str, str] = {}
    counts: dict[str, int] = {}
    chosen: list[int] = []
    try:
        for name, frame in _frames(run, nodes, progress or _silent):
            place = folder / f"{name}.parquet"
            place.parent.mkdir(exist_ok=True)
            rows = ROWS.get(name.split("/")[0], 4096)
            frame.write_parquet(place, row_group_size=rows, statistics=False)
            if name == "tracks":
                chosen = examples(frame, len(nodes.layers.chain))
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
            "tracks": counts["tracks"],
            "examples": chosen,
            "tokens": counts["vocabulary"],
            "postings": counts["postings"],
            "tables": there,
        }
        text = json.dumps(index, ensure_ascii=False, allow_nan=False, indent=1)
        (folder / INDEX).write_text(text + "\n", encoding="utf-8")
    except (OSError, pl.exceptions.PolarsError) as error:
        raise RunError(
            f"the explorer's tables of {run.path} cannot be made: {why_unwritten(error, folder)}"
        ) from error


def digest_of(run: Run) -> str:
    """The digest of its run.json, which identifies the state of the run."""
    try:
        return f"sha256:{hashlib.sha256((run.path / MANIFEST).read_bytes()).hexdigest()}"
    except OSError as error:
        raise RunError(f"{run.path / MANIFEST} cannot be read: {error.strerror}") from error


def _frames(run: Run, nodes: Nodes, progress: Progress) -> Iterator[tuple[str, pl.DataFrame]]:
    files = -(-nodes.total // PIECE)
    steps = _Steps(progress, total=len(run.pairs) + files + 5)
    steps.next("pairs")
    yield "pairs", overview(run, nodes)
    yield "links", links(nodes)
    rows = rows_of_pairs(run)
    if len(rows):
        yield "relations", rows
    steps.next("interventions")
    yield from cause_tables(run)
    steps.next("correlations")
    known = correlations(run, nodes)
    for (a, b), frame in known.of_pairs():
        steps.next(f"firing of {a} and {b}")
        yield f"{FIRING}/{a}--{b}", frame
    steps.next("tracks")
    lives = life(run, nodes, known.pearson)
    for number, piece in enumerate(lives.iter_slices(PIECE)):
        steps.next("lives of features")
        yield f"{LIFE}/{number:05}", piece
    steps.next("tokens")
    rows, places = tracks(nodes, lives)
    yield "tracks", rows
    table = nodes.table(lives, places)
    yield "labels", table.select("label", *SNIPPETS, *LISTED, "track")
    yield "nodes", table.drop("label", *SNIPPETS)
    if (compared := shared(run, nodes)) is not None:
        yield "shared", compared
    groups = clean(run, nodes)
    if len(groups):
        yield "communities", groups
    vocabulary, postings = postings_of(nodes.tokens, places)
    yield "vocabulary", vocabulary
    yield "postings", postings
    progress("done", steps.total, steps.total)


@dataclass
class _Steps:
    progress: Progress
    total: int
    done: int = -1

    def next(self, what: str) -> None:
        """Report that the previous step is done and what the next one makes."""
        self.done += 1
        self.progress(what, max(self.done, 0), self.total)


def _silent(what: str, done: int, total: int) -> None:
    """Report nothing."""


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
    return place_of(run) / f"{VERSION}-{digest.removeprefix('sha256:')[:16]}"


def place_of(run: Run) -> Path:
    """The folder of the cache in which the tables of a run's states lie."""
    return cache() / hashlib.sha256(os.fsencode(run.path.resolve())).hexdigest()[:16]


def cache() -> Path:
    """Where the tables are kept: the user's cache folder."""
    return user_cache() / "explorer"


def _sweep(folder: Path) -> None:
    """Remove tables of older states of a run, and unfinished ones."""
    for old in folder.iterdir():
        try:
            index = old / INDEX
            used = (index if index.is_file() else old).stat().st_mtime
        except OSError:
            continue
        if time.time() - used > DAY:
            shutil.rmtree(old, ignore_errors=True)

"""The directory of a reproduction: its runs, the activations it used, its tables and its report.

reproduction.json   what was asked, and what each part took
texts/              the texts that were drawn, one .jsonl per text set, and those to fit on
activations/        what the features do on them
runs/               one run per way of matching
tables/             what the report says, as Parquet and CSV
report.html         the figures, and sentences made of the numbers
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import polars as pl
import psutil
from msgspec.structs import replace

import saematch
from saematch.errors import RunError, names_there
from saematch.files.differences import option_differences
from saematch.files.directory import writing
from saematch.files.foreign import read_parquet
from saematch.files.lock import WriterLock
from saematch.files.manifest_file import Manifest, ManifestFile
from saematch.files.records import Count, Number, Record, now, plain
from saematch.runs.run import Run

FORMAT = "saematch reproduction"
VERSION = 1
REPORT = "report.html"
FOLDERS = ("texts", "activations", "runs", "tables")


class Part(Record, frozen=True, kw_only=True):
    """One part of the work that is done."""

    name: str
    seconds: Number
    resident_bytes: Count  # memory of the process when it was done


class ReproductionRecord(Manifest, frozen=True, kw_only=True):
    """reproduction.json."""

    created: str
    finished: str | None
    paper: str
    options: dict[str, Any]
    parts: list[Part]
    says: list[str]  # what stands at the top of the report


def _differences(there: ReproductionRecord, here: ReproductionRecord) -> list[str]:
    found = []
    if there.saematch != here.saematch:
        found.append(f"made by saematch {there.saematch}, not {here.saematch}")
    asked = ({"paper": record.paper, **record.options} for record in (there, here))
    return found + option_differences(*asked)


_FILE = ManifestFile(
    file="reproduction.json",
    kind="reproduction",
    of=ReproductionRecord,
    format=FORMAT,
    version=VERSION,
    differences=_differences,
    has_results=lambda record: bool(record.parts),
)


class Reproduction:
    """A reproduction, made by `saematch.reproduce` or read by `Reproduction.open`."""

    def __init__(
        self, path: Path, record: ReproductionRecord, lock: WriterLock | None = None
    ) -> None:
        self.path, self.record, self._lock = path, record, lock

    @classmethod
    def create(
        cls, path: Path, paper: str, options: dict[str, Any], overwrite: bool = False
    ) -> Reproduction:
        """Start one, or take up the same one where it stopped.

        Raises:
            RunError: the directory holds something else, or another program is writing to it.
        """
        asked = ReproductionRecord(
            format=FORMAT,
            format_version=VERSION,
            saematch=saematch.__version__,
            created=now(),
            finished=None,
            paper=paper,
            options=plain(options),
            parts=[],
            says=[],
        )
        lock, there, same = _FILE.begin(path, asked, overwrite)
        if there is not None and same:
            return cls(path, there, lock)
        made = cls(path, asked, lock)
        made._save()  # first: from here on nothing of the old one counts
        for name in FOLDERS:
            if (path / name).exists():
                shutil.rmtree(path / name)
        made.report.unlink(missing_ok=True)
        return made

    @classmethod
    def open(cls, path: str | Path) -> Reproduction:
        """One that was made before.

        Raises:
            RunError: there is none, or its reproduction.json cannot be read.
        """
        return cls(Path(path), _FILE.open(Path(path)))

    @property
    def report(self) -> Path:
        """The page to open in a browser."""
        return self.path / REPORT

    @property
    def runs(self) -> dict[str, Run]:
        """The runs by name: `folded`, `unfolded`, `cosine`, ..."""
        places = sorted((self.path / "runs").glob("*/run.json"))
        return {place.parent.name: Run.open(place.parent) for place in places}

    @property
    def tables(self) -> list[str]:
        """The names of its tables."""
        return sorted(place.stem for place in (self.path / "tables").glob("*.parquet"))

    def table(self, name: str) -> pl.DataFrame:
        """A table of the report.

        Raises:
            RunError: there is none of that name, or it cannot be read.
        """
        if name not in self.tables:
            raise RunError(f"{self.path} has no table {name!r}; {names_there(name, self.tables)}")
        return read_parquet(self.path / "tables" / f"{name}.parquet", error=RunError)

    def add_table(self, name: str, table: pl.DataFrame) -> pl.DataFrame:
        """Write a table as Parquet, and as CSV for other programs; returns it."""
        with writing(self.path, f"tables/{name}.parquet") as partial:
            table.write_parquet(partial)
        with writing(self.path, f"tables/{name}.csv") as partial:
            table.write_csv(partial)
        return table

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Times what is done within, and notes that it is done."""
        start = time.monotonic()
        yield
        seconds, memory = time.monotonic() - start, psutil.Process().memory_info().rss
        done = Part(name=name, seconds=round(seconds, 1), resident_bytes=memory)
        others = [part for part in self.record.parts if part.name != name]
        self.record = replace(self.record, parts=[*others, done])
        self._save()

    def has(self, name: str) -> bool:
        """Whether a part is done."""
        return any(part.name == name for part in self.record.parts)

    def finish(self, says: list[str]) -> None:
        """Note that all is done, and what it says; other programs may write to it again."""
        self.record = replace(self.record, finished=now(), says=says)
        self._save()
        if self._lock is not None:
            self._lock.release()

    def once(self, name: str, work: Callable[[], object]) -> None:
        """Do a part that is not done yet."""
        if not self.has(name):
            with self.part(name):
                work()

    def _save(self) -> None:
        _FILE.save(self.path, self.record)

    def __repr__(self) -> str:
        state = "finished" if self.record.finished else "unfinished"
        return f"Reproduction({str(self.path)!r}: {self.record.paper}, {state})"

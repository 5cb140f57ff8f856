# pyright: strict
"""The folder of a run: one writer at a time, whole tables, and a run.json that lists them.

    run.json                  what was asked, of which SAEs, and the figures of every pair
    features/NAME.parquet     one row per feature of an SAE
    contexts/NAME.parquet     what its features fire on, where the SAE came with such a table
    pairs/A--B.parquet        one row per feature of A: its target in B, score, ranks, measures
    candidates/A--B.parquet   its best targets
    sources/A--B.parquet      one row per feature of B and rank: its best sources in A
    nulls/A--B.parquet        a histogram of the scores beside that of the null
    flow/*.parquet            what becomes of features over many layers: see saematch.layers
    compare/*.parquet         which features all SAEs share: see saematch.layers.shared
    relations/*.parquet       what features do on the same text: see saematch.layers.coactivation
    evaluation/*.parquet      what hidden states carried along matches cost: see saematch.evaluation
    judging/*.parquet         whether matched features mean the same: see saematch.judging
    causes/*.parquet          what changing matched features does: see saematch.causal
    circuits/*.parquet        effects between the features active on a prompt: see saematch.circuits
    steering/*.parquet        what steering by features did to text: see saematch.steering
    labels/NAME.parquet       what its features are said to mean: see saematch.labels
    dashboards/NAME.parquet   what its features do on text, in full: see saematch.dashboards
    dashboards/A--B.parquet   whether the features of a pair fire in the same contexts

Tables are listed in `run.json` only once they are complete. docs/reference/run-directory.md has the
columns. One program writes to a run at a time; readers never wait.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import polars as pl
from msgspec import UNSET
from msgspec.structs import replace

from saematch.errors import RunError
from saematch.files.directory import remove, sweep_folder, writing
from saematch.files.lock import WriterLock
from saematch.runs.manifest import RUN_FILE
from saematch.runs.records import PAIR_FOLDERS, SECTIONS, RunRecord
from saematch.runs.tables import read_run_table

FOLDERS = ("features", "contexts", *PAIR_FOLDERS.values(), *SECTIONS)

# rows of a table that a reader gets together: few enough that one row of a large table is read
# without the rest, over HTTP too, and enough that the list of groups at its end stays short
GROUPS = {
    "features": 2048,
    "contexts": 256,
    "pairs": 2048,
    "candidates": 8192,
    "sources": 8192,
    "flow": 4096,
    "flow/edges.parquet": 16384,
    "flow/communities.parquet": 512,
    "relations": 8192,
    "labels": 2048,
}
GROUP = 8192  # of other tables


class RunFolder:
    """The files of a run, whatever is in them: `path`, and `record`, the content of run.json."""

    def __init__(self, path: Path, record: RunRecord, lock: WriterLock | None = None) -> None:
        self.path = path
        self.record = record
        self._lock = lock
        self._state = RUN_FILE.changed(path)

    @contextmanager
    def writing(self) -> Generator[None, None, None]:
        """No other program writes to the run meanwhile; it is read anew first.

        Raises:
            RunError: another program is writing to it, which is named; or it cannot be read.
        """
        if self._lock is not None:
            yield
            return
        self._lock = WriterLock(self.path)
        try:
            self.record = RUN_FILE.open(self.path)
            self._state = RUN_FILE.changed(self.path)
            self._sweep()
            yield
        finally:
            self._unlock()

    def write(self, place: str, table: pl.DataFrame | pl.LazyFrame) -> None:
        """Write a table of the run; a lazy one is written in parts.

        It counts once run.json lists it.
        """
        rows = GROUPS.get(place) or GROUPS.get(place.split("/", maxsplit=1)[0], GROUP)
        with self.writing_table(place) as partial:
            if isinstance(table, pl.LazyFrame):
                table.sink_parquet(partial, row_group_size=rows)
            else:
                table.write_parquet(partial, row_group_size=rows)

    @contextmanager
    def writing_table(self, place: str) -> Generator[Path, None, None]:
        """Where to write a table of the run, which appears in its place once the block ends."""
        with self._guard(), writing(self.path, place) as partial:
            yield partial

    def update(self, **fields: Any) -> None:
        """Set fields of the record and write run.json; `msgspec.UNSET` takes a section out."""
        with self._guard():
            changed = replace(self.record, **fields)
            if changed != self.record:
                self.record = changed
                self._save()

    def remove(self, places: Iterable[str]) -> None:
        """Remove tables that run.json does not list."""
        with self._guard():
            remove(self.path, places)

    def _forget(self, *sections: str, **changed: Any) -> None:
        """Take sections from run.json, before the files they list are written anew."""
        gone = dict.fromkeys(sections, UNSET)
        kept = replace(self.record, **{"finished": None, **gone, **changed})
        if kept != self.record:
            self.record = kept
            self._save()

    @contextmanager
    def _guard(self) -> Generator[None, None, None]:
        """Hold the run for one change, unless it is held already.

        Raises:
            RunError: another program is writing to it, or did since it was opened.
        """
        if self._lock is not None:
            yield
            return
        self._lock = WriterLock(self.path)
        try:
            if RUN_FILE.changed(self.path) != self._state:
                raise RunError(f"{self.path} was changed since it was opened: open it again")
            yield
        finally:
            self._unlock()

    def _unlock(self) -> None:
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def _save(self) -> None:
        RUN_FILE.save(self.path, self.record)
        self._state = RUN_FILE.changed(self.path)

    def _read(self, place: str, a: str | None = None, b: str | None = None) -> pl.DataFrame:
        widths = {sae.name: sae.d_sae for sae in self.record.saes}
        return read_run_table(self.path, place, widths, a, b)

    def _sweep(self) -> None:
        """Remove what writers that were killed left half-written."""
        for folder in (".", *FOLDERS):
            sweep_folder(self.path, folder)

"""The run directory: what was computed, in files that other programs can read without saematch.

    run.json                  what was asked, of which SAEs, and the figures of every pair
    features/NAME.parquet     one row per feature of an SAE
    contexts/NAME.parquet     what its features fire on, where the SAE came with such a table
    pairs/A--B.parquet        one row per feature of A: its target in B, score, ranks, measures
    candidates/A--B.parquet   its best targets
    sources/A--B.parquet      one row per feature of B and rank: its best sources in A
    nulls/A--B.parquet        a histogram of the scores beside what chance gives
    flow/*.parquet            what becomes of features over many layers: see saematch.layers
    compare/*.parquet         which features all SAEs share: see saematch.layers.shared
    relations/*.parquet       what features do on the same text: see saematch.layers.coactivation
    evaluation/*.parquet      what hidden states carried along matches cost: see saematch.evaluation

A pair is listed in `run.json` only once its tables are complete. docs/reference/run-directory.md
has the columns. One program writes to a run at a time; readers never wait.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import polars as pl

from saematch.errors import RunError, names_there
from saematch.files.directory import refuse_links, remove, sweep_folder, writing
from saematch.files.lock import WriterLock
from saematch.matching.matching import Matching
from saematch.runs.manifest import (
    LEDGER,
    MANIFEST,
    PAIR_FOLDERS,
    Outline,
    emptied,
    new_manifest,
    now,
    owned,
    pair_place,
    plain,
)
from saematch.runs.names import names_of
from saematch.runs.tables import read_run_table
from saematch.sae.contexts import STATISTICS
from saematch.sae.sae import SAE

FOLDERS = (
    "features",
    "contexts",
    *PAIR_FOLDERS.values(),
    "flow",
    "compare",
    "relations",
    "evaluation",
)


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
}
GROUP = 8192  # of other tables


class Run:
    """A run directory, made by `Run.create` or read by `Run.open`.

    `manifest` is the content of run.json. A run that was created may be written to by this process
    alone until it is finished or gone; one that was opened, while something is added to it, or
    within `writing`.
    """

    def __init__(
        self, path: Path, manifest: dict[str, Any], lock: WriterLock | None = None
    ) -> None:
        self.path = path
        self.manifest = manifest
        self._lock = lock
        self._state = LEDGER.changed(path)

    @classmethod
    def create(
        cls,
        path: str | Path,
        command: str,
        options: Mapping[str, Any],
        saes: Iterable[SAE],
        overwrite: bool = False,
        distinct: bool = False,
    ) -> Run:
        """Start a run, or take up the same one where it stopped.

        Args:
            path: the directory; made if it is missing.
            command: what makes the run, such as `match`.
            options: all that the results depend on besides the SAEs, as plain values.
            saes: the SAEs; `names` gives what they are called in this run, in the same order. They
                are gone through once, and only one is held at a time: a generator may load them.
            overwrite: discard a run that was made otherwise.
            distinct: refuse the same weights of the same site twice, whatever they are called.

        Raises:
            RunError: the directory holds a run that was made otherwise, or one that cannot be read
                (both only without `overwrite`), or files that are not a run's at all; another
                program is writing to it; one of its folders is a link; or an SAE is given twice
                where they are to be `distinct`.
        """
        path = Path(path)
        outlines = list(map(Outline.of, saes))
        if distinct:
            _check_distinct(outlines)
        known = dict(zip(names_of(outlines), outlines, strict=True))
        entries = [outline.named(name) for name, outline in known.items()]
        manifest = new_manifest(command, options, entries)
        lock, there, same = LEDGER.begin(path, manifest, overwrite)
        refuse_links(path, (f"{folder}/x" for folder in FOLDERS))
        run = cls(path, there if there is not None and same else manifest, lock)
        if there is None or not same:
            # emptied first: from here on no file of the old run counts, and whoever stops this
            # leaves a run with nothing to lose, whose files are known
            if there is not None:
                LEDGER.save(path, emptied(there))
            remove(path, {*owned(there or manifest), *owned(manifest)})
            run._save()
        run._sweep()
        run._write_features(known)
        return run

    @classmethod
    def open(cls, path: str | Path) -> Run:
        """A run that was made before.

        Raises:
            RunError: there is none, or its run.json cannot be read.
        """
        return cls(Path(path), LEDGER.open(Path(path)))

    @contextmanager
    def writing(self) -> Iterator[None]:
        """No other program writes to the run meanwhile; it is read anew first.

        Raises:
            RunError: another program is writing to it, which is named; or it cannot be read.
        """
        if self._lock is not None:
            yield
            return
        self._lock = WriterLock(self.path)
        try:
            self.manifest = LEDGER.open(self.path)
            self._state = LEDGER.changed(self.path)
            self._sweep()
            yield
        finally:
            self._unlock()

    @property
    def names(self) -> list[str]:
        """What the SAEs are called in this run, in the order they were given."""
        return [entry["name"] for entry in self.manifest["saes"]]

    @property
    def pairs(self) -> list[tuple[str, str]]:
        """The pairs that are done, in the order of the SAEs."""
        place = {name: i for i, name in enumerate(self.names)}
        done = [(entry["a"], entry["b"]) for entry in self.manifest["pairs"]]
        return sorted(done, key=lambda pair: (place[pair[0]], place[pair[1]]))

    @property
    def summaries(self) -> dict[tuple[str, str], dict[str, Any]]:
        """`Matching.summary()` of every pair that is done."""
        return {pair: self._entry(*pair)["summary"] for pair in self.pairs}

    @property
    def parts(self) -> list[str]:
        """What the directory holds: run.json and those of `FOLDERS` that are there."""
        return [MANIFEST, *(name for name in FOLDERS if (self.path / name).is_dir())]

    @property
    def finished(self) -> str | None:
        """When `finish` was called, ISO 8601 in UTC."""
        return self.manifest["finished"]

    def sae(self, name: str) -> dict[str, Any]:
        """The entry of an SAE in run.json: conventions, sizes, checksum."""
        for entry in self.manifest["saes"]:
            if entry["name"] == name:
                return entry
        raise RunError(f"{self.path} has no SAE {name!r}; {names_there(name, self.names)}")

    def same_weights(self, a: str, b: str) -> bool:
        """Whether two SAEs of the run are one and the same."""
        return self.sae(a)["checksum"] == self.sae(b)["checksum"]

    def __repr__(self) -> str:
        return f"Run({str(self.path)!r}: {len(self.names)} SAEs, {len(self.pairs)} pairs)"

    def notes(self, a: str, b: str) -> list[str]:
        """`Matching.notes` of a pair."""
        return self._entry(a, b)["notes"]

    def has_pair(self, a: str, b: str) -> bool:
        """Whether a pair is done and its tables are there."""
        if (a, b) not in self.pairs:
            return False
        entry = self._entry(a, b)
        return all((self.path / entry[kind]).is_file() for kind in PAIR_FOLDERS)

    def add_pair(self, a: str, b: str, matching: Matching) -> None:
        """Write a matching's tables, then list it in run.json.

        Takes from run.json first what it makes untrue: an older entry of the pair, flow and
        comparison of fewer pairs, and that the run is finished.

        Raises:
            RunError: `a` or `b` is no SAE of this run, or not the one that was matched.
        """
        with self._guard():
            self._add_pair(a, b, matching)

    def _add_pair(self, a: str, b: str, matching: Matching) -> None:
        for name, sae in ((a, matching.a), (b, matching.b)):
            if self.sae(name)["d_sae"] != sae.d_sae:
                raise RunError(f"{sae.name} is not the SAE that {self.path} calls {name!r}")
        frames = {
            "nulls": matching.null_histogram(),
            "sources": matching.sources.to_polars("source"),
            "candidates": matching.candidates.to_polars("target"),
            "table": matching.to_polars(),
        }
        others = [e for e in self.manifest["pairs"] if (e["a"], e["b"]) != (a, b)]
        self._forget("flow", "compare", pairs=others)
        for kind, frame in frames.items():
            self.write(pair_place(kind, a, b), frame)
        entry = {
            "a": a,
            "b": b,
            **{kind: pair_place(kind, a, b) for kind in PAIR_FOLDERS},
            "summary": plain(matching.summary()),
            "notes": list(matching.notes),
        }
        self.manifest = {**self.manifest, "pairs": [*others, entry]}
        self._save()

    def add_flow(self, tables: Mapping[str, pl.DataFrame], summary: Mapping[str, Any]) -> None:
        """Write `flow/NAME.parquet` for each table, then list them in run.json with a summary.

        A pair that is added later takes both from run.json.
        """
        self._add("flow", tables, summary)

    def add_comparison(
        self, tables: Mapping[str, pl.DataFrame], summary: Mapping[str, Any]
    ) -> None:
        """The same of a comparison: `compare/NAME.parquet`."""
        self._add("compare", tables, summary)

    def add_relations(self, tables: Mapping[str, pl.DataFrame], summary: Mapping[str, Any]) -> None:
        """The same of activations: `relations/NAME.parquet`.

        They stay when a pair is added: they are not made of matches.
        """
        self._add("relations", tables, summary)

    def add_evaluation(
        self,
        tables: Mapping[str, pl.DataFrame],
        summary: Mapping[str, Any],
        grows: bool = False,
    ) -> None:
        """The same of an evaluation: `evaluation/NAME.parquet`.

        It stays when a pair is added: what it says of the pairs there were remains true. One that
        `grows` has all the rows that are there, and those are not lost on the way.
        """
        self._add("evaluation", tables, summary, grows=grows)

    @property
    def flow(self) -> dict[str, Any] | None:
        """The summary of `add_flow`; None where it was not made of the pairs there are, or where
        one of its tables is gone.
        """
        return self._whole("flow")

    @property
    def relations(self) -> dict[str, Any] | None:
        """The summary of `add_relations`; None where one of its tables is gone."""
        return self._whole("relations")

    def relations_table(self, name: str) -> pl.DataFrame:
        """A table of `add_relations`."""
        tables = (self.relations or {}).get("tables", {})
        if name not in tables:
            there = ", ".join(tables) or "none: saematch relate makes them"
            raise RunError(f"{self.path} has no table of relations {name!r}; it has {there}")
        return self._read(f"relations/{name}.parquet")

    @property
    def evaluation(self) -> dict[str, Any] | None:
        """The summary of `add_evaluation`; None where one of its tables is gone."""
        return self._whole("evaluation")

    def evaluation_table(self, name: str) -> pl.DataFrame:
        """A table of `add_evaluation`."""
        tables = (self.evaluation or {}).get("tables", {})
        if name not in tables:
            there = ", ".join(tables) or "none: saematch evaluate makes them"
            raise RunError(f"{self.path} has no evaluation table {name!r}; it has {there}")
        return self._read(f"evaluation/{name}.parquet")

    def flow_table(self, name: str) -> pl.DataFrame:
        """A table of `add_flow`."""
        tables = (self.flow or {}).get("tables", {})
        if name not in tables:
            there = ", ".join(tables) or "none: saematch flow makes them"
            raise RunError(f"{self.path} has no flow table {name!r}; it has {there}")
        return self._read(f"flow/{name}.parquet")

    def write(self, place: str, table: pl.DataFrame | pl.LazyFrame) -> None:
        """Write a table of the run; one that is not held is written in parts.

        It counts once run.json lists it.
        """
        rows = GROUPS.get(place) or GROUPS.get(place.split("/", maxsplit=1)[0], GROUP)
        with self._guard(), writing(self.path, place) as partial:
            if isinstance(table, pl.LazyFrame):
                table.sink_parquet(partial, row_group_size=rows)
            else:
                table.write_parquet(partial, row_group_size=rows)

    def record(self, **entries: Any) -> None:
        """Put entries into run.json, all at once; one that is None is taken out."""
        with self._guard():
            changed = {**self.manifest, **entries}
            changed = {k: v for k, v in changed.items() if k not in entries or v is not None}
            if changed != self.manifest:
                self.manifest = changed
                self._save()

    def remove(self, places: Iterable[str]) -> None:
        """Remove tables that run.json does not list."""
        with self._guard():
            remove(self.path, places)

    def finish(self) -> None:
        """Record that all that was asked for is there; other programs may write to it again."""
        with self._guard():
            if self.manifest["finished"] is None:
                self.manifest = {**self.manifest, "finished": now()}
                self._save()
        self._unlock()

    def pair(self, a: str, b: str) -> pl.DataFrame:
        """The table of a pair: `Matching.to_polars()`."""
        return self._read(self._entry(a, b)["table"], a, b)

    def candidates(self, a: str, b: str) -> pl.DataFrame:
        """The best targets of a pair: `Matching.candidates.to_polars("target")`."""
        return self._read(self._entry(a, b)["candidates"], a, b)

    def sources(self, a: str, b: str) -> pl.DataFrame:
        """The best sources of B's features: `Matching.sources.to_polars("source")`."""
        return self._read(self._entry(a, b)["sources"], a, b)

    def null(self, a: str, b: str) -> pl.DataFrame:
        """A pair's scores beside what chance gives: `Matching.null_histogram()`."""
        return self._read(self._entry(a, b)["nulls"], a, b)

    def features(self, name: str) -> pl.DataFrame:
        """One row per feature of an SAE: see `saematch.runs.manifest.features_frame`."""
        return self._read(self.sae(name)["features"], name)

    def contexts(self, name: str) -> pl.DataFrame | None:
        """What an SAE's features fire on: see `saematch.sae.contexts`; None if not known."""
        place = self.sae(name)["contexts"]
        return None if place is None else self._read(place, name)

    def add_contexts(self, name: str, described: pl.DataFrame) -> None:
        """Take what an SAE's features fire on from elsewhere, for one that came without it.

        Fills `contexts/NAME.parquet`, and what is not known in the run's table of its features. A
        flow is taken from run.json: its labels are made of contexts.

        Args:
            name: of the SAE in the run.
            described: as `saematch.activations.describe_features` makes it.

        Raises:
            RunError: there is no such SAE.
        """
        entry = self.sae(name)
        place = f"contexts/{name}.parquet"
        known = self.features(name)
        found = described.select("feature", *STATISTICS)
        joined = known.join(found, on="feature", how="left", suffix="_", maintain_order="left")
        filled = [pl.coalesce(column, f"{column}_").alias(column) for column in STATISTICS]
        others = self.manifest["saes"]
        saes = [e if e["name"] != name else {**e, "contexts": place} for e in others]
        with self._guard():
            self.write(place, described)
            self.write(entry["features"], joined.with_columns(filled).select(known.columns))
            if "flow" in self.manifest:
                self._forget("flow")
            self.record(saes=saes)

    def _entry(self, a: str, b: str) -> dict[str, Any]:
        for entry in self.manifest["pairs"]:
            if (entry["a"], entry["b"]) == (a, b):
                return entry
        done = ", ".join(f"{x}--{y}" for x, y in self.pairs) or "none"
        raise RunError(f"{self.path} has no pair {a}--{b}; it has {done}")

    def _whole(self, key: str) -> dict[str, Any] | None:
        found = self.manifest.get(key)
        if found is None or not all((self.path / at).is_file() for at in found["tables"].values()):
            return None
        return found

    def _add(
        self,
        key: str,
        tables: Mapping[str, pl.DataFrame],
        summary: Mapping[str, Any],
        grows: bool = False,
    ) -> None:
        places = {name: f"{key}/{name}.parquet" for name in tables}
        with self._guard():
            finished = self.finished
            if key in self.manifest and not grows:
                # a summary must never stand beside tables that it was not made of
                self._forget(key)
            for name, table in tables.items():
                self.write(places[name], table)
            entry = {"tables": places, **plain(summary)}
            self.manifest = {**self.manifest, "finished": finished, key: entry}
            self._save()

    def _forget(self, *keys: str, **changed: Any) -> None:
        """Take entries from run.json, before the files they list are written anew."""
        kept = {key: value for key, value in self.manifest.items() if key not in keys}
        kept = {**kept, **changed, "finished": None}
        if kept != self.manifest:
            self.manifest = kept
            self._save()

    def _write_features(self, outlines: Mapping[str, Outline]) -> None:
        for name, outline in outlines.items():
            entry = self.sae(name)
            for kind, frame in (("features", outline.features), ("contexts", outline.contexts)):
                place = entry[kind]
                if place and frame is not None and not (self.path / place).is_file():
                    self.write(place, frame)

    @contextmanager
    def _guard(self) -> Iterator[None]:
        """Hold the run for one change, unless it is held already.

        Raises:
            RunError: another program is writing to it, or did since it was opened.
        """
        if self._lock is not None:
            yield
            return
        self._lock = WriterLock(self.path)
        try:
            if LEDGER.changed(self.path) != self._state:
                raise RunError(f"{self.path} was changed since it was opened: open it again")
            yield
        finally:
            self._unlock()

    def _unlock(self) -> None:
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def _save(self) -> None:
        LEDGER.save(self.path, self.manifest)
        self._state = LEDGER.changed(self.path)

    def _read(self, place: str, a: str | None = None, b: str | None = None) -> pl.DataFrame:
        widths = {entry["name"]: entry["d_sae"] for entry in self.manifest["saes"]}
        return read_run_table(self.path, place, widths, a, b)

    def _sweep(self) -> None:
        """Remove what writers that were killed left half-written."""
        for folder in (".", *FOLDERS):
            sweep_folder(self.path, folder)


def _check_distinct(outlines: Iterable[Outline]) -> None:
    seen: dict[tuple[str, str], Outline] = {}
    for outline in outlines:
        same = outline.entry["checksum"], repr(outline.conventions.site)
        if (other := seen.setdefault(same, outline)) is not outline:
            raise RunError(
                f"{other.conventions.source} and {outline.conventions.source} are one SAE, the "
                "same weights of the same site; give it once"
            )

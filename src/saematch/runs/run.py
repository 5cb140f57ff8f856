# pyright: strict
"""A run: SAEs, the pairs of them that are matched, and what else was computed of those."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, overload

import polars as pl
from msgspec import UNSET
from msgspec.structs import replace

from saematch.errors import RunError, names_there
from saematch.files.directory import adopt, refuse_links, remove
from saematch.files.records import now, plain, read_record
from saematch.files.share import SHARDS, ShardRecord
from saematch.matching.matching import Matching
from saematch.runs.folder import FOLDERS, RunFolder
from saematch.runs.manifest import MANIFEST, RUN_FILE, emptied, new_record, owned
from saematch.runs.matched import MatchedPair
from saematch.runs.names import names_of
from saematch.runs.notebook import Notebook
from saematch.runs.records import (
    PAIR_FOLDERS,
    SECTIONS,
    Causes,
    Circuits,
    Comparison,
    Dashboards,
    Evaluation,
    Flow,
    Judging,
    Labels,
    PairRecord,
    PairSummary,
    Relations,
    SaeRecord,
    Section,
    SectionName,
    Steering,
    pair_place,
)
from saematch.runs.sae_tables import SaeTables, check_distinct
from saematch.sae.contexts import STATISTICS
from saematch.sae.sae import SAE

_MADE_BY = {
    "flow": "flow",
    "compare": "compare",
    "relations": "relate",
    "evaluation": "evaluate",
    "labels": "label",
    "judging": "judge",
    "causes": "intervene",
    "circuits": "circuit",
    "steering": "steer --sweep",
    "dashboards": "dashboard",
}


class Run(RunFolder, Notebook):
    """A run directory, made by `Run.create` or read by `Run.open`.

    `record` is the content of run.json. A run that was created may be written to by this process
    alone until it is finished or gone; one that was opened, while something is added to it, or
    within `writing`.
    """

    @classmethod
    def create(
        cls,
        path: str | Path,
        command: str,
        options: Mapping[str, Any],
        saes: Iterable[SAE | SaeTables],
        overwrite: bool = False,
        distinct: bool = False,
        names: Sequence[str] | None = None,
        shard: ShardRecord | None = None,
    ) -> Run:
        """Start a run, or take up the same one where it stopped.

        Args:
            path: the directory; made if it is missing.
            command: what makes the run, such as `match`.
            options: all that the results depend on besides the SAEs, as plain values.
            saes: the SAEs; `names` gives what they are called in this run, in the same order. They
                are gone through once, and only one is held at a time: a generator may load them,
                or give what a run keeps of them.
            overwrite: discard a run that was made otherwise.
            distinct: refuse the same weights of the same site twice, whatever they are called.
            names: what the SAEs are called, where that does not follow from these alone.
            shard: of which whole the run is a part.

        Raises:
            RunError: the directory holds a run that was made otherwise, or one that cannot be read
                (both only without `overwrite`), or files that are not a run's at all; another
                program is writing to it; one of its folders is a link; or an SAE is given twice
                where they are to be `distinct`.
        """
        path = Path(path)
        tables = [sae if isinstance(sae, SaeTables) else SaeTables.of(sae) for sae in saes]
        if distinct:
            check_distinct(tables)
        known = dict(zip(names_of(tables) if names is None else names, tables, strict=True))
        records = [its.record(name) for name, its in known.items()]
        asked = new_record(command, options, records, shard or UNSET)
        lock, there, same = RUN_FILE.begin(path, asked, overwrite)
        refuse_links(path, (f"{folder}/x" for folder in (*FOLDERS, SHARDS)))
        kept = there if same else None
        run = cls(path, kept or asked, lock)
        if kept is None:
            # emptied first: from here on no file of the old run counts, and whoever stops this
            # leaves a run with nothing to lose, whose files are known
            if there is not None:
                RUN_FILE.save(path, emptied(there))
            remove(path, {*owned(there or asked), *owned(asked)})
            # SAEs are listed once their tables are there
            RUN_FILE.save(path, replace(asked, saes=[]))
        run._sweep()
        run._write_features(known)
        if kept is None:
            run._save()
        return run

    @classmethod
    def open(cls, path: str | Path) -> Run:
        """A run that was made before.

        Raises:
            RunError: there is none, or its run.json cannot be read.
        """
        return cls(Path(path), RUN_FILE.open(Path(path)))

    @property
    def names(self) -> list[str]:
        """What the SAEs are called in this run, in the order they were given."""
        return [sae.name for sae in self.record.saes]

    @property
    def pairs(self) -> list[tuple[str, str]]:
        """The pairs that are done, in the order of the SAEs."""
        return list(self.summaries)

    @property
    def summaries(self) -> dict[tuple[str, str], PairSummary]:
        """The figures of every pair that is done, in the order of the SAEs."""
        return {pair.names: pair.summary for pair in self._in_order(self.record.pairs)}

    @property
    def parts(self) -> list[str]:
        """What the directory holds: run.json and those of `FOLDERS` that are there."""
        return [MANIFEST, *(name for name in FOLDERS if (self.path / name).is_dir())]

    @property
    def finished(self) -> str | None:
        """When `finish` was called, ISO 8601 in UTC."""
        return self.record.finished

    def sae(self, name: str) -> SaeRecord:
        """What run.json tells of an SAE: conventions, sizes, checksum."""
        for sae in self.record.saes:
            if sae.name == name:
                return sae
        raise RunError(f"{self.path} has no SAE {name!r}; {names_there(name, self.names)}")

    def same_weights(self, a: str, b: str) -> bool:
        """Whether two SAEs of the run are one and the same."""
        return self.sae(a).checksum == self.sae(b).checksum

    def __repr__(self) -> str:
        return f"Run({str(self.path)!r}: {len(self.names)} SAEs, {len(self.pairs)} pairs)"

    def notes(self, a: str, b: str) -> list[str]:
        """`Matching.notes` of a pair."""
        return self._pair(a, b).notes

    def has_pair(self, a: str, b: str) -> bool:
        """Whether a pair is done and its tables are there."""
        found = next((pair for pair in self.record.pairs if pair.names == (a, b)), None)
        return found is not None and all(
            (self.path / getattr(found, kind)).is_file() for kind in PAIR_FOLDERS
        )

    def add_pair(self, a: str, b: str, matching: Matching | MatchedPair) -> None:
        """Write a matching's tables, then list it in run.json.

        Takes from run.json first what it makes untrue: an older entry of the pair, flow and
        comparison of fewer pairs, and that the run is finished.

        Raises:
            RunError: `a` or `b` is no SAE of this run, or not the one that was matched.
        """
        with self._guard():
            pair = matching if isinstance(matching, MatchedPair) else MatchedPair.of(matching)
            self._add_pair(a, b, pair)

    def _add_pair(self, a: str, b: str, matched: MatchedPair) -> None:
        for name, (given, width) in zip((a, b), matched.saes, strict=True):
            if self.sae(name).d_sae != width:
                raise RunError(f"{given} is not the SAE that {self.path} calls {name!r}")
        places = {kind: pair_place(kind, a, b) for kind in PAIR_FOLDERS}
        summary = read_record(plain(matched.summary), PairSummary)
        told: dict[str, Any] = {**places, "summary": summary, "notes": list(matched.notes)}
        with self._listing(PairRecord(a=a, b=b, **told)):
            for kind, frame in matched.tables.items():
                self.write(places[kind], frame)

    def adopt_pair(self, pair: PairRecord, other: Run) -> None:
        """Take a pair over from another run of the same SAEs, as `add_pair` does a matching.

        Raises:
            RunError: a table of it is not there, or cannot be taken over.
        """
        with self._guard(), self._listing(pair):
            for kind in PAIR_FOLDERS:
                adopt(other.path, self.path, getattr(pair, kind))

    @contextmanager
    def _listing(self, pair: PairRecord) -> Generator[None, None, None]:
        """Around the writing of a pair's tables: what they make untrue is taken from run.json."""
        others = [known for known in self.record.pairs if known.names != pair.names]
        self._forget("flow", "compare", pairs=others)
        yield
        # whichever was done first: workers are done in any order
        self.record = replace(self.record, pairs=self._in_order([*others, pair]))
        self._save()

    def add(
        self,
        section: SectionName,
        tables: Mapping[str, pl.DataFrame],
        summary: Mapping[str, Any],
        grows: bool = False,
    ) -> None:
        """Write `SECTION/NAME.parquet` for each table, then list them in run.json with a summary.

        A pair that is added later takes `flow` and `compare` from run.json, which are made of all
        pairs; `relations`, `evaluation` and `labels` stay: what they say of others remains true.

        Args:
            section: which section of run.json.
            tables: by name.
            summary: the section's figures.
            grows: the tables hold all the rows of those that are there, so what is listed need not
                be taken from run.json meanwhile.
        """
        places = {name: f"{section}/{name}.parquet" for name in tables}
        with self._guard():
            finished = self.finished
            if getattr(self.record, section) and not grows:
                # a summary must never stand beside tables that it was not made of; a run without
                # what was added to it is as finished as before
                made_of_all = section in ("flow", "compare")
                self._forget(section, finished=None if made_of_all else finished)
            for name, table in tables.items():
                self.write(places[name], table)
            made = read_record({"tables": places, **plain(summary)}, SECTIONS[section])
            self.record = replace(self.record, finished=finished, **{section: made})
            self._save()

    @overload
    def section(self, name: Literal["flow"]) -> Flow | None: ...
    @overload
    def section(self, name: Literal["compare"]) -> Comparison | None: ...
    @overload
    def section(self, name: Literal["relations"]) -> Relations | None: ...
    @overload
    def section(self, name: Literal["evaluation"]) -> Evaluation | None: ...
    @overload
    def section(self, name: Literal["labels"]) -> Labels | None: ...
    @overload
    def section(self, name: Literal["judging"]) -> Judging | None: ...
    @overload
    def section(self, name: Literal["causes"]) -> Causes | None: ...
    @overload
    def section(self, name: Literal["circuits"]) -> Circuits | None: ...
    @overload
    def section(self, name: Literal["steering"]) -> Steering | None: ...
    @overload
    def section(self, name: Literal["dashboards"]) -> Dashboards | None: ...
    @overload
    def section(self, name: SectionName) -> Section | None: ...
    def section(self, name: SectionName) -> Section | None:
        """A section of run.json; None where it is absent or one of its tables is gone."""
        found = getattr(self.record, name)
        if not found or not all((self.path / place).is_file() for place in found.tables.values()):
            return None
        return found

    def tables(self, section: SectionName) -> list[str]:
        """The names of a section's tables; none where `section` is None."""
        found = self.section(section)
        return [] if found is None else [*found.tables]

    def table(self, section: SectionName, name: str) -> pl.DataFrame:
        """A table of a section, checked.

        Raises:
            RunError: there is none of that name, or it cannot be read.
        """
        tables = self.tables(section)
        if name not in tables:
            there = ", ".join(tables) or f"none: saematch {_MADE_BY[section]} makes them"
            raise RunError(f"{self.path} has no {section} table {name!r}; it has {there}")
        # of these each table is of one SAE, or of a pair
        of = name.split("--") if section in ("labels", "dashboards") else ()
        return self._read(f"{section}/{name}.parquet", *of)

    def finish(self) -> None:
        """Record that all that was asked for is there; other programs may write to it again."""
        with self._guard():
            if self.finished is None:
                self.update(finished=now())
        self._unlock()

    def matching(
        self, a: str, b: str, saes: tuple[SAE | None, SAE | None] = (None, None)
    ) -> Matching:
        """The matching of a pair, as `saematch.match` returned it.

        The run does not keep the duals of the assignment, nor the scores of the null:
        `null(a, b)` has their histogram.

        Args:
            a: the source SAE's name in this run.
            b: the target SAE's.
            saes: the two SAEs; loaded again from where they came unless given.

        Raises:
            RunError: the run has no such pair, its tables cannot be read, or an SAE has other
                weights than when the run was made.
            CheckpointError: an SAE cannot be loaded.
        """
        from saematch.runs.matchings import read_matching

        return read_matching(self, a, b, saes)

    def pair(self, a: str, b: str) -> pl.DataFrame:
        """The table of a pair: `Matching.to_polars()`."""
        return self._read(self._pair(a, b).table, a, b)

    def candidates(self, a: str, b: str) -> pl.DataFrame:
        """The best targets of a pair: `Matching.candidates.to_polars("target")`."""
        return self._read(self._pair(a, b).candidates, a, b)

    def sources(self, a: str, b: str) -> pl.DataFrame:
        """The best sources of B's features: `Matching.sources.to_polars("source")`."""
        return self._read(self._pair(a, b).sources, a, b)

    def null(self, a: str, b: str) -> pl.DataFrame:
        """A pair's scores beside what chance gives: `Matching.null_histogram()`."""
        return self._read(self._pair(a, b).nulls, a, b)

    def features(self, name: str) -> pl.DataFrame:
        """One row per feature of an SAE: see `saematch.runs.sae_tables.features_frame`."""
        return self._read(self.sae(name).features, name)

    def contexts(self, name: str) -> pl.DataFrame | None:
        """What an SAE's features fire on: see `saematch.sae.contexts`; None if not known."""
        place = self.sae(name).contexts
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
        sae = self.sae(name)
        place = f"contexts/{name}.parquet"
        known = self.features(name)
        found = described.select("feature", *STATISTICS)
        joined = known.join(found, on="feature", how="left", suffix="_", maintain_order="left")
        filled = [pl.coalesce(column, f"{column}_").alias(column) for column in STATISTICS]
        with self._guard():
            self.write(place, described)
            self.write(sae.features, joined.with_columns(filled).select(known.columns))
            if self.record.flow:
                self._forget("flow")
            described_sae = replace(sae, contexts=place)
            self.update(saes=[described_sae if s is sae else s for s in self.record.saes])

    def _in_order(self, pairs: Iterable[PairRecord]) -> list[PairRecord]:
        """Pairs in the order of the SAEs."""
        place = {name: i for i, name in enumerate(self.names)}
        return sorted(pairs, key=lambda pair: (place[pair.a], place[pair.b]))

    def _pair(self, a: str, b: str) -> PairRecord:
        for pair in self.record.pairs:
            if pair.names == (a, b):
                return pair
        done = ", ".join(f"{x}--{y}" for x, y in self.pairs) or "none"
        raise RunError(f"{self.path} has no pair {a}--{b}; it has {done}")

    def _write_features(self, tables: Mapping[str, SaeTables]) -> None:
        for name, its in tables.items():
            sae = self.sae(name)
            for place, frame in ((sae.features, its.features), (sae.contexts, its.contexts)):
                if place and frame is not None and not (self.path / place).is_file():
                    self.write(place, frame)

"""The relations of a run's pairs, kept as they are found, so that work that was stopped goes on.

Until all pairs are done each has its own small tables, `relations/A--B.NAME.parquet`, listed under
`relating` in run.json. Then they become one table of all pairs, `relations/NAME.parquet`, which is
what readers read: one table is one scan, and a pair's rows stand together in it. Rewriting that
table for every pair would take time in the square of their number.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import polars as pl
from msgspec import UNSET
from msgspec.structs import replace

from saematch.errors import RunError
from saematch.files.foreign import scan_parquet
from saematch.files.records import plain, read_record
from saematch.layers.coactivation import Relation
from saematch.runs.records import RelatedPair, Relations, UnfinishedRelations
from saematch.runs.run import Run

FOLDER = "relations"


class Relating:
    """Takes up the relations of a run, or starts them.

    Args:
        run: the run whose pairs are related.
        asked: all that relations depend on besides the pair, as plain values.
        overwrite: discard what relations there are.

    Raises:
        RunError: the run holds relations that were asked for otherwise.
    """

    def __init__(self, run: Run, asked: Mapping[str, Any], overwrite: bool = False) -> None:
        self.run, self.asked = run, plain(asked)
        if overwrite:
            self._discard()
        for section in (run.record.relations, run.record.relating):
            there = plain(section) if section else self.asked
            other = [k for k, v in self.asked.items() if there.get(k) != v]
            if other:
                raise RunError(
                    f"{run.path} holds relations with other {', '.join(other)}; discard them with "
                    "--overwrite"
                )

    @property
    def missing(self) -> list[tuple[str, str]]:
        """The pairs of the run that are not related yet."""
        done = {**self._joined, **self._apart}
        return [pair for pair in self.run.pairs if pair not in done]

    def add(self, a: str, b: str, relation: Relation) -> None:
        """Write the tables of a pair, then list it in run.json."""
        pair = pl.lit(a).alias("a"), pl.lit(b).alias("b")
        for name, table in relation.tables.items():
            self.run.write(_place(name, a, b), table.select(*pair, pl.all()))
        others = [entry for found, entry in self._apart.items() if found != (a, b)]
        found = {"a": a, "b": b, "tables": [*relation.tables], **plain(relation.summary)}
        pairs = [*others, read_record(found, RelatedPair)]
        self.run.update(
            relating=read_record({**self.asked, "pairs": plain(pairs)}, UnfinishedRelations)
        )

    def finish(self) -> None:
        """Make one table of all pairs, list it, and remove the tables of single pairs.

        Memory does not grow with the number of pairs. What was listed before stays so meanwhile:
        the new tables have its rows too.

        Raises:
            RunError: a pair is missing.
        """
        for a, b in self.missing:
            raise RunError(f"{self.run.path} has no relations of {a}--{b} yet: add them first")
        joined, apart = self._joined, self._apart
        if not apart:
            self._sweep()  # what a call that was killed left
            return
        names = next(iter(apart.values())).tables or []
        for name in names:
            scans = [
                self._scan(name, a, b) if (a, b) in apart else self._scan(name).filter(a=a, b=b)
                for a, b in self.run.pairs
            ]
            self.run.write(_place(name), pl.concat(scans))
        figures = [{**joined, **apart}[pair] for pair in self.run.pairs]
        relations = {
            "tables": {name: _place(name) for name in names},
            **self.asked,
            "pairs": plain([replace(pair, tables=UNSET) for pair in figures]),
        }
        self.run.update(relations=read_record(relations, Relations), relating=UNSET)
        self._sweep()

    @property
    def _joined(self) -> dict[tuple[str, str], RelatedPair]:
        """Figures of the pairs in the tables of all pairs."""
        relations = self.run.section("relations")
        return {} if relations is None else {(pair.a, pair.b): pair for pair in relations.pairs}

    @property
    def _apart(self) -> dict[tuple[str, str], RelatedPair]:
        """Figures of the pairs that have tables of their own, and under `tables` their names."""
        found = {}
        relating = self.run.record.relating
        for pair in relating.pairs if relating else ():
            a, b = pair.a, pair.b
            if all((self.run.path / _place(name, a, b)).is_file() for name in pair.tables or ()):
                found[a, b] = pair
        return found

    def _discard(self) -> None:
        # unlisted first: what is not listed does not count
        self.run.update(relations=UNSET, relating=UNSET)
        self._sweep()

    def _scan(self, name: str, *pair: str) -> pl.LazyFrame:
        return scan_parquet(self.run.path / _place(name, *pair), error=RunError)

    def _sweep(self) -> None:
        """Remove the tables of single pairs of this run, and no other file."""
        stems = tuple(f"{a}--{b}." for a in self.run.names for b in self.run.names)
        found = (self.run.path / FOLDER).glob("*--*.parquet")
        self.run.remove(f"{FOLDER}/{table.name}" for table in found if table.name.startswith(stems))


def _place(name: str, *pair: str) -> str:
    """Of the table of all pairs, or of one pair."""
    return f"{FOLDER}/{'--'.join(pair)}.{name}.parquet" if pair else f"{FOLDER}/{name}.parquet"

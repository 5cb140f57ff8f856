"""The dashboards of a run, kept SAE by SAE, so that work that was stopped goes on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl
from numpy import ndarray

from saematch.dashboards.activity import Activity
from saematch.dashboards.table import Sides, write_dashboards
from saematch.dashboards.windows import Windows
from saematch.errors import RunError
from saematch.files.differences import option_differences
from saematch.files.foreign import read_parquet
from saematch.files.records import plain, read_record
from saematch.runs.records import Dashboards
from saematch.runs.run import Run

FOLDER = "dashboards"


class Dashing:
    """Takes up the dashboards of a run, or starts them.

    Args:
        run: the run.
        asked: the fields of `Dashboards` besides its tables, as plain values.
        overwrite: discard dashboards that are there.

    Raises:
        RunError: the run has dashboards of other texts, of another model, or with other options.
    """

    def __init__(self, run: Run, asked: Mapping[str, Any], overwrite: bool = False) -> None:
        self.run, self.asked = run, plain(asked)
        there = run.record.dashboards
        if there and overwrite:
            run.update(**{FOLDER: read_record({**self.asked, "tables": {}}, Dashboards)})
            run.remove(there.tables.values())
        elif there:
            told = plain(there)
            found = option_differences({key: told.get(key) for key in self.asked}, dict(self.asked))
            if found:
                raise RunError(
                    f"{run.path} has other dashboards: {'; '.join(found)}; replace them with "
                    "--overwrite (overwrite=True)"
                )

    @property
    def missing(self) -> list[str]:
        """The SAEs of the run without dashboards."""
        return [name for name in self.run.names if not self._has(name)]

    @property
    def missing_pairs(self) -> list[tuple[str, str]]:
        """The pairs of the run of which it is not known whether features agree."""
        return [(a, b) for a, b in self.run.pairs if not self._has(f"{a}--{b}")]

    def add(
        self,
        name: str,
        found: Activity,
        shown: Windows,
        tokens: list[int],
        logits: Sides,
        words: Mapping[int, str],
    ) -> None:
        """Write the dashboards of an SAE, then list them in run.json."""
        with self.run.writing_table(f"{FOLDER}/{name}.parquet") as partial:
            write_dashboards(partial, found, shown, tokens, logits, words)
        self._list([name])

    def add_agreement(self, tables: Mapping[tuple[str, str], pl.DataFrame]) -> None:
        """Write what was found of pairs, then list it in run.json."""
        names = {f"{a}--{b}": table for (a, b), table in tables.items()}
        for name, table in names.items():
            self.run.write(f"{FOLDER}/{name}.parquet", table)
        self._list([*names])

    def places(self, name: str) -> Sequence[ndarray]:
        """For each feature of an SAE the numbers of the tokens of its top contexts.

        Raises:
            RunError: its dashboards cannot be read.
        """
        place = self.run.path / FOLDER / f"{name}.parquet"
        width = self.run.sae(name).d_sae
        column = read_parquet(place, ["places"], error=RunError, most_rows=width)["places"]
        if len(column) != width or column.dtype != pl.List(pl.Int64):
            raise RunError(f"{place}: not the dashboards of {width:,} features; make them again")
        lists = column.to_list()
        return [np.array(one or [], np.int64) for one in lists]

    def _has(self, table: str) -> bool:
        there = self.run.record.dashboards
        return (
            bool(there)
            and table in there.tables  # pyright: ignore[reportAttributeAccessIssue]
            and (self.run.path / FOLDER / f"{table}.parquet").is_file()
        )

    def _list(self, names: Sequence[str]) -> None:
        there = self.run.record.dashboards
        known = dict(there.tables) if there else {}
        known |= {name: f"{FOLDER}/{name}.parquet" for name in names}
        # in the order of the SAEs, then of the pairs, whatever was made first
        every = [*self.run.names, *(f"{a}--{b}" for a, b in self.run.pairs)]
        tables = {name: known[name] for name in every if name in known}
        self.run.update(**{FOLDER: read_record({**self.asked, "tables": tables}, Dashboards)})

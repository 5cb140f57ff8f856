"""What an evaluation that a run holds was made of, and what may be added to it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
import polars as pl

from saematch.errors import RunError
from saematch.evaluation.evaluate import PAIR_SCHEMA
from saematch.evaluation.transports import EDGES_SCHEMA
from saematch.runs.records import Evaluation
from saematch.runs.run import Run

TABLE = "values"
EDGES = "transports"


@dataclass(frozen=True)
class Provenance:
    """What an evaluation was made of: only results made of the same are added to it."""

    options: dict[str, Any]
    digests: dict[str, str]
    fit_digest: str
    fit_tokens: int  # that are predicted

    def kept(self, run: Run, overwrite: bool) -> pl.DataFrame:
        """The existing table, or an empty one if there is none or it is to be overwritten."""
        there = run.section("evaluation")
        different = self._differences(there, _used(run)) if there is not None else []
        if there is None or (overwrite and different):
            return pl.DataFrame(schema=PAIR_SCHEMA)
        if different:
            fewer = there.options.get("transports") and not self.options["transports"]
            raise RunError(
                f"{run.path} holds an evaluation that was made otherwise: {'; '.join(different)}; "
                + "ask for its transports to add to it, or " * bool(fewer)
                + "discard it with --overwrite (overwrite=True)"
            )
        table = _counted(run)
        if not there.options.get("transports"):
            # what a call that was killed left of its transports
            table = table.filter(~pl.col("estimate").str.starts_with("transport"))
        return table

    def kept_edges(self, run: Run, table: pl.DataFrame) -> pl.DataFrame:
        """The edges of the transports in the kept table."""
        if table.is_empty() or EDGES not in run.tables("evaluation"):
            return pl.DataFrame(schema=EDGES_SCHEMA)
        return run.table("evaluation", EDGES)

    def write(self, run: Run, tables: dict[str, pl.DataFrame], texts: str) -> None:
        """Write the tables and their provenance to the run; leave out an empty table of edges."""
        table = tables[TABLE]
        tables = {name: some for name, some in tables.items() if name == TABLE or len(some)}
        there = run.section("evaluation")
        known = {} if there is None or table.is_empty() else there.texts
        there_now = {*table["texts"].unique(), texts}
        digests = {**known, texts: self.digests[texts]}
        # in the order asked for, whatever was done before a stop
        order = dict.fromkeys([*self.digests, *known])
        used = {name: digests[name] for name in order if name in there_now and name in digests}
        fitted = {"fit_texts": self.fit_digest, "fit_tokens": self.fit_tokens}
        summary = {"options": self.options, "texts": used, **fitted}
        grows = False
        if there is not None and not self._differences(there, _used(run)):
            grows = True
            # listed first: rows of texts that are not listed could be of any texts
            run.update(evaluation=msgspec.structs.replace(there, texts={**there.texts, **used}))
        run.add("evaluation", tables, summary, grows=grows)

    def _differences(self, there: Evaluation, used: Collection[str]) -> list[str]:
        """How the existing evaluation differs; only the text sets `used` have values in it."""
        found = [
            f"{key} is {_told(key, there.options.get(key))} there, {_told(key, value)} here"
            for key, value in _listed(self.options).items()
            if there.options.get(key) != value and not self._adds(key, there)
        ]
        for name, value in self.digests.items():
            if name in used and there.texts[name] != value:
                found.append(f"{name} has other examples there")
        if not found and there.fit_texts != self.fit_digest:
            found.append("it was fitted on other examples")
        return found

    def _adds(self, key: str, there: Evaluation) -> bool:
        """Whether transports are added to an evaluation without any; its results stay valid."""
        return key in ("transports", "reaches") and not there.options.get("transports")


def _counted(run: Run) -> pl.DataFrame:
    """The existing values of the text sets that run.json lists."""
    there = run.section("evaluation")
    listed = [] if there is None else [*there.texts]
    return run.table("evaluation", TABLE).filter(pl.col("texts").is_in(listed))


def _used(run: Run) -> set[str]:
    return set(_counted(run)["texts"].unique())


def _told(key: str, value: Any) -> Any:
    """An option's value as one would give it: no limit is 0."""
    return 0 if key == "massive" and value is None else value


def _listed(options: Mapping[str, Any]) -> dict[str, Any]:
    """As JSON gives them back."""
    return {key: list(v) if isinstance(v, tuple) else v for key, v in options.items()}

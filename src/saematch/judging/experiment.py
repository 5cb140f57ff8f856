# pyright: strict
"""The cases and verdicts of a run, in `judging/cases.parquet` and `judging/verdicts.parquet`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from saematch.errors import RunError
from saematch.files.differences import option_differences
from saematch.judging.cases import FRAME, Case, Feature
from saematch.judging.verdict import UNANSWERED, Verdict
from saematch.runs.records import JudgeFigures
from saematch.runs.run import Run

VERDICTS = {
    "case": pl.Int64,
    "judge": pl.String,
    "grade": pl.Int64,
    "probability": pl.Float64,
    "votes": pl.List(pl.Int64),
    "value": pl.Float64,
    "problem": pl.String,
}


class Experiment:
    """What was drawn and judged of a run so far, to which judges are added one by one.

    Args:
        run: the run, which is being written to.
        asked: options, texts, ...: all that the cases depend on, as plain values.
        overwrite: discard cases that were drawn otherwise.

    Raises:
        RunError: the run holds cases that were drawn otherwise.
    """

    def __init__(self, run: Run, asked: Mapping[str, Any], overwrite: bool = False) -> None:
        self._run, self._asked = run, dict(asked)
        self.cases: pl.DataFrame | None = None
        self._verdicts = pl.DataFrame(schema=VERDICTS)
        self._judges: dict[str, JudgeFigures] = {}
        there = run.section("judging")
        if there is None:
            return
        options = self._asked["options"]
        different = option_differences(there.options, options)
        different += option_differences({"texts": there.texts}, {"texts": self._asked["texts"]})
        if different and not overwrite:
            raise RunError(
                f"{run.path} holds judgements of other cases: {'; '.join(different)}; ask for the "
                "same, or replace them with --overwrite (overwrite=True): what a language model "
                "answered is kept all the same"
            )
        if not different:
            self.cases = run.table("judging", "cases")
            self._verdicts = run.table("judging", "verdicts")
            self._judges = {judge.name: judge for judge in there.judges}

    def has(self, judge: JudgeFigures) -> bool:
        """Whether a judge that asks the same model as often, of the same labels, has judged all.

        Cases without a valid answer, where there could be one, are judged again.
        """
        there = self._judges.get(judge.name)
        if there is None or any(
            getattr(there, key) != getattr(judge, key) for key in ("model", "votes", "labels")
        ):
            return False
        open_ = pl.col("problem").fill_null("").str.starts_with(UNANSWERED)
        return not len(self._verdicts.filter((pl.col("judge") == judge.name) & open_))

    def add(
        self,
        cases: pl.DataFrame,
        figures: JudgeFigures,
        verdicts: Sequence[Verdict],
        first: int = 0,
    ) -> None:
        """Write a judge's verdicts on all cases, or on those from `first` on.

        They replace those of a judge of that name.
        """
        self.cases = cases
        rows = [
            (k, figures.name, v.grade, v.probability, [*v.votes], v.value, v.problem)
            for k, v in enumerate(verdicts, first)
        ]
        others = self._verdicts.filter(pl.col("judge") != figures.name)
        new = pl.DataFrame(rows, VERDICTS, orient="row")
        self._verdicts = pl.concat([others.select(*VERDICTS), new])
        self._judges = {**self._judges, figures.name: figures}
        tables = {"cases": cases.select(*FRAME), "verdicts": self._verdicts}
        self._run.add("judging", tables, {**self._asked, "judges": [*self._judges.values()]})


def cases_of(frame: pl.DataFrame) -> list[Case]:
    """The cases that a table of them was made of."""
    return [
        Case(
            Feature(row["a"], row["feature_a"]),
            Feature(row["b"], row["feature_b"]),
            row["kind"],
            row["path"],
            row["step"],
            row["steps"],
            *_negatives(row["near"], row["feature_near"], row["features_others"]),
        )
        for row in frame.iter_rows(named=True)
    ]


def _negatives(
    site: str | None, near: int, others: Sequence[int]
) -> tuple[Feature | None, tuple[Feature, ...]]:
    if site is None:
        return None, ()
    return Feature(site, near), tuple(Feature(site, other) for other in others)


def judged(run: Run) -> pl.DataFrame:
    """One row per case and judge, people who voted among them: the columns of both tables of a run.

    Raises:
        RunError: the run was not judged yet, or its tables or votes cannot be read.
    """
    from saematch.judging.votes import people  # which takes the columns from here

    verdicts = pl.concat([run.table("judging", "verdicts").select(*VERDICTS), people(run)])
    cases = run.table("judging", "cases")
    return verdicts.join(cases, on="case", how="left", maintain_order="left")

"""What shards added to a run, each its part, as one section of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from saematch.errors import RunError
from saematch.files.differences import option_differences
from saematch.files.records import plain
from saematch.progress import Progress, Step
from saematch.runs.records import SectionName
from saematch.runs.run import Run
from saematch.workflows.gathering import Found

Tables = dict[str, pl.DataFrame]
Summary = dict[str, Any]


def merged_evaluation(
    path: Path, shards: Sequence[Found], overwrite: bool, progress: Progress
) -> Run:
    """A run with the evaluation of all its pairs."""
    return _merged(path, shards, "evaluation", _evaluations, overwrite, progress)


def merged_judging(path: Path, shards: Sequence[Found], overwrite: bool, progress: Progress) -> Run:
    """A run with the verdicts on all cases."""
    return _merged(path, shards, "judging", _judgements, overwrite, progress)


def merged_causes(path: Path, shards: Sequence[Found], overwrite: bool, progress: Progress) -> Run:
    """A run with what changing its features does, of all experiments."""
    return _merged(path, shards, "causes", _causes, overwrite, progress)


def _merged(
    path: Path,
    shards: Sequence[Found],
    section: SectionName,
    combine: Callable[[list[Run], list[Summary]], tuple[Tables, Summary]],
    overwrite: bool,
    progress: Progress,
) -> Run:
    progress(Step(f"merging {section}", 0, None))
    run = Run.open(path)
    for found in shards:
        of = Run.open(found.path).record
        if (of.saes, of.pairs) != (run.record.saes, run.record.pairs):
            raise RunError(f"{found.path} is of another run than {path}, or of what it was before")
    # one without any part of the work adds nothing
    parts = [part for found in shards if (part := Run.open(found.path)).section(section)]
    if not parts:
        raise RunError(f"the shards of {path} hold no {section}")
    summaries = [_summary(part, section) for part in parts]
    tables, summary = combine(parts, summaries)
    with run.writing():
        there = run.section(section)
        if there is not None:
            same = plain(_summary(run, section)) == plain(summary) and all(
                name in there.tables and run.table(section, name).equals(table)
                for name, table in tables.items()
            )
            if same:
                return run
            if not overwrite:
                raise RunError(
                    f"{path} holds another {section} already: --overwrite (overwrite=True) puts "
                    "that of the shards in its place"
                )
        run.add(section, tables, summary)
    return run


def _summary(run: Run, section: SectionName) -> Summary:
    return {key: value for key, value in plain(run.section(section)).items() if key != "tables"}


def _evaluations(parts: list[Run], summaries: list[Summary]) -> tuple[Tables, Summary]:
    _check(parts, summaries)
    names = dict.fromkeys(name for part in parts for name in part.tables("evaluation"))
    return {name: _joined(parts, "evaluation", name) for name in names}, summaries[0]


def _causes(parts: list[Run], summaries: list[Summary]) -> tuple[Tables, Summary]:
    _check(parts, [summary | {"done": []} for summary in summaries])
    names = dict.fromkeys(name for part in parts for name in part.tables("causes"))
    done = [job for summary in summaries for job in summary["done"]]
    return {name: _joined(parts, "causes", name) for name in names}, summaries[0] | {"done": done}


def _judgements(parts: list[Run], summaries: list[Summary]) -> tuple[Tables, Summary]:
    counts = ("questions", "input_tokens", "output_tokens")
    judges = {judge["name"]: judge | dict.fromkeys(counts, 0) for judge in summaries[0]["judges"]}
    for summary in summaries:
        for judge in summary["judges"]:
            total = judges.get(judge["name"], {})
            total |= {count: total.get(count, 0) + judge[count] for count in counts}
    bare = [
        summary | {"judges": [judge | dict.fromkeys(counts, 0) for judge in summary["judges"]]}
        for summary in summaries
    ]
    _check(parts, bare)
    cases = parts[0].table("judging", "cases")
    for part in parts[1:]:
        if not part.table("judging", "cases").equals(cases):
            raise RunError(f"{part.path} drew other cases than {parts[0].path}")
    every = _joined(parts, "judging", "verdicts")
    verdicts = pl.concat([every.filter(judge=name) for name in judges])
    return {"cases": cases, "verdicts": verdicts}, summaries[0] | {"judges": [*judges.values()]}


def _joined(parts: Sequence[Run], section: SectionName, name: str) -> pl.DataFrame:
    tables = [part.table(section, name) for part in parts if name in part.tables(section)]
    return pl.concat(tables, how="diagonal_relaxed")


def _check(parts: Sequence[Run], summaries: Sequence[Summary]) -> None:
    """Raise RunError where a part was made otherwise than the first."""
    for part, summary in zip(parts, summaries, strict=True):
        if different := option_differences(summaries[0], summary):
            raise RunError(
                f"{part.path} was made otherwise than {parts[0].path}: {'; '.join(different)}"
            )

# pyright: strict
"""Votes of people, in `RUN/votes/NAME.jsonl`: one line per vote, the last on a pair counts.

    {"a": "resid_post_0", "feature_a": 12, "b": "resid_post_1", "feature_b": 7,
     "grade": 3, "seconds": 4.2, "when": "2026-11-27T12:28:02+00:00"}

A vote is about two features, not about a case by its number, so that it counts wherever the two
are judged: in another draw too. Files of several people merge by lying in the folder.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import msgspec
import polars as pl

from saematch.errors import RunError
from saematch.files.directory import refuse_links
from saematch.judging.cases import Feature
from saematch.judging.experiment import VERDICTS
from saematch.judging.verdict import DIFFERENT, SAME
from saematch.runs.run import Run

FOLDER, SUFFIX = "votes", ".jsonl"
PEOPLE = "people: "  # before a name, in the column `judge`
_NAME = re.compile(r"\w(?:[\w .-]{0,62}[\w-])?")
Number = Annotated[int, msgspec.Meta(ge=0)]
Both = tuple[Feature, Feature]


class Vote(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """What somebody says of two features."""

    a: str
    feature_a: Number
    b: str
    feature_b: Number
    grade: Annotated[int, msgspec.Meta(ge=DIFFERENT, le=SAME)]
    seconds: Annotated[float, msgspec.Meta(ge=0)]  # that it took
    when: str  # ISO 8601, UTC

    @property
    def features(self) -> Both:
        """The two, in an order of their own."""
        return unordered(Feature(self.a, self.feature_a), Feature(self.b, self.feature_b))


class VotesFile:
    """The votes of one person on the features of a run.

    Args:
        run: the run, whose folder `votes` is made when the first vote is added.
        name: of the person: letters, digits, spaces and `_ . -`, 64 at most.

    Raises:
        RunError: there can be no file of that name, or the one there is cannot be read.
    """

    def __init__(self, run: Run, name: str) -> None:
        if not _NAME.fullmatch(name):
            raise RunError(
                f"{name!r} is no name for a file of votes: use letters, digits, spaces and _ . -, "
                "64 at most, a letter or digit first"
            )
        place = f"{FOLDER}/{name}{SUFFIX}"
        refuse_links(run.path, [place])
        self.path = run.path / place
        self.votes = {vote.features: vote for vote in _votes(self.path)}

    def add(self, a: Feature, b: Feature, grade: int, seconds: float) -> None:
        """Append a vote, which is on the disk when this returns.

        Args:
            a: a feature.
            b: the other.
            grade: 1 different, 2 maybe, 3 the same.
            seconds: that it took.

        Raises:
            RunError: it cannot be written.
        """
        now = datetime.now(UTC).isoformat(timespec="seconds")
        vote = Vote(*a, *b, grade, round(seconds, 2), now)
        try:
            self.path.parent.mkdir(exist_ok=True)
            _end_line(self.path)
            with self.path.open("ab") as file:
                file.write(msgspec.json.encode(vote) + b"\n")
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise RunError(f"{self.path} cannot be written: {error.strerror}") from error
        self.votes[vote.features] = vote


def people(run: Run) -> pl.DataFrame:
    """What people say of the cases of a run, as judges: the columns of `judging/verdicts.parquet`.

    Args:
        run: a run that was judged.

    Returns:
        One row per person and case: `case`; `judge`, "people: NAME"; `grade`, 1 to 3;
        `probability`, 0, 0.5 or 1; `votes`, the grade alone; `value` and `problem`, null. Votes on
        features that are no case of the run are left out.

    Raises:
        RunError: the run was not judged, or a file of votes cannot be read.
    """
    cases = run.table("judging", "cases").select("case", "a", "feature_a", "b", "feature_b")
    files = sorted((run.path / FOLDER).glob(f"[!.]*{SUFFIX}"))
    rows: list[tuple[object, ...]] = []
    for file in files:
        votes = {vote.features: vote.grade for vote in _votes(file)}
        for case, a, i, b, j in cases.iter_rows():
            grade = votes.get(unordered(Feature(a, i), Feature(b, j)))
            if grade is not None:
                likely = (grade - DIFFERENT) / (SAME - DIFFERENT)
                rows.append((case, PEOPLE + file.stem, grade, likely, [grade], None, None))
    return pl.DataFrame(rows, VERDICTS, orient="row")


def unordered(one: Feature, other: Feature) -> Both:
    """Two features, the same whichever comes first."""
    return (one, other) if one <= other else (other, one)


def _votes(file: Path) -> Iterator[Vote]:
    """The votes of a file; a last line that was cut while it was written is none."""
    try:
        lines = file.read_bytes().split(b"\n")
    except FileNotFoundError:
        return
    except OSError as error:
        raise RunError(f"{file} cannot be read: {error.strerror}") from error
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            yield msgspec.json.decode(line, type=Vote)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            if number == len(lines):
                return
            raise RunError(f"{file}, line {number}: no vote: {error}") from error


def _end_line(file: Path) -> None:
    """Cut what a killed writer left of a last line; end one that is whole."""
    if not file.exists():
        return
    with file.open("rb+") as opened:
        whole, ended, last = opened.read().rpartition(b"\n")
        if not last:
            return
        try:
            msgspec.json.decode(last, type=Vote)
        except (msgspec.DecodeError, UnicodeDecodeError):
            opened.truncate(len(whole) + len(ended))
        else:
            opened.write(b"\n")

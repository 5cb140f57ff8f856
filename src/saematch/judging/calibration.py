# pyright: strict, reportMissingTypeStubs=false
"""How well what a match carries, such as its p-value, foretells what a judge says of it."""

from __future__ import annotations

import numpy as np
import polars as pl
from numpy import ndarray
from scipy.stats import rankdata  # pyright: ignore[reportUnknownVariableType]

from saematch.judging.verdict import SAME

# columns of a match, and whether less of it is better
FORETELL = {
    "score": False,
    "p_value": True,
    "margin": False,
    "mutual": False,
    "decoder_cosine": False,
}
BINS = 10


def foretold(matches: pl.DataFrame) -> pl.DataFrame:
    """How well each column of a match foretells each judge, over all pairs of a run.

    Scores are compared within a pair only, by their quantile.

    Args:
        matches: verdicts on matches, with the columns of `cases_frame`.

    Returns:
        `judge`, `by` (the column), `cases`, `auc` (the probability that a match that is SAME has
        more of it than one that is not), `coverage` (the area under `coverage_curve`), `mean` (that
        of an order at random) and `best` (of the judge's own order).
    """
    rows: list[tuple[object, ...]] = []
    for judge in matches["judge"].unique(maintain_order=True).to_list():
        known = matches.filter(judge=judge).drop_nulls("grade")
        for by, less in FORETELL.items():
            some = known.drop_nulls([by])
            if len(some) < 2:
                continue
            value = _value(some, by, less)
            likely, same = some["probability"].to_numpy(), (some["grade"] == SAME).to_numpy()
            area = float(coverage_curve(value, likely).mean())
            best = float(coverage_curve(likely, likely).mean())
            rows.append((judge, by, len(some), auc(value, same), area, likely.mean(), best))
    kinds = dict.fromkeys(("auc", "coverage", "mean", "best"), pl.Float64)
    schema = {"judge": pl.String, "by": pl.String, "cases": pl.Int64, **kinds}
    return pl.DataFrame(rows, schema, orient="row").fill_nan(None)


def coverage_curve(value: ndarray, quality: ndarray) -> ndarray:
    """`(cases,)`: the mean quality of the first 1, 2, ... cases, those with most value first.

    Cases with one value are taken together: each counts as the mean of them all.
    """
    order = np.argsort(-value, kind="stable")
    number = np.unique(-value[order], return_inverse=True)[1]
    level = np.bincount(number, quality[order]) / np.bincount(number)
    return np.cumsum(level[number]) / np.arange(1, len(value) + 1)


def reliability(matches: pl.DataFrame, by: str, bins: int = BINS) -> pl.DataFrame:
    """What judges say of matches in bins of a column, the least of it first.

    Args:
        matches: verdicts on matches, with the columns of `cases_frame`.
        by: one of `FORETELL`, or `probability` of another judge that was joined.
        bins: of about as many cases each.

    Returns:
        `judge`, `bin`, `cases`, `low` and `high` of the column (of the score, of its quantile),
        `same` and `probability`.
    """
    rows: list[tuple[object, ...]] = []
    for judge in matches["judge"].unique(maintain_order=True).to_list():
        some = matches.filter(judge=judge).drop_nulls(["grade", by])
        column = some["score_quantile" if by == "score" else by].cast(pl.Float64).to_numpy()
        likely, same = some["probability"].to_numpy(), (some["grade"] == SAME).to_numpy()
        for number, part in enumerate(np.array_split(np.argsort(column, kind="stable"), bins)):
            if len(part):
                ends = column[part].min(), column[part].max()
                means = same[part].mean(), likely[part].mean()
                rows.append((judge, number, len(part), *ends, *means))
    kinds = dict.fromkeys(("low", "high", "same", "probability"), pl.Float64)
    schema = {"judge": pl.String, "bin": pl.Int64, "cases": pl.Int64, **kinds}
    return pl.DataFrame(rows, schema, orient="row")


def auc(value: ndarray, positive: ndarray) -> float:
    """The probability that a positive case has more of a value than another; ties count half.

    Args:
        value: float (cases,).
        positive: bool (cases,).

    Returns:
        NaN where all cases are alike.
    """
    some = int(positive.sum())
    others = len(positive) - some
    if not some or not others:
        return float("nan")
    ranks = np.asarray(rankdata(value), float)
    return float((ranks[positive].sum() - some * (some + 1) / 2) / (some * others))


def _value(some: pl.DataFrame, by: str, less: bool) -> ndarray:
    column = some["score_quantile" if by == "score" else by].cast(pl.Float64).to_numpy()
    return -column if less else column

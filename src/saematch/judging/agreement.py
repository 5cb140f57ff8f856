# pyright: strict
"""How far judges agree with each other, with themselves in another order, and with people."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import polars as pl
from numpy import ndarray

from saematch.judging.verdict import DIFFERENT, SAME

GRADES = SAME - DIFFERENT + 1
RESAMPLES = 1000


def kappa(one: ndarray, other: ndarray, weighted: bool = True) -> float:
    """Cohen's kappa of two judges: agreement beyond chance, 1 at most, 0 for chance.

    Args:
        one: int (cases,), grades 1 to 3.
        other: the same cases' by the other judge.
        weighted: count a disagreement by the square of how far the grades are apart (Cohen, 1968),
            else all alike.

    Returns:
        NaN without cases, or where both gave every case one and the same grade.
    """
    if not len(one):
        return float("nan")
    return float(_kappa(_table(one, other)[None], weighted)[0])


def kappa_interval(
    one: ndarray,
    other: ndarray,
    path: ndarray,
    weighted: bool = True,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> tuple[float, float]:
    """The 95 % interval of `kappa`, by a bootstrap over paths.

    Args:
        one: int (cases,), grades 1 to 3.
        other: the same cases' by the other judge.
        path: int (cases,), which path each case is of: those of one path are drawn together.
        weighted: as of `kappa`.
        resamples: of the bootstrap.
        seed: of the bootstrap.
    """
    if not len(one):
        return float("nan"), float("nan")
    number = np.unique(path, return_inverse=True)[1]
    tables = np.zeros((int(number.max()) + 1, GRADES, GRADES))
    np.add.at(tables, (number, one - DIFFERENT, other - DIFFERENT), 1)
    drawn = _resampled(len(tables), resamples, seed) @ tables.reshape(len(tables), -1)
    found = _kappa(drawn.reshape(-1, GRADES, GRADES), weighted)
    return _percentiles(found)


def mean_interval(
    values: ndarray, path: ndarray, resamples: int = RESAMPLES, seed: int = 0
) -> tuple[float, float]:
    """The 95 % interval of the mean of `values` (cases,), by a bootstrap over paths (cases,)."""
    if not len(values):
        return float("nan"), float("nan")
    number = np.unique(path, return_inverse=True)[1]
    total, count = np.bincount(number, values), np.bincount(number)
    weights = _resampled(len(count), resamples, seed)
    return _percentiles((weights @ total) / (weights @ count))


def between_judges(verdicts: pl.DataFrame, resamples: int = RESAMPLES) -> pl.DataFrame:
    """Agreement of every two judges on the matches and controls that both graded.

    Args:
        verdicts: `case`, `path`, `judge`, `grade`.
        resamples: of the bootstrap over paths.

    Returns:
        `judge`, `other`, `cases`, `agreement` (share of equal grades), `kappa` and `weighted` (its
        grades' distance squared) with the interval `low`, `high` of the latter.
    """
    judges = verdicts["judge"].unique(maintain_order=True).to_list()
    rows: list[tuple[object, ...]] = []
    for one, other in itertools.combinations(judges, 2):
        both = (
            verdicts.filter(judge=one)
            .join(verdicts.filter(judge=other), on="case", suffix="_")
            .drop_nulls(["grade", "grade_"])
        )
        first, second, path = (both[name].to_numpy() for name in ("grade", "grade_", "path"))
        rows.append((one, other, *_agreement(first, second, path, resamples)))
    return pl.DataFrame(rows, {"judge": pl.String, "other": pl.String, **_FIGURES}, orient="row")


def between_orders(verdicts: pl.DataFrame, resamples: int = RESAMPLES) -> pl.DataFrame:
    """Agreement of each judge's first vote with its second: another order, or other contexts.

    Args:
        verdicts: `case`, `path`, `judge`, `votes`.
        resamples: of the bootstrap over paths.
    """
    rows: list[tuple[object, ...]] = []
    for judge in verdicts["judge"].unique(maintain_order=True).to_list():
        some = verdicts.filter((pl.col("judge") == judge) & (pl.col("votes").list.len() >= 2))
        if not len(some):
            continue
        one, other = (some["votes"].list.get(k).to_numpy() for k in (0, 1))
        rows.append((judge, *_agreement(one, other, some["path"].to_numpy(), resamples)))
    return pl.DataFrame(rows, {"judge": pl.String, **_FIGURES}, orient="row")


_FIGURES = {
    "cases": pl.Int64,
    **dict.fromkeys(("agreement", "kappa", "weighted", "low", "high"), pl.Float64),
}


def _agreement(
    one: ndarray, other: ndarray, path: ndarray, resamples: int
) -> tuple[float | int | None, ...]:
    low, high = kappa_interval(one, other, path, resamples=resamples)
    equal = float((one == other).mean()) if len(one) else float("nan")
    figures = (equal, kappa(one, other, weighted=False), kappa(one, other), low, high)
    return (len(one), *(None if np.isnan(value) else value for value in figures))


def _table(one: ndarray, other: ndarray) -> ndarray:
    found = np.zeros((GRADES, GRADES))
    np.add.at(found, (one - DIFFERENT, other - DIFFERENT), 1)
    return found


def _kappa(tables: ndarray, weighted: bool) -> ndarray:
    """`(n,)` of tables `(n, grades, grades)` of counts."""
    apart = np.abs(np.subtract.outer(np.arange(GRADES), np.arange(GRADES)))
    cost = apart**2 if weighted else (apart > 0).astype(float)
    total = tables.sum(axis=(1, 2))
    by_chance = tables.sum(axis=2)[:, :, None] * tables.sum(axis=1)[:, None, :]
    seen = (tables * cost).sum(axis=(1, 2)) / np.maximum(total, 1)
    expected = (by_chance * cost).sum(axis=(1, 2)) / np.maximum(total, 1) ** 2
    return 1 - np.divide(seen, expected, out=np.full(len(total), np.nan), where=expected > 0)


def _resampled(paths: int, resamples: int, seed: int) -> ndarray:
    """`(resamples, paths)`: how often each path is drawn."""
    random = np.random.default_rng(seed)
    return random.multinomial(paths, np.full(paths, 1 / paths), size=resamples).astype(float)


def _percentiles(found: ndarray) -> tuple[float, float]:
    if np.isnan(found).all():
        return float("nan"), float("nan")
    low, high = np.nanpercentile(found, (2.5, 97.5))
    return float(low), float(high)


def shares(verdicts: pl.DataFrame, by: Sequence[str], resamples: int = RESAMPLES) -> pl.DataFrame:
    """Shares of SAME, MAYBE and DIFFERENT among graded cases, and the mean probability.

    Args:
        verdicts: `path`, `judge`, `grade`, `probability`, and the columns `by`.
        by: columns to group by.
        resamples: of the bootstrap over paths.

    Returns:
        The columns `by`; `cases`, `ungraded`; `same`, `maybe`, `different`, with the interval
        `same_low`, `same_high`; `probability` with `low`, `high`.
    """
    rows: list[dict[str, object]] = []
    for key, some in verdicts.group_by(*by, maintain_order=True):
        known = some.drop_nulls("grade")
        grades, path = known["grade"].to_numpy(), known["path"].to_numpy()
        likely = known["probability"].to_numpy()
        same_low, same_high = mean_interval((grades == SAME).astype(float), path, resamples)
        low, high = mean_interval(likely, path, resamples)
        row: dict[str, object] = dict(zip(by, key, strict=True))
        row |= {"cases": len(known), "ungraded": len(some) - len(known)}
        for name, grade in (("same", SAME), ("maybe", SAME - 1), ("different", DIFFERENT)):
            row[name] = float((grades == grade).mean()) if len(known) else None
        row |= {"same_low": same_low, "same_high": same_high}
        row["probability"] = float(likely.mean()) if len(known) else None
        rows.append(row | {"low": low, "high": high})
    return pl.DataFrame(rows).fill_nan(None) if rows else pl.DataFrame()

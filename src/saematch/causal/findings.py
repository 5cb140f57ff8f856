"""What experiments found, as tables with 95 % intervals: over features, drawn with replacement."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import polars as pl
from jaxtyping import Float
from numpy import ndarray

from saematch.causal.substitution import AFFECTED, NEAREST, RANDOM, equivalence
from saematch.evaluation.scores import Resamples
from saematch.layers.layers import STREAM
from saematch.matching.fdr import interval
from saematch.runs.run import Run

RESAMPLES = 1000
STREAM_WORDS = f"in the {STREAM}"
MODULES = {"attn_out": "in attention's output", "mlp_out": "in the MLP's output"}
THIRDS = ("rarest third", "middle third", "most frequent third")
ALIKE = 0.7  # decoder cosine from which two features are called alike (Paulo and Belrose)
DIFFERENT = 0.0  # causal equivalence up to which a partner is no better than nothing


def deactivations(removals: pl.DataFrame, by: Sequence[str] = ()) -> pl.DataFrame:
    """How often a feature no longer fires, by what was removed.

    Args:
        removals: as of `deactivation`.
        by: columns to tell apart besides the method, such as `b`.

    Returns:
        By `by`, `method`, `control`: `features`, `active` (the share in which something that fired
        was removed), `success` and `change` with their intervals, `success_active` (of those in
        which something was removed), and the mean `size` removed.
    """
    keys = [*by, "method", "control"]
    frame = removals.with_columns(
        success=pl.col("after") == 0, change=1 - pl.col("after") / pl.col("before")
    )
    rows: list[dict[str, Any]] = []
    for key, some in frame.group_by(keys, maintain_order=True):
        hits = np.array([some["success"].sum()])
        low, high = interval(hits, np.array([len(some)]))
        change = _mean(some["change"].to_numpy())
        rows.append(
            {
                **dict(zip(keys, key, strict=True)),
                "features": len(some),
                "active": some.select((pl.col("active") > 0).mean()).item(),
                "success": hits[0] / len(some),
                "success_low": float(low[0]),
                "success_high": float(high[0]),
                "success_active": some.filter(pl.col("active") > 0)["success"].mean(),
                **_named("change", change),
                "size": some["size"].mean(),
            }
        )
    return pl.DataFrame(rows)


def by_place(removals: pl.DataFrame, run: Run) -> dict[str, pl.DataFrame]:
    """Removals by where predecessors are: words for the place, such as `in the residual stream`.

    Args:
        removals: as of `deactivation`, of SAEs of the run.
        run: says where they read.
    """
    found: dict[str, list[str]] = {}
    for a in removals["a"].unique(maintain_order=True):
        site = None if "+" in a else run.sae(a).site
        words = "at all these places" if "+" in a else STREAM_WORDS
        if site is not None and site.stream != STREAM:
            words = MODULES.get(site.stream, f"in {site.stream}")
        found.setdefault(words, []).append(a)
    return {place: removals.filter(pl.col("a").is_in(names)) for place, names in found.items()}


def substitutions(replaced: pl.DataFrame, by: Sequence[str] = ()) -> pl.DataFrame:
    """How well partners take the place of features, by method.

    Args:
        replaced: as of `substitution`, with `p_value` and `score` of the partner.
        by: columns to tell apart besides the method.

    Returns:
        By `by` and `method`: `features`, `coverage` (the share with a partner), `equivalence` of
        those that have one, `ausqc` (see `quality_curve`; null of controls), each with its
        interval; `trajectory` beside `trajectory_other` and `trajectory_size`; `alike`, the number
        of partners with a decoder cosine of 0.7 or more, and `alike_different`, the share of those
        that are no better than nothing.
    """
    frame = replaced.with_columns(equivalence=equivalence())
    keys = [*by, "method"]
    rows: list[dict[str, Any]] = []
    for key, some in frame.group_by(keys, maintain_order=True):
        method = key[-1]
        have = some.filter(pl.col("substituted").is_not_null())
        alike = have.filter(pl.col("cosine") >= ALIKE)
        named = method not in (RANDOM, NEAREST, AFFECTED)
        different = (alike["equivalence"] <= DIFFERENT).mean()
        rows.append(
            {
                **dict(zip(keys, key, strict=True)),
                "features": len(some),
                "coverage": len(have) / len(some),
                **_named("equivalence", _mean(have["equivalence"].to_numpy())),
                **_named("ausqc", _bootstrap(some, _ausqc) if named else (None, None, None)),
                "trajectory": have["trajectory"].mean(),
                "trajectory_other": have["trajectory_other"].mean(),
                "trajectory_size": have["trajectory_size"].mean(),
                "alike": len(alike),
                "alike_different": different,
            }
        )
    return pl.DataFrame(rows)


def by_frequency(replaced: pl.DataFrame) -> pl.DataFrame:
    """The same rows with `often`: whether the source is in the rarest third, the middle or the top.

    Args:
        replaced: as of `substitution`.
    """
    keys = ["a", "b", "source"]
    # in one order, so that features of one frequency fall into the same thirds every time
    sources = replaced.unique(keys).sort("frequency", *keys).select(*keys, "frequency")
    place = pl.col("frequency").rank("ordinal") - 1
    third = (3 * place / pl.len()).floor().cast(pl.Int64)
    of = sources.with_columns(
        often=third.replace_strict(dict(enumerate(THIRDS)), return_dtype=pl.String)
    ).drop("frequency")
    return replaced.join(of, on=keys, how="left", maintain_order="left")


def what_foretells(replaced: pl.DataFrame) -> pl.DataFrame:
    """What goes with causal equivalence: Spearman's rank correlations over partners, by method.

    Args:
        replaced: as of `substitution`, with `p_value`, `score` and `correlation` of the partner.

    Returns:
        By `method`: `partners`, and the correlation with `cosine` of the decoder rows,
        `correlation` of activations, `p_value`, `score` and `frequency` of the source; null where a
        method has no such figure.
    """
    have = replaced.filter(pl.col("substituted").is_not_null()).with_columns(
        equivalence=equivalence()
    )
    rows: list[dict[str, Any]] = []
    for (method,), some in have.group_by("method", maintain_order=True):
        row: dict[str, Any] = {"method": method, "partners": len(some)}
        for name in ("cosine", "correlation", "p_value", "score", "frequency"):
            both = some.select("equivalence", name).drop_nulls()
            varies = len(both) > 2 and both[name].n_unique() > 1
            row[name] = (
                both.select(pl.corr("equivalence", name, method="spearman")).item()
                if varies
                else None
            )
        rows.append(row)
    return pl.DataFrame(rows)


def quality_curve(replaced: pl.DataFrame) -> Float[ndarray, "features 2"]:
    """Substitution quality against coverage: the best share of features, and their mean quality.

    Features are ranked by the p-value of their partner, those of one p-value by its score; features
    without a partner come last and have the quality 0, that of nothing put in their place. The mean
    of the second column is the area under the curve, AUSQC.

    Args:
        replaced: rows of one method, as of `substitutions`.
    """
    frame = replaced.with_columns(equivalence=equivalence()).sort(
        pl.col("substituted").is_null(),
        pl.col("p_value").fill_null(0.0),
        pl.col("score").fill_null(-np.inf),
        descending=[False, False, True],
    )
    n = np.arange(1, len(frame) + 1)
    return np.stack([n / len(frame), frame["equivalence"].to_numpy().cumsum() / n], 1)


def foretelling(removals: pl.DataFrame) -> pl.DataFrame:
    """How well weights foretell what removing a single feature does to another's pre-activation.

    Args:
        removals: as of `deactivation`, with `foretold` and `cosine` (see `average.foretold`).

    Returns:
        By `method`: `removals`, and Spearman's rank correlation of the change with `effect`, the
        average effect times what was removed, and with `cosine` of the decoder rows times that.
    """
    if "foretold" not in removals.columns:
        return pl.DataFrame()
    frame = removals.filter(pl.col("foretold").is_not_null(), ~pl.col("control")).with_columns(
        change=pl.col("pre_before") - pl.col("pre_after"), alike=pl.col("cosine") * pl.col("size")
    )
    return frame.group_by("method", maintain_order=True).agg(
        pl.len().alias("removals"),
        pl.corr("change", "foretold", method="spearman").alias("effect"),
        pl.corr("change", "alike", method="spearman").alias("cosine"),
    )


def together(tracks: pl.DataFrame) -> pl.DataFrame:
    """Tracks against their members: `ratio` of summed divergences, with intervals over tracks.

    One row for `together / alone`, `together / largest`, and `together / control together`, the
    first two of the controls as well (`control`).
    """
    rows: list[dict[str, Any]] = []
    for control in (False, True):
        word = "control_" if control else ""
        for below in ("alone", "largest"):
            rows.append(_ratio(tracks, f"{word}together", f"{word}{below}", control, below))
    rows.append(_ratio(tracks, "together", "control_together", False, "control together"))
    return pl.DataFrame(rows)


def _ratio(tracks: pl.DataFrame, above: str, below: str, control: bool, to: str) -> dict[str, Any]:
    one, other = (tracks[name].to_numpy() for name in (above, below))
    draws = Resamples(len(tracks), RESAMPLES)
    found = draws.interval(lambda weights: (weights @ one) / np.maximum(weights @ other, 1e-12))
    return {
        "control": control,
        "to": to,
        "tracks": len(tracks),
        **_named("ratio", (found.value, found.low, found.high)),
    }


def _ausqc(replaced: pl.DataFrame) -> float:
    return float(quality_curve(replaced)[:, 1].mean())


def _bootstrap(
    frame: pl.DataFrame, statistic: Callable[[pl.DataFrame], float], resamples: int = 200
) -> tuple[float, float, float]:
    random = np.random.default_rng(0)
    found = [
        statistic(frame[random.integers(len(frame), size=len(frame))]) for _ in range(resamples)
    ]
    low, high = np.quantile(found, [0.025, 0.975])
    return statistic(frame), float(low), float(high)


def _mean(values: ndarray) -> tuple[float | None, float | None, float | None]:
    if not len(values):
        return None, None, None
    draws = Resamples(len(values), RESAMPLES)
    found = draws.interval(lambda weights: (weights @ values) / weights.sum(1))
    if len(values) < 2:
        return found.value, None, None
    return found.value, found.low, found.high


def _named(name: str, found: tuple[float | None, float | None, float | None]) -> dict[str, Any]:
    return dict(zip((name, f"{name}_low", f"{name}_high"), found, strict=True))

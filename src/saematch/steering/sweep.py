"""Steering at several strengths and in several ways: what it does to a theme, and to the text.

A sweep is kept in a run: its texts with their measures, their means by way and strength, and which
features each way steers by how much.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import polars as pl
from msgspec import structs

from saematch.errors import RunError
from saematch.files.differences import option_differences
from saematch.files.records import plain
from saematch.runs.records import SweepFigures
from saematch.runs.run import Run
from saematch.steering.features import Feature
from saematch.steering.measures import GRAMS, TextMeasures, Theme
from saematch.steering.plan import OUTPUT_SCORE, Asked, Plan
from saematch.steering.text import Continuation

PERPLEXITY, DISTINCT = 2.0, 0.8  # from when on text is damaged, beside the plain model's
PLAIN = "plain"  # the model as it is
THEME = "theme"  # in the table of features: those by which the theme is told
# ways of a sweep, and what they ask for
WAYS: dict[str, dict[str, Any]] = {
    "layer": {"along": "layer"},
    OUTPUT_SCORE: {"along": "layer", "layer": OUTPUT_SCORE},
    "track": {"along": "track"},
    "flow": {"along": "flow"},
}
_MEASURED = ("activation", "firing", "loss", *(f"distinct_{n}" for n in GRAMS))
_RATED = ("concept", "fluency")
TEXTS = {
    "sweep": pl.String,
    "way": pl.String,
    "strength": pl.Float64,
    "prompt": pl.String,
    "sample": pl.Int64,
    "text": pl.String,
    "tokens": pl.Int64,
    **dict.fromkeys((*_MEASURED, *_RATED), pl.Float64),
}
FEATURES = {
    "sweep": pl.String,
    "way": pl.String,
    "site": pl.String,
    "feature": pl.Int64,
    "amount": pl.Float64,
    "output_score": pl.Float64,
}


def asked_by(way: str, asked: Asked) -> Asked:
    """What a way of a sweep asks for, everything else as it is."""
    return replace(asked, **{"along": "layer", "layer": None, **WAYS[way]})


def theme_of(run: Run, features: Sequence[Feature]) -> Theme:
    """The features by which a theme is told, and the largest activation of each; 1 if not known."""
    known = {site: run.features(site)["max_activation"] for site, _ in features}
    largest = [known[site][feature] for site, feature in features]
    return Theme(tuple(features), tuple(1.0 if not value else float(value) for value in largest))


def texts_frame(
    sweep: str,
    way: str,
    strength: float,
    texts: Sequence[Continuation],
    measures: Sequence[TextMeasures],
) -> pl.DataFrame:
    """One row per text of a way and strength, not rated yet."""
    rows = [
        (sweep, way, strength, text.prompt, text.sample, text.text, len(text.ids), *_values(one))
        for text, one in zip(texts, measures, strict=True)
    ]
    return pl.DataFrame(rows, TEXTS, orient="row")


def _values(one: TextMeasures) -> tuple[float | None, ...]:
    return one.activation, one.firing, one.loss, *one.distinct, None, None


def features_frame(sweep: str, way: str, plan: Plan) -> pl.DataFrame:
    """What a way adds of each feature at strength 1, and output scores where it chose by them."""
    scores = {(one.site, one.feature): one.score for one in plan.scores}
    adds = plan.asked.how == "add"
    changes = plan.changes(1.0)
    steered = {(c.site, c.feature): c.amount if adds else None for c in changes}
    rows = [
        (sweep, way, site, feature, steered.get((site, feature)), scores.get((site, feature)))
        for site, feature in {**steered, **scores}
    ]
    return pl.DataFrame(rows, FEATURES, orient="row")


def theme_frame(sweep: str, theme: Theme) -> pl.DataFrame:
    """The features by which the theme is told."""
    rows = [(sweep, THEME, site, feature, None, None) for site, feature in theme.features]
    return pl.DataFrame(rows, FEATURES, orient="row")


def means(texts: pl.DataFrame) -> pl.DataFrame:
    """One row per sweep, way and strength: means over its texts, with 95 % intervals.

    `sweep`, `way`, `strength`, `texts`, `tokens`; of each measure its mean, and `_low` and `_high`
    from the spread between texts; `perplexity`, exp of the mean loss.
    """
    columns = [pl.len().cast(pl.Int64).alias("texts"), pl.col("tokens").sum()]
    for name in (*_MEASURED, *_RATED):
        value = pl.col(name)
        half = 1.96 * value.std() / value.count().sqrt()
        mean = value.mean()
        columns += [
            mean.alias(name),
            (mean - half).alias(f"{name}_low"),
            (mean + half).alias(f"{name}_high"),
        ]
    grouped = texts.group_by("sweep", "way", "strength", maintain_order=True).agg(columns)
    return grouped.with_columns(pl.col("loss").exp().alias("perplexity")).fill_nan(None)


def with_damage(means: pl.DataFrame) -> pl.DataFrame:
    """The means with `damaged`: whether text is hardly text any more, beside the plain model's.

    It is where the plain model finds it more than `PERPLEXITY` times as improbable, or where pairs
    of tokens are repeated so that less than `DISTINCT` of the usual share are different: text that
    repeats itself is probable.
    """
    plain = means.filter(way=PLAIN).select(
        "sweep", plain_perplexity="perplexity", plain_distinct="distinct_2"
    )
    improbable = pl.col("perplexity") > PERPLEXITY * pl.col("plain_perplexity")
    repeats = pl.col("distinct_2") < DISTINCT * pl.col("plain_distinct")
    damaged = (improbable | repeats).fill_null(value=True)
    joined = means.join(plain, on="sweep", how="left", maintain_order="left")
    return joined.with_columns(damaged.alias("damaged")).drop("plain_perplexity", "plain_distinct")


def best_of(means: pl.DataFrame) -> dict[str, Any] | None:
    """The row of a sweep with the most of the theme in text that is not damaged.

    None where no way brings more of the theme than the plain model does, by the 95 % interval of
    the difference.
    """
    plain = means.filter(way=PLAIN).row(0, named=True)
    usual = plain["activation"] or 0.0
    spread = (plain["activation_high"] or usual) - usual
    half = (pl.col("activation_high") - pl.col("activation")).fill_null(0.0)
    beyond = pl.col("activation") - usual > (half.pow(2) + spread**2).sqrt()
    found = with_damage(means).filter(pl.col("way") != PLAIN, ~pl.col("damaged"), beyond)
    best = found.sort("activation", descending=True)
    return best.row(0, named=True) if len(best) else None


class Sweeps:
    """The sweeps of a run, to which others are added; the run is being written to."""

    def __init__(self, run: Run) -> None:
        self._run = run
        there = run.section("steering")
        self.known = {} if there is None else {sweep.name: sweep for sweep in there.sweeps}

    def same(self, asked: SweepFigures, overwrite: bool) -> bool:
        """Whether a sweep is there already; ratings are no part of what it is.

        Raises:
            RunError: one of that name is there, made otherwise, and not to be replaced.
        """
        there = self.known.get(asked.name)
        if there is None:
            return False
        different = option_differences(_options(there), _options(asked))
        if different and not overwrite:
            raise RunError(
                f"{self._run.path} holds another sweep {asked.name!r}: {'; '.join(different)}; "
                "give this one another name (--name), or replace that one (--overwrite)"
            )
        return not different

    def texts(self, name: str) -> pl.DataFrame:
        """The texts of a sweep that is there."""
        return self._run.table("steering", "texts").filter(sweep=name).select(*TEXTS)

    def features(self, name: str) -> pl.DataFrame:
        """The features of a sweep that is there."""
        return self._run.table("steering", "features").filter(sweep=name).select(*FEATURES)

    def add(self, figures: SweepFigures, texts: pl.DataFrame, features: pl.DataFrame) -> None:
        """Write a sweep; it replaces one of its name."""
        others = {name: its for name, its in self.known.items() if name != figures.name}
        there = self._run.section("steering")
        if there is not None and self.known.get(figures.name) is not None:
            # taken from run.json alone: whatever stops this, the other sweeps stay
            kept = [*others.values()]
            self._run.update(steering=structs.replace(there, sweeps=kept))
        if others:
            listed = pl.col("sweep").is_in([*others])
            old = self._run.table("steering", "texts").filter(listed).select(*TEXTS)
            texts = pl.concat([old, texts])
            old = self._run.table("steering", "features").filter(listed).select(*FEATURES)
            features = pl.concat([old, features])
        self.known = {**others, figures.name: figures}
        tables = {"texts": texts, "means": means(texts), "features": features}
        self._run.add("steering", tables, {"sweeps": [*self.known.values()]}, grows=True)


def _options(figures: SweepFigures) -> dict[str, Any]:
    told = plain(structs.asdict(figures))
    return {"features": told["features"], "model": told["model"], **told["options"]}


def sweep_name(features: Sequence[Feature]) -> str:
    """What a sweep is called by default: after the features that were named."""
    first = "+".join(f"{site}-{feature}" for site, feature in features[:3])
    return first if len(features) <= 3 else f"{first}+{len(features) - 3}"

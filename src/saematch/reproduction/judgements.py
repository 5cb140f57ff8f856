"""What a reproduction says of the meaning of matched features, as judges see it."""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from saematch.judging.agreement import shares
from saematch.judging.experiment import judged
from saematch.plots import FIGURES, Missing
from saematch.plots.style import percent
from saematch.reproduction.figures import WAYS
from saematch.reproduction.matches import Found
from saematch.reproduction.page import Section
from saematch.reproduction.reproduction import Reproduction
from saematch.runs.run import Run

CONTROLS = {
    "random": "of random partners",
    "near": "of the nearest features that are no partners",
    "self": "of features and themselves on other text",
}


def judged_shares(runs: Mapping[str, Run]) -> pl.DataFrame:
    """`saematch.judging.shares` by `method` (the run), `judge` and `kind`, of runs judged."""
    found = [
        shares(judged(run), ["judge", "kind"]).select(pl.lit(name).alias("method"), pl.all())
        for name, run in runs.items()
        if run.section("judging") is not None
    ]
    nothing = {"method": pl.String, "judge": pl.String, "kind": pl.String, "cases": pl.Int64}
    return pl.concat(found, how="vertical_relaxed") if found else pl.DataFrame(schema=nothing)


def meaning(made: Reproduction) -> Found:
    """Shares of matches judged SAME, beside controls and other ways of matching."""
    table = made.table("judged")
    known = table.filter(pl.col("cases") > 0)
    matches = known.filter(kind="match")
    own = matches.filter(method="folded")
    if not len(own):
        raise Missing(
            "what matched features mean: too few of them fire often enough on the texts to judge"
        )
    first = (
        f"Of {own['cases'].max():,} matches by SAE Match along paths through the layers, judges "
        f"that need no language model call SAME: {_told(own)}."
    )
    controls = [
        f"{name} {', '.join(_shares(some))}"
        for kind, name in CONTROLS.items()
        if len(some := known.filter(method="folded", kind=kind))
    ]
    says = [
        first,
        f"Of controls they call SAME: {'; '.join(controls)}. A judge is worth what lies between.",
        "They judge text that no method saw: firing compares when features fire, contexts and "
        "contexts-choice what they fire on, by static embeddings. The paper asks a language model; "
        "saematch judge can ask one about each of these runs.",
    ]
    every = dict.fromkeys(matches["method"])
    wide = matches.select(
        pl.col("method").replace({way: WAYS[way][0] for way in every}),
        "judge",
        pl.Series("same", [_share(row) for row in matches.iter_rows(named=True)]),
    ).pivot("judge", index="method", values="same")
    section = Section(
        "Do matched features mean the same?",
        says,
        list(FIGURES["judging"](made.runs["folded"]).values()),
        [
            ("share of matches judged SAME by way of matching and judge, with its interval", wide),
            ("matches and controls, every way of matching and judge", table),
        ],
    )
    return section, [first]


def _told(rows: pl.DataFrame) -> str:
    return ", ".join(f"{row['judge']} {_share(row)}" for row in rows.iter_rows(named=True))


def _shares(rows: pl.DataFrame) -> list[str]:
    return [f"{row['judge']} {percent(row['same'])}" for row in rows.iter_rows(named=True)]


def _share(row: Mapping[str, float]) -> str:
    low, high = row["same_low"], row["same_high"]
    return f"{percent(row['same'])} ({percent(low)} to {percent(high)})"

"""What a reproduction says of hidden states mapped along matches, and of the SAEs themselves."""

from __future__ import annotations

import polars as pl

from saematch.evaluation.tables import main_carry, nearest
from saematch.plots import FIGURES, Missing
from saematch.reproduction.matches import OTHERS, Found
from saematch.reproduction.numbers import against_drop, cost_of, evaluated_run
from saematch.reproduction.page import Section
from saematch.reproduction.reproduction import Reproduction


def estimates(made: Reproduction) -> Found:
    run = evaluated_run(made, "folded")
    table = main_carry(run.table("evaluation", "values"))
    near = nearest(table.filter("main"))
    unscaled = nearest(table.filter(carry="none", links="assigned", estimate="match"))
    loss = near.filter(metric="delta-loss")
    told = {
        "dropping the layer": cost_of(loss, "drop"),
        "least squares": cost_of(loss, "least squares"),
        "the later SAE's own reconstruction": cost_of(loss, "encode-decode target"),
        "SAE Match's estimate": cost_of(loss, "match", "assigned"),
        "the partial variant on significant matches, with the error carried": cost_of(
            loss, "partial + error", "matched"
        ),
    }
    more, less, every = against_drop(near, "match", "assigned")
    first = (
        f"SAE Match's estimate of a hidden state one layer on costs more than dropping the layer "
        f"in {more} of {every} cases and less in {less} (a case is a pair of layers on a text set)."
    )
    says = [first, _listed("Delta-loss in nats, median over cases: ", told)]
    if len(unscaled):
        plain = cost_of(unscaled.filter(metric="delta-loss"), "match", "assigned")
        scaled = told["SAE Match's estimate"]
        if plain is not None and scaled is not None:
            says.append(
                f"Rescaling activations by thresholds on the way: {scaled:.2f} nats with it, "
                f"{plain:.2f} without."
            )
    for name in ("fused", "fused-generated"):
        if made.runs[name].section("evaluation") is None:
            continue
        values = made.runs[name].table("evaluation", "values")
        other = nearest(main_carry(values).filter("main"))
        cost = cost_of(other.filter(metric="delta-loss"), "match", "assigned")
        beat = against_drop(other, "match", "assigned")
        if cost is not None:
            says.append(
                f"Along matches {OTHERS[name]} the estimate costs {cost:.2f} nats: more than "
                f"dropping the layer in {beat[0]} of {beat[2]} cases, less in {beat[1]}."
            )
    kept = ("estimate", "links", "q", "carry", "texts", "a", "b", "value", "low", "high")
    section = Section(
        "Hidden states across a layer",
        says,
        list(FIGURES["carried"](run).values()),
        [
            ("delta-loss of every estimate", _labelled(loss).select(kept)),
            (
                "explained variance of every estimate",
                _labelled(near.filter(metric="explained variance")).select(kept),
            ),
            (
                "matching scores on each text set",
                near.filter(pl.col("metric").is_in(["P(j|i)", "P(i|j)", "Jaccard"])).select(
                    "metric", "estimate", "links", "texts", "a", "b", "value", "low", "high"
                ),
            ),
        ],
    )
    return section, [first]


def quantiles(made: Reproduction) -> Found:
    run = evaluated_run(made, "folded")
    near = nearest(main_carry(run.table("evaluation", "values")).filter("main"))
    part = near.filter(pl.col("q").is_not_null(), metric="delta-loss", estimate="partial")
    if not len(part):
        raise Missing("the evaluation has no quantiles")
    best = part.sort("value").group_by("a", "b", "texts", maintain_order=True).first()
    least, cases = best.filter(pl.col("q") == 0).height, best.height
    by_q = part.group_by("q").agg(pl.col("value").median()).sort("q")
    costs = ", ".join(f"q = {q:g}: {value:.2f}" for q, value in by_q.iter_rows())
    says = [
        f"Of the partial variant (Appendix B), sending no feature ahead costs least in {least} of "
        f"{cases} cases.",
        f"Delta-loss in nats, median over cases: {costs}.",
    ]
    return Section(
        "How many features to send ahead", says, list(FIGURES["quantiles"](run).values())
    ), says[:1]


def saes(made: Reproduction) -> Found:
    table = made.table("saes")
    values = evaluated_run(made, "folded").table("evaluation", "values")
    own = values.filter(
        pl.col("metric").is_in(["delta-loss", "explained variance"]),
        estimate="encode-decode target",
    )
    shown = table
    for metric in ("explained variance", "delta-loss"):
        by = own.filter(metric=metric).group_by("b").agg(pl.col("value").mean().alias(metric))
        shown = shown.join(by, left_on="name", right_on="b", how="left", maintain_order="left")
    says = [
        f"{table.height} SAEs with an L0 of {table['l0'].min():.0f} to {table['l0'].max():.0f}; "
        f"{table['silent'].min():.1%} to {table['silent'].max():.1%} of their features never fire "
        "on the texts reported on. Explained variance and delta-loss (of splicing in an SAE's own "
        "reconstruction) are means over text sets."
    ]
    return Section("The SAEs", says, tables=[("each SAE", shown)]), []


def work(made: Reproduction) -> Found:
    parts = made.record.parts
    table = pl.DataFrame(
        {
            "part": [part.name for part in parts],
            "minutes": [part.seconds / 60 for part in parts],
            "memory, GiB": [part.resident_bytes / 2**30 for part in parts],
        },
        schema={"part": pl.String, "minutes": pl.Float64, "memory, GiB": pl.Float64},
    )
    minutes = table["minutes"].sum()
    says = [f"{minutes:.1f} minutes in all; memory is that of the process after each part."]
    return Section("Time and memory", says, tables=[("each part", table)]), []


def _listed(lead: str, values: dict[str, float | None]) -> str:
    known = [f"{name} {value:.2f}" for name, value in values.items() if value is not None]
    return f"{lead}{'; '.join(known)}."


def _labelled(table: pl.DataFrame) -> pl.DataFrame:
    return table.sort("texts", "estimate", maintain_order=True)

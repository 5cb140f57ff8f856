"""Judgements as tables: of matches and controls, by layer, of judges among each other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import polars as pl

from saematch.cli.report import new_table, show_place

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from saematch.runs.run import Run

KINDS = {
    "match": "matches",
    "composed": "chained matches",
    "direct": "direct matches",
    "self": "a feature and itself, on other text",
    "near": "the nearest feature that is no partner",
    "identity": "feature i and feature i",
    "random": "a random partner",
}
COLUMNS = {
    "score": "score, within its pair",
    "p_value": "p-value",
    "margin": "margin",
    "mutual": "mutual best",
    "decoder_cosine": "decoder cosine",
}


BINS = 5  # of p-values


def show_judging(console: Console, run: Run) -> None:
    """Print what judges say of a run."""
    from rich.text import Text

    from saematch.judging import (
        between_judges,
        between_orders,
        foretold,
        judged,
        reliability,
        shares,
    )

    table = judged(run)
    section = run.section("judging")
    assert section is not None
    paths = table["path"].n_unique()
    matches = table.filter(kind="match")["case"].n_unique()
    controls = table["case"].n_unique() - matches
    drawn = "paths" if section.options.get("draw") == "paths" else "draws"
    head = f"{matches:,} matches along {paths:,} {drawn}, and {controls:,} other pairs, judged"
    console.print(Text(head, style="bold"))
    console.print()
    judges = table["judge"].unique(maintain_order=True).to_list()
    significant = shares(table.filter(kind="match"), ["matched", "judge"])
    console.print(_by(shares(table, ["kind", "steps", "judge"]), significant, judges))
    console.print(
        Text(
            "Share judged SAME, with its 95 % interval over paths. A judge is worth what separates "
            "its verdicts on matches from those on random and near partners, as far as it knows a "
            "feature again.",
            style="dim",
        )
    )
    console.print()
    steps = shares(table.filter(kind="match"), ["a", "b", "judge"])
    if steps.select("a", "b").n_unique() > 1:
        console.print(_layers(steps, judges))
        console.print()
    for heading, frame in (
        ("Judges among each other", between_judges(table)),
        ("Each judge and itself, asked once more", between_orders(table)),
    ):
        if len(frame):
            console.print(_agreement(heading, frame))
            console.print()
    bins = reliability(table.filter(kind="match"), "p_value", BINS)
    if len(bins):
        console.print(_bins(bins, judges))
        console.print()
    known = foretold(table.filter(kind="match"))
    if len(known):
        console.print(_foretold(known, judges))
        console.print(
            Text(
                "AUC: how often a match that is judged SAME has more of it (of the p-value, less) "
                "than one that is not; 0.5 is chance.",
                style="dim",
            )
        )
    tokens = sum(judge.input_tokens + judge.output_tokens for judge in section.judges)
    questions = sum(judge.questions for judge in section.judges)
    if questions:
        console.print(f"\n{questions:,} questions to language models, {tokens:,} tokens")
    missing = table.filter(pl.col("grade").is_null()).group_by("judge", "problem").len()
    for judge, problem, count in missing.sort("judge", "len").iter_rows():
        console.print(Text(f"{judge}: {count:,} pairs not judged: {problem}", style="dim"))
    for note in section.notes:
        console.print(Text(f"note: {note}", style="dim"))
    show_place(console, run)


def show_comparison(console: Console, runs: Sequence[Run]) -> None:
    """Print what judges say of several runs of the same SAEs, side by side."""
    from rich.text import Text

    from saematch.judging import judged, shares

    tables = [judged(run) for run in runs]
    judges = [*dict.fromkeys(name for some in tables for name in some["judge"])]
    table = _table("Judged SAME", "run, method", "pairs", "how many", *judges)
    for run, every in zip(runs, tables, strict=True):
        method = next(iter(run.summaries.values()))["method"]
        matches = every.filter(kind="match")
        for name, pairs in (
            ("matches", matches),
            ("  significant", matches.filter("matched")),
            ("a random partner", every.filter(kind="random")),
            ("a feature and itself", every.filter(kind="self")),
        ):
            some = shares(pairs, ["judge"])
            if len(some):
                cells = [_share(some.filter(judge=judge)) for judge in judges]
                head = f"{run.path}, {method}" if pairs is matches else ""
                table.add_row(head, name, f"{pairs['case'].n_unique():,}", *cells)
    console.print(table)
    console.print(
        Text(
            "With 95 % intervals over paths: methods whose intervals overlap are not told apart.",
            style="dim",
        )
    )


def _by(found: pl.DataFrame, significant: pl.DataFrame, judges: Sequence[str]) -> Table:
    table = _table("Judged SAME", "pairs", "how many", *judges)
    for kind, name in KINDS.items():
        here = found.filter(kind=kind)
        for steps in sorted(here["steps"].unique()):
            some = here.filter(steps=steps)
            most = max((some["cases"] + some["ungraded"]).to_list())
            told = name if steps == 1 else f"{name}, {steps} steps"
            cells = [_share(some.filter(judge=judge)) for judge in judges]
            table.add_row(told, f"{most:,}", *cells)
        if kind == "match":
            for yes, name in ((True, "  significant"), (False, "  not")):
                some = significant.filter(matched=yes)
                if len(some):
                    most = max((some["cases"] + some["ungraded"]).to_list())
                    cells = [_share(some.filter(judge=judge)) for judge in judges]
                    table.add_row(name, f"{most:,}", *cells)
    return table


def _layers(found: pl.DataFrame, judges: Sequence[str]) -> Table:
    table = _table("By layer", "matches", "how many", *judges)
    for (a, b), some in found.group_by("a", "b", maintain_order=True):
        cells = [_share(some.filter(judge=judge)) for judge in judges]
        table.add_row(f"{a} → {b}", f"{some['cases'].max() or 0:,}", *cells)
    return table


def _agreement(heading: str, found: pl.DataFrame) -> Table:
    table = _table(heading, "judges", "pairs", "equal", "kappa", "weighted kappa")
    for row in found.iter_rows(named=True):
        names = " and ".join(row[name] for name in ("judge", "other") if name in row)
        interval = "" if row["low"] is None else f" ({row['low']:.2f} to {row['high']:.2f})"
        weighted = _number(row["weighted"]) + interval
        equal = "-" if row["agreement"] is None else f"{row['agreement']:.0%}"
        table.add_row(names, f"{row['cases']:,}", equal, _number(row["kappa"]), weighted)
    return table


def _bins(found: pl.DataFrame, judges: Sequence[str]) -> Table:
    table = _table("By p-value: judged SAME", "p-values", "matches", *judges)
    for number in sorted(found["bin"].unique()):
        here = found.filter(bin=number)
        some = [here.filter(judge=judge)["same"].to_list() for judge in judges]
        ends = f"{here['low'][0]:.1g} to {here['high'][0]:.1g}"
        most = max(here["cases"].to_list())
        table.add_row(ends, f"{most:,}", *(f"{one[0]:.0%}" if one else "-" for one in some))
    return table


def _foretold(found: pl.DataFrame, judges: Sequence[str]) -> Table:
    table = _table("What foretells SAME (AUC)", "column", *judges)
    for column, name in COLUMNS.items():
        cells = []
        for judge in judges:
            row = found.filter(judge=judge, by=column)
            cells.append(_number(row["auc"][0]) if len(row) else "-")
        table.add_row(name, *cells)
    return table


def _table(title: str, first: str, *columns: str) -> Table:
    table = new_table(title)
    table.add_column(first)
    for name in columns:
        table.add_column(name, justify="right")
    return table


def _share(rows: pl.DataFrame) -> str:
    if not len(rows) or rows["same"][0] is None:
        return "-"
    row: dict[str, Any] = rows.row(0, named=True)
    interval = "" if row["same_low"] is None else f" ({row['same_low']:.0%}-{row['same_high']:.0%})"
    return f"{row['same']:.0%}{interval}"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"

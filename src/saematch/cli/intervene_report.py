"""Interventions as tables: deactivation, substitution, tracks, average effects."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl

from saematch.cli.report import new_table, show_place

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from saematch.runs.run import Run


def show_causes(console: Console, run: Run) -> None:
    """Print what interventions found."""
    from rich.text import Text

    tables = run.tables("causes")
    for name, show in (
        ("deactivation", _deactivation),
        ("substitution", _substitution),
        ("tracks", _tracks),
    ):
        if name in tables:
            for table, note in show(run, run.table("causes", name)):
                console.print(table)
                console.print(Text(note, style="dim"))
                console.print()
    show_place(console, run)


def _deactivation(run: Run, removals: pl.DataFrame) -> list[tuple[Table, str]]:
    from saematch.causal import by_place, deactivations, foretelling
    from saematch.causal.findings import STREAM_WORDS

    found: list[tuple[Table, str]] = []
    places = by_place(removals, run)
    for place, some in places.items():
        title = f"A feature's predecessor {place} removed"
        table = _table(
            title,
            "",
            "no longer fires",
            "one fired",
            "of these",
            "change",
            "control",
            "norm",
        )
        every = deactivations(some)
        controls = {row["method"]: row for row in every.filter(pl.col("control")).to_dicts()}
        rows = every.filter(~pl.col("control")).sort("success").to_dicts()
        for row in rows:
            control = controls.get(row["method"])
            table.add_row(
                row["method"],
                _share(row, "success"),
                f"{row['active']:.0%}",
                "" if row["success_active"] is None else f"{row['success_active']:.0%}",
                f"{row['change']:.2f}",
                "" if control is None else f"{control['success']:.0%}",
                f"{row['size']:.2g}",
            )
        found.append(
            (
                table,
                f"Shares of {rows[0]['features']:,} features, with 95 % intervals. Of these: where "
                "a predecessor fired, so that something was removed. Control: as much removed "
                "along a random feature that fires there. best active is found by trying every "
                "one: the ceiling.",
            )
        )
    found += _by_origin(run, places.get(STREAM_WORDS))
    known = foretelling(removals)
    if len(known):
        table = _table(
            "What foretells the effect of a removal", "removed", "removals", "effect", "cosine"
        )
        for row in known.to_dicts():
            numbers = (_number(row[name]) for name in ("effect", "cosine"))
            table.add_row(row["method"], f"{row['removals']:,}", *numbers)
        note = (
            "Rank correlation with the change of the pre-activation, of the average effect "
            "(mean Jacobian) and of decoder cosine, each times the size of what was removed."
        )
        found.append((table, note))
    return found


def _by_origin(run: Run, removals: pl.DataFrame | None) -> list[tuple[Table, str]]:
    """Success of the run's own method and of the ceiling by origin, and where that is not known."""
    from saematch.causal import deactivations

    if removals is None or "origins" not in run.tables("flow"):
        return []
    origins = run.table("flow", "origins").select(pl.col("site").alias("b"), "feature", "origin")
    known = removals.join(origins, on=["b", "feature"], how="inner", maintain_order="left")
    if not len(known):
        return []
    rows = deactivations(known, ["origin"]).filter(~pl.col("control"))
    methods = rows.sort("success")["method"].unique(maintain_order=True).to_list()
    origin = rows["origin"].unique(maintain_order=True).sort().to_list()
    table = _table("By where the feature comes from: no longer fires", "", *origin)
    by = {(row["method"], row["origin"]): row for row in rows.to_dicts()}
    for method in methods:
        cells = (by.get((method, one)) for one in origin)
        table.add_row(
            method, *("" if c is None else f"{c['success']:.0%} of {c['features']}" for c in cells)
        )
    return [(table, "Of features whose origin is known, the predecessor in the stream removed.")]


def _substitution(run: Run, replaced: pl.DataFrame) -> list[tuple[Table, str]]:
    from saematch.causal import by_frequency, substitutions, what_foretells
    from saematch.causal.findings import THIRDS

    table = _table(
        "A feature's partner in its place",
        "",
        "partner",
        "equivalence",
        "AUSQC",
        "trajectory",
        "alike",
        "no better",
    )
    every = substitutions(replaced)
    for row in every.sort("equivalence", descending=True).to_dicts():
        different = row["alike_different"]
        table.add_row(
            row["method"],
            f"{row['coverage']:.0%}",
            _interval(row, "equivalence"),
            "" if row["ausqc"] is None else _interval(row, "ausqc"),
            _number(row["trajectory"]),
            f"{row['alike']:,}",
            "" if different is None else f"{different:.0%}",
        )
    of = every.to_dicts()[0]
    more: list[tuple[Table, str]] = []
    often = substitutions(by_frequency(replaced), ["often"])
    thirds = [third for third in THIRDS if third in often["often"]]
    by = {(row["method"], row["often"]): row for row in often.to_dicts()}
    strata = _table("Equivalence by how often the feature fires", "", *thirds)
    for row in every.sort("equivalence", descending=True).to_dicts():
        cells = (by.get((row["method"], third)) for third in thirds)
        strata.add_row(
            row["method"], *("" if c is None else _number(c["equivalence"]) for c in cells)
        )
    more.append((strata, "Thirds of the features that were drawn, by their frequency on text."))
    columns = ("cosine", "correlation", "p_value", "score", "frequency")
    heads = ("partners", "cosine", "correlation", "p-value", "score", "frequency")
    goes = _table("What goes with equivalence", "", *heads)
    for row in what_foretells(replaced).to_dicts():
        goes.add_row(row["method"], f"{row['partners']:,}", *(_number(row[c]) for c in columns))
    more.append((goes, "Rank correlation over partners."))
    return [
        (
            table,
            f"Of {of['features']:,} features. Partner: assigned, significant or not. Equivalence: "
            "1, predictions as if nothing was "
            "changed; 0, as if the feature was only removed. AUSQC: the mean over coverage, the "
            "most certain partners first. Trajectory: rank correlation, token by token, of what "
            "removing either changes; with another feature that fires there "
            f"{_number(of['trajectory_other'])}, with as much removed along another feature "
            f"{_number(of['trajectory_size'])}. Alike: decoder cosine of 0.7 or more, and the "
            "share of those that are no better than nothing.",
        ),
        *more,
    ]


def _tracks(run: Run, removed: pl.DataFrame) -> list[tuple[Table, str]]:
    from saematch.causal import together

    if not len(removed):
        return []
    table = _table("Tracks removed as a whole", "changes predictions", "times", "other features")
    rows = together(removed).to_dicts()
    words = {"alone": "as the sum of its members", "largest": "as its strongest member"}
    for to, word in words.items():
        one, control = ([r for r in rows if r["to"] == to and r["control"] == c] for c in (0, 1))
        table.add_row(word, _interval(one[0], "ratio"), _interval(control[0], "ratio"))
    last = next(row for row in rows if row["to"] == "control together")
    table.add_row("as other features of the same sizes", _interval(last, "ratio"), "")
    return [
        (
            table,
            f"{len(removed):,} tracks of {removed['length'].mean():.1f} features; ratios of summed "
            "KL divergences, with 95 % intervals over tracks. Other features: as many, drawn at "
            "random among those that fire, as much removed of each.",
        )
    ]


def _table(title: str, *columns: str) -> Table:
    table = new_table(title=title)
    for place, column in enumerate(columns):
        table.add_column(column, justify="left" if place == 0 else "right")
    return table


def _share(row: dict[str, Any], name: str) -> str:
    return f"{row[name]:.0%} ({row[name + '_low']:.0%} to {row[name + '_high']:.0%})"


def _interval(row: dict[str, Any], name: str) -> str:
    if row[name] is None:
        return ""
    if row[f"{name}_low"] is None:
        return f"{row[name]:.2f}"
    return f"{row[name]:.2f} ({row[name + '_low']:.2f}, {row[name + '_high']:.2f})"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"

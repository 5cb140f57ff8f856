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
    from saematch.causal import deactivations, foretelling

    found: list[tuple[Table, str]] = []
    joint = pl.col("a").str.contains("+", literal=True)
    for title, some in (
        ("A feature's predecessor removed", removals.filter(~joint)),
        ("Predecessors in the stream, attention and MLP removed together", removals.filter(joint)),
    ):
        if not len(some):
            continue
        table = _table(
            title, "", "features", "one fired", "no longer fires", "change", "control", "norm"
        )
        every = deactivations(some)
        controls = {row["method"]: row for row in every.filter(pl.col("control")).to_dicts()}
        rows = every.filter(~pl.col("control")).sort("success").to_dicts()
        for row in rows:
            control = controls.get(row["method"])
            table.add_row(
                row["method"],
                f"{row['features']:,}",
                f"{row['active']:.0%}",
                _share(row, "success"),
                f"{row['change']:.2f}",
                "" if control is None else f"{control['success']:.0%}",
                f"{row['size']:.2g}",
            )
        found.append(
            (
                table,
                "Shares of features, with 95 % intervals. Control: as much removed along a random "
                "feature that fires there. best active is found by trying every one: the ceiling.",
            )
        )
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


def _substitution(run: Run, replaced: pl.DataFrame) -> list[tuple[Table, str]]:
    from saematch.causal import substitutions

    table = _table(
        "A feature's partner in its place",
        "",
        "features",
        "partner",
        "equivalence",
        "AUSQC",
        "trajectory",
        "alike",
        "of them no better",
    )
    every = substitutions(replaced)
    for row in every.sort("equivalence", descending=True).to_dicts():
        different = row["alike_different"]
        table.add_row(
            row["method"],
            f"{row['features']:,}",
            f"{row['coverage']:.0%}",
            _interval(row, "equivalence"),
            "" if row["ausqc"] is None else _interval(row, "ausqc"),
            _number(row["trajectory"]),
            f"{row['alike']:,}",
            "" if different is None else f"{different:.0%}",
        )
    of = every.to_dicts()[0]
    return [
        (
            table,
            "Equivalence: 1, predictions as if nothing was changed; 0, as if the feature was only "
            "removed. AUSQC: the mean over coverage, the most certain partners first. Trajectory: "
            "rank correlation, token by token, of what removing either changes; with another "
            f"feature that fires there {_number(of['trajectory_other'])}, with as much removed "
            f"along another feature {_number(of['trajectory_size'])}. Alike: decoder cosine of 0.7 "
            "or more, and the share of those that are no better than nothing.",
        )
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
    return f"{row[name]:.2f} ({row[name + '_low']:.2f} to {row[name + '_high']:.2f})"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"

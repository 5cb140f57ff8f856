"""Steering as tables: texts side by side, and a sweep by way and strength."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from saematch.cli.report import show_place

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from saematch.runs.run import Run
    from saematch.steering.steering import Change
    from saematch.workflows.steer import SideBySide

MOST = 12  # features that are listed
UNITS = {
    "max": "of its largest activation",
    "mean": "of its mean activation",
    "norm": "of the hidden state's norm",
    "raw": "",
}


def show_side_by_side(console: Console, run: Path, found: SideBySide) -> None:
    """Print which features are steered, then every prompt with both texts."""
    from rich.table import Table
    from rich.text import Text

    from saematch.cli.examples import visible
    from saematch.runs.run import Run

    console.print(_features(Run.open(run), found))
    if len(found.steering.changes) > MOST:
        console.print(Text(f"and {len(found.steering.changes) - MOST} more", style="dim"))
    if found.scores:
        console.print()
        console.print(_scores(found))
    last = None
    for plain, steered in zip(found.plain, found.steered, strict=True):
        if plain.prompt != last:
            console.print(Text(f"\n{visible(plain.prompt)}", style="bold"))
            last = plain.prompt
        table = Table(box=None, padding=(0, 2, 1, 0), expand=True, show_header=plain.sample == 0)
        table.add_column("plain", ratio=1, header_style="dim", style="dim")
        table.add_column("steered", ratio=1, header_style="bold")
        table.add_row(*(Text(visible(one.text) or "(nothing)") for one in (plain, steered)))
        console.print(table)


def show_sweep(console: Console, run: Run, name: str | None, features: Sequence[str]) -> None:
    """Print the means of a sweep: of the one of that name, or that is called after its features."""
    from rich.text import Text

    from saematch.layers.layers import Layers
    from saematch.steering.features import named
    from saematch.steering.sweep import best_of, sweep_name, with_damage

    section = run.section("steering")
    assert section is not None, "it was just made"
    called = name or sweep_name(named(Layers.of(run), features))
    figures = next(one for one in section.sweeps if one.name == called)
    means = run.table("steering", "means").filter(sweep=figures.name)
    listed = ", ".join(figures.features)
    console.print(Text(f"Sweep {figures.name}: {listed}", style="bold"))
    console.print(Text(f"{figures.concept}; {means['texts'][0]:,} texts of each", style="dim"))
    console.print()
    rows = with_damage(means).rows(named=True)
    console.print(_means(rows, figures.judge is not None))
    console.print(
        Text(
            "Theme: how strongly the features of the track fire in the text, as a share of the "
            "largest activation of each, and on how many tokens any does. Perplexity: of the text, "
            "by the plain model. Distinct: share of tokens and pairs of tokens that are different. "
            "In brackets: half of the 95 % interval over texts. x: damaged, of more than twice the "
            "plain perplexity, or with under 80 % of its distinct pairs.",
            style="dim",
        )
    )
    best = best_of(means)
    if best is None:
        said = "Nothing brought more of the theme than the plain model does, short of damage."
    else:
        said = f"Most of the theme short of damage: {best['way']} at {best['strength']:g}."
    console.print(Text(said, style="bold"))
    for note in figures.notes:
        console.print(Text(f"- {note}"))
    show_place(console, run)


def _features(run: Run, found: SideBySide) -> Table:
    from rich.table import Table
    from rich.text import Text

    from saematch.cli.examples import visible
    from saematch.labels.of_run import SingleLabels

    table = Table(box=None, pad_edge=False)
    table.add_column("feature")
    table.add_column("fires on, or means")
    table.add_column("what is done")
    labels = SingleLabels(run)
    for change in found.steering.changes[:MOST]:
        contexts = run.contexts(change.site)
        label = labels.of(change.site, change.feature, contexts)
        said = "" if label is None else visible(label.text)
        table.add_row(Text(f"{change.site} #{change.feature}"), Text(said), Text(_done(change)))
    return table


def _done(change: Change) -> str:
    if change.how == "remove":
        return "removed"
    if change.how == "scale":
        return f"times {change.amount:.3g}"
    if change.unit == "norm":
        return f"adds {change.amount:.3g} {UNITS['norm']}"
    return f"adds an activation of {change.amount:.3g}"


def _scores(found: SideBySide) -> Table:
    from rich.table import Table
    from rich.text import Text

    from saematch.cli.examples import visible

    table = Table(box=None, pad_edge=False, title="Output scores", title_justify="left")
    table.add_column("feature")
    table.add_column("score", justify="right")
    table.add_column("promotes")
    chosen = {(c.site, c.feature) for c in found.steering.changes}
    for one in found.scores:
        mark = "▶ " if (one.site, one.feature) in chosen else "  "
        words = ", ".join(visible(word.strip()) for word in one.tokens[:6])
        table.add_row(Text(f"{mark}{one.site} #{one.feature}"), f"{one.score:.3f}", Text(words))
    return table


def _means(rows: Sequence[dict[str, Any]], rated: bool) -> Table:
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    table.add_column("steered")
    for title in ("strength", "theme", "on tokens", "perplexity", "distinct"):
        table.add_column(title, justify="right")
    if rated:
        table.add_column("concept", justify="right")
        table.add_column("fluency", justify="right")
    last = None
    for row in rows:
        cells = [
            "" if row["way"] == last else row["way"],
            f"{row['strength']:g}" + (" x" if row["damaged"] else "  "),
            _with_half(row, "activation", ".3f"),
            _number(row["firing"], ".0%"),
            _number(row["perplexity"], ",.3g" if (row["perplexity"] or 0) < 1000 else ",.0f"),
            f"{_number(row['distinct_1'], '.0%')}, {_number(row['distinct_2'], '.0%')}",
        ]
        if rated:
            cells += [_with_half(row, name, ".2f") for name in ("concept", "fluency")]
        table.add_row(*cells)
        last = row["way"]
    return table


def _with_half(row: dict[str, Any], name: str, form: str) -> str:
    value, high = row[name], row[f"{name}_high"]
    if value is None:
        return ""
    return _number(value, form) + ("" if high is None else f" (±{high - value:{form}})")


def _number(value: float | None, form: str) -> str:
    return "" if value is None else f"{value:{form}}"

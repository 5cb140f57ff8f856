"""`saematch changes RUN SITE`: which features of a layer are new, gone, split, merged."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    import polars as pl
    from rich.console import Console

    from saematch.runs.run import Run

MEANING = {
    "new": "nothing in {other} leads to them; the nearest there, which chance reaches too:",
    "gone": "nothing in {other} continues them; the nearest there, which chance reaches too:",
    "split": "the best source of two or more features of {other}:",
    "merged": "the best target of two or more features of {other}:",
}
INDENT = "  "


def changes(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run directory.")],
    site: Annotated[
        str,
        typer.Argument(
            metavar="SITE",
            help="An SAE of the run, such as resid_post_3; or a layer of the residual stream.",
        ),
    ],
    most: Annotated[
        int, typer.Option("--most", "-n", min=0, help="Number of features shown of each kind.")
    ] = 5,
    export: Annotated[
        Path | None,
        typer.Option("--export", "-e", help="Write all of them: NAME.csv, .json or .parquet."),
    ] = None,
) -> None:
    """List the features of a layer that are new in it, gone after it, split or merged.

    The layer is compared with the nearest layers before and after that the run has matched with
    it. Features are listed with the label of each, else the tokens that it fires on most, and its
    top context, the surest first.
    """
    from rich.text import Text

    from saematch.cli.console import output
    from saematch.labels.of_run import labels_of
    from saematch.layers.layers import Layers
    from saematch.layers.tracing import neighbours_of, site_of
    from saematch.runs.run import Run
    from saematch.workflows.changes import changes as changes_of

    opened = Run.open(run)
    found = changes_of(opened, site, export=export)
    layers, labels = Layers.of(opened), labels_of(opened)
    name = site_of(layers, site)
    console = output()
    console.print(Text(name, style="bold"))
    for (kind, other), rows in found.group_by("kind", "other", maintain_order=True):
        _show(console, opened, name, str(kind), str(other), rows, most, labels)
    for ahead, said in ((False, "before it: none is new or merged"), (True, "after it: none goes")):
        if not neighbours_of(layers, name, ahead):
            console.print(Text(f"\nThe run has matched no layer {said}.", "dim"))
    if not len(found):
        console.print(
            "Every feature continues, one to one, from the layer before to the one after."
        )
    if export is not None:
        console.print(f"\nWritten to {export}: {len(found):,} rows", soft_wrap=True)
    elif len(found):
        console.print(
            Text("\nAll of them: --export NAME.csv. One feature's way: saematch trace.", "dim")
        )


def _show(
    console: Console,
    run: Run,
    name: str,
    kind: str,
    other: str,
    rows: pl.DataFrame,
    most: int,
    labels: pl.DataFrame,
) -> None:
    from rich.text import Text

    from saematch.cli.examples import context_line, visible
    from saematch.sae.contexts import top_contexts

    console.print(Text(f"\n{len(rows):,} {kind}", "bold cyan"), end="")
    console.print(Text(f": {MEANING[kind].format(other=other)}", "dim"))
    contexts = run.contexts(name)
    theirs = dict(labels.filter(site=other).select("feature", "label").iter_rows())
    for row in rows.head(most).iter_rows(named=True):
        partners = [
            f"#{feature}" + (f" ({visible(theirs[feature])})" if feature in theirs else "")
            for feature in row["partners"]
        ]
        line = Text(f"{INDENT}#{row['feature']}", "bold")
        line.append(f"  {visible(row['label'] or 'without contexts')}")
        line.append(f"   {_side(kind)} {', '.join(partners) or 'none'}  {_sure(row)}", "dim")
        console.print(line)
        first = () if contexts is None else top_contexts(contexts, row["feature"], 1)
        for context in first:
            room = console.width - 2 * len(INDENT)
            console.print(Text(2 * INDENT) + context_line(context, room))
    if len(rows) > most:
        console.print(Text(f"{INDENT}and {len(rows) - most:,} more", "dim"))


def _side(kind: str) -> str:
    """Whether the partners are of the layer before or after."""
    return "from" if kind in ("new", "merged") else "to"


def _sure(row: dict[str, Any]) -> str:
    if row["p_value"] is None:
        return ""
    return f"p {row['p_value']:.2g}, score {row['score']:.3g}"

"""`saematch relate RUN --activations STORE`: the pairs of a run by what their features do."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from saematch.cli.options import Overwrite, Quiet

if TYPE_CHECKING:
    from rich.table import Table

    from saematch.runs.run import Run


def relate(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run of match or flow.")],
    activations: Annotated[
        Path, typer.Option(help="What its features do on text: a folder of saematch capture.")
    ],
    activity: Annotated[
        float,
        typer.Option(
            min=0.0,
            max=1.0,
            help="Count a feature as active above this share of its maximum; 0: whenever it fires. "
            "Gates always take 0.2, as published.",
        ),
    ] = 0.0,
    top_k: Annotated[int, typer.Option(min=1, help="Partners per feature and statistic.")] = 5,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Relate the features of a run's pairs by what they do: statistics, passing shares, gates.

    Pearson, cosine, sufficiency, necessity, Jaccard and mutual information: for each, the best
    partners of every feature, and the share of features that pass to the other layer at any
    cut-off. Besides, gates: features that two others together explain.

    Results are written to the run pair by pair. Repeating the command continues where it stopped.
    """
    from saematch.cli.console import output, reporting
    from saematch.cli.report import show_place
    from saematch.workflows.relate import relate as relate_pairs

    with reporting(quiet) as progress:
        done = relate_pairs(
            run,
            activations,
            activity=activity,
            top_k=top_k,
            overwrite=overwrite,
            progress=progress,
        )
    if quiet:
        typer.echo(run)
        return
    console = output()
    console.print(_table(done))
    console.print()
    relations = done.section("relations")
    for line in _legend(0 if relations is None else relations.tokens):
        console.print(line, style="dim", highlight=False)
    show_place(console, done)


def _table(run: Run) -> Table:
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    table.add_column("A → B", vertical="bottom")
    for title in ("median\nbest r", "share\nr ≥ 0.5", "share\nr ≥ 0.9"):
        table.add_column(title, justify="right")
    for kind in ("AND", "OR"):
        table.add_column(f"{kind} gates\n(published)", justify="right")
    curves = run.table("relations", "passing").filter(statistic="pearson")
    relations = run.section("relations")
    for row in () if relations is None else relations.pairs:
        curve = curves.filter(a=row.a, b=row.b)
        at = [curve.filter(cutoff=tau)["passing_forward"].item() for tau in (0.5, 0.9)]
        table.add_row(
            f"{row.a} → {row.b}",
            "-" if row.more["median_pearson"] is None else f"{row.more['median_pearson']:.2f}",
            *("-" if share is None else f"{share:.0%}" for share in at),
            *(
                f"{row.more[f'{kind}_gates_certain']} ({row.more[f'{kind}_gates_paper']})"
                for kind in ("and", "or")
            ),
        )
    return table


def _legend(tokens: int) -> list[str]:
    from saematch.transport.fitting import ENOUGH

    few = (
        "These are few tokens: features that fire once or twice, on the same ones, correlate by "
        f"chance. {ENOUGH:,} or more tell more."
    )
    return [
        f"r: correlation of what two features do on {tokens:,} tokens. Best r: of a feature of A "
        "with the feature of B most like it; share: of A's features that fired whose best r is "
        "that much.",
        *([few] if tokens < ENOUGH else []),
        "Gates: features of B that fire where two features of A both do (AND) or either does (OR), "
        "and that the two foretell better than one. In brackets: by the published rule alone.",
    ]

"""`saematch relate RUN --activations STORE`: the pairs of a run by what their features do."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.table import Table

    from saematch.cli.heard import Heard
    from saematch.runs.run import Run


def relate(
    path: Annotated[Path, typer.Argument(metavar="RUN", help="A run of match or flow.")],
    activations: Annotated[
        Path, typer.Option(help="What its features do on text, of saematch activations.")
    ],
    activity: Annotated[
        float,
        typer.Option(
            min=0.0,
            max=1.0,
            help="Active above this share of a feature's maximum; 0: whenever it fires. Of the "
            "statistics; gates always take 0.2, as published.",
        ),
    ] = 0.0,
    top_k: Annotated[int, typer.Option(min=1, help="Partners per feature and statistic.")] = 5,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Discard the relations there are.")
    ] = False,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Print nothing but the run directory.")
    ] = False,
) -> None:
    """Relate the features of a run's pairs by what they do: statistics, passing shares, gates.

    For each pair and each of Pearson, cosine, sufficiency, necessity, Jaccard and mutual
    information, the best partners of every feature; what share of features passes to the other
    layer at any cut-off; and features made by two others together. Written beside the matches,
    pair by pair: the same call again goes on where it stopped.
    """
    import saematch
    from saematch.cli.console import output, progress
    from saematch.cli.heard import Heard
    from saematch.cli.report import show_place
    from saematch.cli.work import warn_unfinished
    from saematch.errors import RunError
    from saematch.layers.coactivation import relate as relate_pair
    from saematch.layers.saved_coactivation import Relating
    from saematch.runs.run import Run

    run, heard = Run.open(path), Heard(activations)
    if not run.pairs:
        raise RunError(f"{path} has no pairs yet")
    warn_unfinished(run, quiet)
    names = {name: heard.name_of(run.sae(name)) for name in run.names}
    asked = {**heard.options, "activity": activity, "top_k": top_k}
    with run.writing(), progress(quiet) as bar:
        relating = Relating(run, {**asked, "saematch": saematch.__version__}, overwrite)
        missing = relating.missing
        done = len(run.pairs) - len(missing)
        task = bar.add_task("relating", total=len(run.pairs), completed=done)
        for a, b in missing:
            bar.update(task, description=f"relating {a} → {b}")
            streams = (heard.store.stream(names[name]) for name in (a, b))
            relating.add(a, b, relate_pair(*streams, k=top_k, activity=activity))
            bar.advance(task)
        relating.finish()
        _describe(run, heard)
    if quiet:
        typer.echo(path)
        return
    console = output()
    console.print(_table(run))
    console.print()
    for line in _legend(heard.store.n_tokens):
        console.print(line, style="dim", highlight=False)
    show_place(console, run)


def _describe(run: Run, heard: Heard) -> None:
    """Take up contexts from the store; a flow's labels are made of them, and are made anew."""
    from saematch.layers.analysis import analyse
    from saematch.layers.origins import Cutoffs

    flow, finished = run.section("flow"), run.finished
    heard.describe(run)
    if flow is not None and run.section("flow") is None:
        fixed = flow.origin_cutoffs
        analyse(run, None if fixed is None else Cutoffs(*fixed))
        if finished is not None:
            run.finish()


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

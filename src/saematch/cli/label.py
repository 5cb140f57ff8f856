"""`saematch label RUN SOURCE...`: what the features of a run are said to mean."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from saematch.cli.options import Overwrite, Quiet

if TYPE_CHECKING:
    from rich.table import Table

    from saematch.runs.run import Run


def label(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run directory.")],
    sources: Annotated[
        list[str],
        typer.Argument(
            metavar="SOURCE...",
            help="neuronpedia, neuronpedia:MODEL/SOURCE with --sae, or a file NAME.jsonl, "
            ".jsonl.gz, .csv or .parquet with columns feature and label, perhaps site and source.",
        ),
    ],
    sae: Annotated[
        str | None, typer.Option(help="The only SAE of the run that gets labels.")
    ] = None,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Give the features of a run labels: from Neuronpedia, or from files.

    They are shown by trace, changes, explore and exports. Of several labels of a feature the one
    of the source named first is shown. Repeating the command continues where it stopped;
    `--overwrite` discards all labels of the run.
    """
    from saematch.cli.console import output, reporting
    from saematch.cli.report import show_place
    from saematch.workflows.label import label as give_labels

    with reporting(quiet) as progress:
        done = give_labels(run, sources, sae=sae, overwrite=overwrite, progress=progress)
    if quiet:
        typer.echo(run)
        return
    console = output()
    console.print(_table(done))
    show_place(console, done)


def _table(run: Run) -> Table:
    """Of each SAE how many features have a label, and from where."""
    from rich.table import Table
    from rich.text import Text

    from saematch.labels import given_labels

    shown = given_labels(run)
    section = run.section("labels")
    table = Table(box=None, pad_edge=False)
    table.add_column("SAE")
    for title in ("features", "labelled"):
        table.add_column(title, justify="right")
    table.add_column("from (features with a label)")
    for sae in run.record.saes:
        labelled = len(shown.filter(site=sae.name))
        sources = [] if section is None else [s for s in section.sources if s.site == sae.name]
        told = [f"{_name(s.asked, s.neuronpedia)} ({s.features:,})" for s in sources]
        share = f"{labelled:,} ({labelled / sae.d_sae:.0%})" if labelled else "none"
        table.add_row(Text(sae.name), f"{sae.d_sae:,}", share, Text(", ".join(told)))
    return table


def _name(asked: str, neuronpedia: str | None) -> str:
    return asked if neuronpedia is None else f"neuronpedia:{neuronpedia}"

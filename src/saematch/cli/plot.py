"""`saematch plot RUN`: figures of a run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def plot(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run directory.")],
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="The folder to write to; RUN/figures unless given."),
    ] = None,
    only: Annotated[
        list[str] | None,
        typer.Option(
            help="Only this one, of p_values, quality, survivors, lifespans, composition, carried, "
            "quantiles, distance, judging, coverage, steering; may be given several times."
        ),
    ] = None,
    png: Annotated[
        bool, typer.Option("--png", help="PNG too; needs kaleido and a Chrome or Chromium.")
    ] = False,
) -> None:
    """Draw a run: p-values beside chance, quality by layer, lifespans, chains against direct ones.

    Each figure is an HTML file that needs nothing else. What the run has no table for is left out.
    """
    from saematch.workflows.plot import plot as draw

    drawn = draw(run, only, out=out or run / "figures", png=png)
    for file in drawn.files:
        typer.echo(file)
    for name, reason in drawn.missing.items():
        typer.echo(f"no {name}: {reason}", err=True)
    if not drawn.figures:
        raise typer.Exit(1)

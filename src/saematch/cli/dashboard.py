"""`saematch dashboard RUN`: what each feature does on text, in full."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from saematch.cli.options import (
    TEXTS,
    Device,
    DtypeOption,
    LongOption,
    Massive,
    Overwrite,
    Quiet,
)

if TYPE_CHECKING:
    from rich.table import Table

    from saematch.runs.run import Run


def dashboard(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run directory.")],
    model: Annotated[
        str | None,
        typer.Option(
            help="Model of its SAEs: a Hugging Face model, its folder, or saematch:model. It reads "
            "the texts, and tells which next tokens features speak for."
        ),
    ] = None,
    text: Annotated[
        list[str] | None,
        typer.Option(help=f"Text set to read; can be repeated: {TEXTS}"),
    ] = None,
    activations: Annotated[
        list[Path] | None,
        typer.Option(
            help="In place of --text: what its features do on text, a folder of saematch capture. "
            "Can be repeated: each is a text set."
        ),
    ] = None,
    carried: Annotated[
        bool,
        typer.Option(
            "--carried",
            help="Also tell what features speak for as they arrive at the last layer, by the "
            "model's mean Jacobian. It takes minutes for a model of some size.",
        ),
    ] = False,
    examples: Annotated[
        int, typer.Option(min=0, help="Examples per text set, sampled at random; 0 for all.")
    ] = 200,
    length: Annotated[
        int, typer.Option(min=2, help="Maximum number of tokens of an example, BOS included.")
    ] = 256,
    long: LongOption = None,
    seed: Annotated[
        int,
        typer.Option(help="Seed of the sample of examples, and of contexts below the strongest."),
    ] = 0,
    batch_tokens: Annotated[
        int, typer.Option(min=1, help="Number of tokens that the model reads at once.")
    ] = 8192,
    massive: Massive = 4.0,
    device: Device = "auto",
    dtype: DtypeOption = None,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Make a dashboard of every feature, which saematch explore shows.

    How strongly it fires how often, on each text set; contexts of every strength, with the
    activation at each token; with a model, the next tokens that it speaks for and against. And of
    each pair whether a feature and its target fire in the same contexts.

    Results are written to the run SAE by SAE. Repeating the command continues where it stopped.
    """
    from saematch.cli.console import output, reporting
    from saematch.cli.report import show_place
    from saematch.workflows.dashboard import dashboard as make

    with reporting(quiet) as progress:
        done = make(
            run,
            model,
            text or (),
            activations=activations or (),
            carried=carried,
            examples=examples,
            length=length,
            long=long,
            seed=seed,
            batch_tokens=batch_tokens,
            massive=massive,
            device=device,
            dtype=dtype,
            overwrite=overwrite,
            progress=progress,
        )
    if quiet:
        typer.echo(run)
        return
    console = output()
    there = done.section("dashboards")
    for some in () if there is None else there.texts:
        console.print(f"{some.name}: {some.tokens:,} tokens, {some.examples:,} examples")
    if done.pairs:
        console.print(_table(done))
        console.print(
            "Of a match: the share of the one feature's top contexts in which the other fires too, "
            "and the other way round; their mean.",
            style="dim",
            highlight=False,
        )
    show_place(console, done)


def _table(run: Run) -> Table:
    from rich.table import Table

    from saematch.dashboards.agreement import DISAGREES

    table = Table(box=None, pad_edge=False)
    table.add_column("A → B", vertical="bottom")
    for title in ("matches", "median\nof share", f"share\nbelow {DISAGREES:g}"):
        table.add_column(title, justify="right")
    for a, b in run.pairs:
        matched = run.pair(a, b).filter("matched")["feature"]
        found = run.table("dashboards", f"{a}--{b}")
        share = found.filter(found["feature"].is_in(matched.implode()))["share"].drop_nulls()
        table.add_row(
            f"{a} → {b}",
            f"{len(matched):,}",
            f"{share.median():.0%}" if len(share) else "-",
            f"{(share < DISAGREES).sum():,}" if len(share) else "-",
        )
    return table

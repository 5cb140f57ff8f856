"""`saematch capture SAE...`: what features do on text, kept on disk."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from saematch.cli.options import (
    TEXTS,
    Device,
    DtypeOption,
    LongOption,
    Massive,
    Out,
    Overwrite,
    Quiet,
    SchedulerOption,
    ShardOption,
    SiteOption,
    WorkersOption,
    chosen_workers,
    show_shard,
)

if TYPE_CHECKING:
    from saematch.activations.store import ActivationStore

SAES = "SAEs of one model, in any order: names, patterns or a folder, as for saematch flow."


def capture(
    saes: Annotated[list[str], typer.Argument(metavar="SAE...", help=SAES)],
    model: Annotated[
        str, typer.Option(help="Hugging Face model or its folder, or saematch:model, which ships.")
    ],
    text: Annotated[list[str], typer.Option(help=f"Text to read; can be repeated: {TEXTS}")],
    out: Out,
    examples: Annotated[
        int, typer.Option(min=0, help="Examples per text set, sampled at random; 0 for all.")
    ] = 100,
    length: Annotated[
        int,
        typer.Option(
            min=2,
            help="Maximum number of tokens of an example, BOS included; the model's own limit "
            "holds too.",
        ),
    ] = 1024,
    long: LongOption = None,
    seed: Annotated[int, typer.Option(help="Seed of the random sample.")] = 0,
    batch_tokens: Annotated[
        int, typer.Option(min=1, help="Number of tokens that the model reads at once.")
    ] = 8192,
    massive: Massive = 4.0,
    site: SiteOption = None,
    device: Device = "auto",
    dtype: DtypeOption = None,
    workers: WorkersOption = None,
    scheduler: SchedulerOption = None,
    overwrite: Overwrite = False,
    shard: ShardOption = None,
    quiet: Quiet = False,
) -> None:
    """Run a language model over text, and keep what the features of SAEs do, token by token.

    The folder is what saematch match and flow take as --activations, and saematch relate.

    The space needed on disk is shown before work starts. Repeating the command continues where it
    stopped.
    """
    from saematch.cli.console import reporting
    from saematch.workflows.capture import capture as run_model

    crew = chosen_workers(workers, scheduler)
    with reporting(quiet) as progress:
        store = run_model(
            saes,
            model,
            text,
            examples=examples,
            length=length,
            long=long,
            seed=seed,
            batch_tokens=batch_tokens,
            massive=massive,
            site=site,
            device=device,
            dtype=dtype,
            out=out,
            overwrite=overwrite,
            workers=crew,
            shard=shard,
            progress=progress,
        )
    if quiet:
        typer.echo(store.path)
    elif shard is not None:
        show_shard(store.path, shard, f"{store.n_tokens:,} tokens")
    else:
        _report(store)


def _report(store: ActivationStore) -> None:
    from rich.filesize import decimal
    from rich.table import Table

    from saematch.cli.console import output

    console = output()
    table = Table("SAE", "features", "L0", "never fired", box=None, pad_edge=False)
    for name in store.names:
        width, counts = store.sae(name).d_sae, store.counts(name)
        l0 = counts.sum() / max(1, store.n_tokens)
        table.add_row(name, f"{width:,}", f"{l0:.1f}", f"{(counts == 0).mean():.1%}")
    console.print(table)
    console.print(
        f"{store.n_tokens:,} tokens, {decimal(store.bytes)} in {store.path}", soft_wrap=True
    )

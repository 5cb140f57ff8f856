"""`saematch reproduce PAPER`: the experiments of a paper on any model and SAEs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from saematch.cli.options import (
    TEXTS,
    Device,
    DtypeOption,
    Massive,
    Overwrite,
    Quiet,
    SiteOption,
)


def reproduce(
    paper: Annotated[str, typer.Argument(metavar="PAPER", help="Which paper: sae-match.")],
    model: Annotated[
        str,
        typer.Option(
            help="Model of the SAEs: a Hugging Face model, its folder, or saematch:model."
        ),
    ],
    saes: Annotated[
        list[str],
        typer.Option(
            help="SAEs of the residual stream, three at least: names or patterns, such as "
            "'saematch:smollm2/resid_post_{10-16}'; can be repeated."
        ),
    ],
    text: Annotated[
        list[str] | None,
        typer.Option(
            help=f"Text set to report on; can be repeated: {TEXTS} Default: those of the paper, "
            "openwebtext, github and wikitext."
        ),
    ] = None,
    controls: Annotated[
        list[str] | None,
        typer.Option(
            help="Further SAEs of the same sites, such as those with another L0, width or seed; "
            "can be repeated."
        ),
    ] = None,
    examples: Annotated[int, typer.Option(min=1, help="Texts of each set to report on.")] = 100,
    fit_examples: Annotated[
        int,
        typer.Option(
            min=1,
            help="Other texts of each set, for baselines and for matches by activations; also the "
            "number of texts that the model generates.",
        ),
    ] = 100,
    length: Annotated[
        int, typer.Option(min=3, help="Maximum number of tokens of a text, BOS included.")
    ] = 1024,
    tokens: Annotated[
        int, typer.Option(min=1, help="Number of tokens for matches by activations.")
    ] = 20_000,
    reach: Annotated[
        int,
        typer.Option(
            min=1, help="Match any two SAEs up to this many apart, and some that are further."
        ),
    ] = 5,
    paths: Annotated[
        int, typer.Option(min=1, help="Paths of matches to judge, of each way of matching.")
    ] = 100,
    massive: Massive = 4.0,
    site: SiteOption = None,
    seed: Annotated[int, typer.Option(help="Of all that is random.")] = 0,
    batch_tokens: Annotated[
        int, typer.Option(min=1, help="Number of tokens that the model reads at once.")
    ] = 4096,
    out: Annotated[
        Path, typer.Option("--out", "-o", help="Directory for the report and all that it is of.")
    ] = Path("runs/reproduction"),
    device: Device = "auto",
    dtype: DtypeOption = None,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Make every figure of a paper that needs no language model as a judge, as one page.

    sae-match: folded errors; whether matches fire together; hidden states mapped across a layer,
    beside every baseline; the partial variant; chains and direct matches; lifespans; what judges
    without a language model say of matches; and the same
    for matches by weights and activations together.

    Repeating the command continues where it stopped. With Gemma Scope: --model google/gemma-2-2b
    --saes 'gemma-scope-2b-pt-res-canonical:layer_{0-25}/width_16k/canonical'.
    """
    from saematch.cli.console import output, reporting
    from saematch.workflows.reproduce import TEXTS as OF_THE_PAPER
    from saematch.workflows.reproduce import reproduce as reproduce_paper

    with reporting(quiet) as progress:
        made = reproduce_paper(
            paper,
            saes,
            model,
            text or OF_THE_PAPER,
            controls=controls or (),
            examples=examples,
            fit_examples=fit_examples,
            length=length,
            tokens=tokens,
            reach=reach,
            paths=paths,
            massive=massive,
            site=site,
            seed=seed,
            batch_tokens=batch_tokens,
            device=device,
            dtype=dtype,
            out=out,
            overwrite=overwrite,
            progress=progress,
        )
    if quiet:
        typer.echo(made.report)
        return
    console = output()
    for sentence in made.record.says:
        console.print(f"• {sentence}", soft_wrap=True)
    console.print(f"The report: {made.report}", soft_wrap=True)

"""`saematch evaluate RUN`: what matches are worth when hidden states are mapped along them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from saematch.cli.options import (
    TEXTS,
    Device,
    DtypeOption,
    LongOption,
    Massive,
    ModelOption,
    Overwrite,
    Quiet,
    SchedulerOption,
    ShardOption,
    WorkersOption,
    chosen_workers,
    comma_list,
    show_shard,
)


def evaluate(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="The run directory of the matches.")],
    model: ModelOption,
    text: Annotated[
        list[str], typer.Option(help=f"Text set to report on; can be repeated: {TEXTS}")
    ],
    fit: Annotated[
        str | None,
        typer.Option(
            help="Text set that least squares, the mean and transports are fitted on, without the "
            "examples that are reported on. Default: the first --text."
        ),
    ] = None,
    examples: Annotated[
        int, typer.Option(min=1, help="Examples per text set, sampled at random.")
    ] = 50,
    fit_examples: Annotated[
        int, typer.Option(min=1, help="Maximum number of examples used for fitting.")
    ] = 200,
    length: Annotated[
        int,
        typer.Option(help="Maximum number of tokens of an example, BOS included; at least 3."),
    ] = 1024,
    long: LongOption = None,
    massive: Massive = 4.0,
    quantiles: Annotated[
        tuple,
        typer.Option(
            parser=comma_list(float, "fractions with commas, such as 0.25,0.5"),
            metavar="FRACTION,...",
            help="Fractions of the best-matched features to decode with B; the rest use A.",
        ),
    ] = (0.0, 0.1, 0.25, 0.5, 0.75, 0.9),
    carry: Annotated[
        tuple,
        typer.Option(
            parser=comma_list(str, "ways of rescaling with commas, such as auto,none"),
            metavar="WAY,...",
            help="How mapped activations are rescaled: auto (as features were matched), threshold, "
            "decoder-norm, activation (means on the fit set), none. The first is used for all "
            "variants.",
        ),
    ] = ("auto", "none"),
    transport: Annotated[
        tuple,
        typer.Option(
            parser=comma_list(int, "numbers of edges per feature, such as 8,32"),
            metavar="EDGES,...",
            help="Fit sparse transports too, with at most this many edges per feature, such as "
            "8,32. Takes many minutes a pair on a CPU.",
        ),
    ] = (),
    jacobian: Annotated[
        bool,
        typer.Option(
            "--jacobian",
            help="Estimate later hidden states by the model's mean Jacobian too: with nothing "
            "fitted, over text that the model generates.",
        ),
    ] = False,
    pairs: Annotated[
        list[str] | None,
        typer.Option(help="Evaluate only this pair, A--B by the run's names; can be repeated."),
    ] = None,
    reach: Annotated[
        float | None,
        typer.Option(
            help="Evaluate only pairs up to this many blocks apart, and chains of matches of that "
            "length too."
        ),
    ] = None,
    resamples: Annotated[
        int, typer.Option(min=0, help="Resamples of the bootstrap over examples.")
    ] = 1000,
    seed: Annotated[
        int, typer.Option(help="Seed of the sample of examples and of the bootstrap.")
    ] = 0,
    batch_tokens: Annotated[
        int,
        typer.Option(
            min=1,
            help="Number of tokens that the model reads at once; it changes results only of "
            "batchtopk SAEs without a threshold.",
        ),
    ] = 4096,
    device: Device = "auto",
    dtype: DtypeOption = None,
    workers: WorkersOption = None,
    scheduler: SchedulerOption = None,
    overwrite: Overwrite = False,
    shard: ShardOption = None,
    quiet: Quiet = False,
) -> None:
    """Map hidden states across layers along a run's matches, and measure what that costs the model.

    SAE Match's estimate of a later hidden state (encode, permute, rescale, decode) replaces the
    true one; so do, for comparison, the earlier hidden state itself, an SAE's own reconstruction,
    and a least-squares map.

    Results are delta-loss, explained variance and matching scores, with 95 % intervals over
    examples. Repeating the command continues where it stopped; with more texts, more pairs,
    --jacobian or a first --transport it adds those.
    """
    from saematch.cli.console import output, reporting
    from saematch.workflows.evaluate import evaluate as evaluate_run

    crew = chosen_workers(workers, scheduler)
    with reporting(quiet) as progress:
        done = evaluate_run(
            run,
            model,
            text,
            fit=fit,
            examples=examples,
            fit_examples=fit_examples,
            length=length,
            long=long,
            massive=massive,
            quantiles=quantiles,
            carry=carry,
            transport=transport,
            jacobian=jacobian,
            pairs=pairs,
            reach=reach,
            resamples=resamples,
            seed=seed,
            batch_tokens=batch_tokens,
            device=device,
            dtype=dtype,
            overwrite=overwrite,
            shard=shard,
            workers=crew,
            progress=progress,
        )
    if shard is not None and not quiet:
        values = done.table("evaluation", "values") if done.section("evaluation") else []
        show_shard(done.path, shard, f"{len(values):,} values")
        return
    if quiet:
        typer.echo(run)
        return
    from saematch.cli.evaluate_report import show_evaluation
    from saematch.cli.report import show_place

    console = output()
    show_evaluation(console, done, text)
    show_place(console, done)

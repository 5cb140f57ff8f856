"""`saematch intervene RUN`: do matched features do the same to the model?"""

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
    ModeChoice,
    ModelOption,
    Overwrite,
    Quiet,
    ShardOption,
    comma_list,
    show_shard,
)


def intervene(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="The run directory of the matches.")],
    model: ModelOption,
    text: Annotated[str, typer.Option(help=f"Text on which features are tried: {TEXTS}")],
    against: Annotated[
        list[Path] | None,
        typer.Option(
            help="A run of the same SAEs matched otherwise, whose partners are tried too; can be "
            "repeated."
        ),
    ] = None,
    experiments: Annotated[
        tuple,
        typer.Option(
            parser=comma_list(str, "names of experiments with commas"),
            metavar="NAME,...",
            help="Any of deactivation, substitution, tracks, effects.",
        ),
    ] = ("deactivation", "substitution", "tracks", "effects"),
    features: Annotated[
        int,
        typer.Option(min=1, help="Features of each SAE that are deactivated, drawn at random."),
    ] = 100,
    substituted: Annotated[
        int | None,
        typer.Option(
            min=1, help="Features of each SAE whose partners take their place. Default: as many."
        ),
    ] = None,
    whole_tracks: Annotated[
        int, typer.Option(min=1, help="Tracks of three or more features removed as a whole.")
    ] = 50,
    mode: Annotated[ModeChoice, typer.Option(help="Which tracks.")] = ModeChoice.gaps,
    windows: Annotated[
        int,
        typer.Option(min=1, help="Examples in which partners and tracks are tried, at most."),
    ] = 3,
    after: Annotated[
        int, typer.Option(min=1, help="Tokens of each from where the feature fires, at most.")
    ] = 12,
    fit: Annotated[
        str | None,
        typer.Option(
            help="Text from which it is learnt how often, how strongly and with what features "
            "fire, without the examples that are reported on. Default: --text."
        ),
    ] = None,
    examples: Annotated[int, typer.Option(min=1, help="Examples of the text.")] = 100,
    fit_examples: Annotated[int, typer.Option(min=1, help="Examples of --fit, at most.")] = 100,
    length: Annotated[
        int, typer.Option(min=3, help="Maximum number of tokens of an example, BOS included.")
    ] = 128,
    long: LongOption = None,
    massive: Massive = 4.0,
    seed: Annotated[int, typer.Option(help="Seed of all draws.")] = 0,
    batch_tokens: Annotated[
        int, typer.Option(min=1, help="Tokens that the model reads at once.")
    ] = 4096,
    device: Device = "auto",
    dtype: DtypeOption = None,
    overwrite: Overwrite = False,
    shard: ShardOption = None,
    quiet: Quiet = False,
) -> None:
    """Change matched features in the running model, and see whether they do the same.

    A feature's predecessor is removed: does the feature stop firing? Its partner takes its place:
    do predictions come out as they were? A track is removed at every layer at once: does that
    change more than its members one by one?

    Controls: as much removed along other features that fire there, random partners, and the best
    of all features by trying each.

    Results are written to the run. Repeating the command continues where it stopped.
    """
    from saematch.cli.console import output, reporting
    from saematch.cli.intervene_report import show_causes
    from saematch.workflows.intervene import intervene as intervene_in_run

    with reporting(quiet) as progress:
        done = intervene_in_run(
            run,
            model,
            text,
            against=against or (),
            experiments=experiments,
            features=features,
            substituted=substituted,
            whole_tracks=whole_tracks,
            mode=mode.value,
            windows=windows,
            after=after,
            fit=fit,
            examples=examples,
            fit_examples=fit_examples,
            length=length,
            long=long,
            massive=massive,
            seed=seed,
            batch_tokens=batch_tokens,
            device=device,
            dtype=dtype,
            overwrite=overwrite,
            shard=shard,
            progress=progress,
        )
    if quiet:
        typer.echo(done.path)
        return
    if shard is not None:
        causes = done.section("causes")
        show_shard(done.path, shard, f"{len(causes.done) if causes else 0} experiments")
        return
    show_causes(output(), done)

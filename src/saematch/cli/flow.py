"""`saematch flow SAE...`: features followed through many layers, into a run directory."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from saematch.cli.options import (
    Device,
    Out,
    Overwrite,
    Quiet,
    SchedulerOption,
    ShardOption,
    SiteOption,
    WorkersOption,
    chosen_workers,
    comma_list,
    show_shard,
    takes_match_options,
)
from saematch.workflows.options import MatchOptions

SAES = (
    "SAEs in any order: names as for saematch match, patterns such as "
    "saematch:resid_post_{0-5} or release:layer_{0,4,8}/width_16k, or a folder of SAEs."
)


@takes_match_options
def flow(
    saes: Annotated[list[str], typer.Argument(metavar="SAE...", help=SAES)],
    out: Out,
    options: MatchOptions,
    pairs: Annotated[
        Literal["adjacent", "all"],
        typer.Option(help="Match neighbours only, or any two SAEs of the stream."),
    ] = "adjacent",
    reach: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Match any two SAEs of the stream up to this many apart, instead of --pairs.",
        ),
    ] = None,
    origin_cutoffs: Annotated[
        tuple | None,
        typer.Option(
            parser=comma_list(float, "two cosines, such as 0.5,0.15", 2),
            metavar="COSINE,COSINE",
            help="Decide origins by fixed decoder cosines with the stream before and with MLP and "
            "attention, such as 0.5,0.15. Default: by p-value.",
        ),
    ] = None,
    site: SiteOption = None,
    device: Device = "auto",
    workers: WorkersOption = None,
    scheduler: SchedulerOption = None,
    shard: ShardOption = None,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Follow features through many layers: tracks, births and deaths, splits, origins.

    SAEs of one stream are matched layer by layer. With SAEs of the residual stream, those of what
    MLP and attention write to it are matched too, by decoder cosine (feature-flow).

    Repeating the command continues where it stopped, pair by pair; a longer reach adds the missing
    pairs. At most two SAEs are in memory, and two in each of --workers.
    """
    from saematch.cli.console import output, reporting
    from saematch.workflows.flow import flow as follow

    crew = chosen_workers(workers, scheduler)
    with reporting(quiet) as progress:
        run = follow(
            saes,
            options,
            pairs=pairs,
            reach=reach,
            origin_cutoffs=origin_cutoffs,
            site=site,
            device=device,
            out=out,
            overwrite=overwrite,
            workers=crew,
            shard=shard,
            progress=progress,
        )
    if quiet:
        typer.echo(run.path)
        return
    if shard is not None:
        show_shard(run.path, shard, f"{len(run.pairs)} pairs of {len(run.names)} SAEs")
        return
    from saematch.cli.flow_report import show_flow
    from saematch.cli.report import show_place

    console = output()
    show_flow(console, run, progress.matched)
    show_place(console, run)

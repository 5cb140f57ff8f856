"""`saematch compare A B C ...`: which features several SAEs share."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

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
    show_shard,
)

if TYPE_CHECKING:
    from rich.console import Console

    from saematch.layers.shared import Comparison
    from saematch.runs.run import Run


def compare(
    saes: Annotated[
        list[str],
        typer.Argument(
            metavar="SAE...",
            help="Two or more: names as for saematch match, or a pattern such as "
            "trainer_{0-8}/resid_post_layer_3.",
        ),
    ],
    out: Out = Path("runs/compare"),
    cutoff: Annotated[
        float, typer.Option(help="Smallest decoder and encoder cosine of a shared feature.")
    ] = 0.7,
    any_site: Annotated[
        bool, typer.Option("--any-site", help="Compare SAEs of different kinds of hook point too.")
    ] = False,
    site: SiteOption = None,
    device: Device = "auto",
    workers: WorkersOption = None,
    scheduler: SchedulerOption = None,
    shard: ShardOption = None,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Find the features that SAEs of one hook point share, across seeds, widths and checkpoints.

    Every two SAEs are matched as by Paulo and Belrose (2025). Repeating the command continues where
    it stopped.
    """
    from saematch.cli.console import output, reporting
    from saematch.workflows.compare import compare as find_shared

    crew = chosen_workers(workers, scheduler)
    with reporting(quiet) as progress:
        run = find_shared(
            saes,
            cutoff,
            any_site=any_site,
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
    from saematch.cli.report import show_place
    from saematch.layers.shared import Comparison

    console = output()
    show_comparison(console, run, Comparison.of(run), progress.matched)
    show_place(console, run)


def show_comparison(console: Console, run: Run, found: Comparison, made: int) -> None:
    """Print who shares how much with whom, and what is in exactly n of the SAEs."""
    from rich.text import Text

    from saematch.cli.report import show_notes

    cutoff = run.record.options["cutoff"]
    head = f"{len(found.names)} SAEs compared: a feature is shared where decoders and encoders"
    console.print(Text(f"{head} agree on its partner, at a cosine of {cutoff:g} or more"))
    if made == 0:
        console.print(Text("Nothing left to do: all of it was there."))
    console.print()
    console.print(_shares(found))
    console.print()
    console.print(_exactly(found))
    show_notes(console, run, [])


def _shares(found: Comparison):
    from saematch.cli.report import new_table
    from saematch.layers.shared import own

    made = new_table(
        "Share of a row's features that are shared with a column's",
        "Of SAEs of unequal widths the wider cannot share more than the narrower has.",
    )
    made.add_column("", overflow="fold")
    for number in range(1, len(found.names) + 1):
        made.add_column(str(number), justify="right", no_wrap=True)
    made.add_column("orphans", justify="right", no_wrap=True)
    made.add_column("features", justify="right", no_wrap=True)
    alone = dict(found.exactly().filter(n=1).drop("n").row(0, named=True))
    for number, a in enumerate(found.names, start=1):
        cells = [_percent(found.share(a, b)) if a != b else "·" for b in found.names]
        size = found.taking_part[a]
        made.add_row(f"{number} {a}", *cells, _percent(alone[own(a)] / max(1, size)), f"{size:,}")
    return made


def _exactly(found: Comparison):
    from saematch.cli.report import new_table
    from saematch.layers.shared import own

    rows = found.exactly()
    made = new_table(
        f"In exactly n of the {len(found.names)} SAEs",
        "Clusters: features that shared pairs connect; complete where every two of them are "
        "shared, tangled where one SAE has two of them. The numbered columns: features of that SAE "
        "that are shared with exactly n - 1 others.",
    )
    columns = ("n", "clusters", "complete", "tangled")
    for name in (*columns, *map(str, range(1, len(found.names) + 1))):
        made.add_column(name, justify="right", no_wrap=True)
    for row in rows.iter_rows(named=True):
        made.add_row(*(f"{row[name]:,}" for name in (*columns, *map(own, found.names))))
    return made


def _percent(share: float) -> str:
    return f"{share:.1%}"

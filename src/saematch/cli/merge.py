"""`saematch merge RUN`: the shards of a command put together."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from saematch.cli.options import Overwrite, Quiet


def merge(
    run: Annotated[
        Path, typer.Argument(metavar="RUN", help="Directory that the shards were asked for (-o).")
    ],
    folders: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="[FOLDERS]...", help="Other places of its shards, copied from other disks."
        ),
    ] = None,
    remove_shards: Annotated[
        bool,
        typer.Option("--remove-shards", help="Remove the shards in RUN once the whole is there."),
    ] = False,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Put together what a command with --shard 1/N to N/N made.

    The result is that of the command without --shard. Shards that are missing, unfinished or made
    otherwise are named. Repeating the command continues where it stopped.
    """
    from saematch.cli.console import reporting
    from saematch.workflows.merge import merge as put_together

    with reporting(quiet) as progress:
        made = put_together(
            run,
            folders or (),
            overwrite=overwrite,
            remove_shards=remove_shards,
            progress=progress,
        )
    typer.echo(made.path if quiet else f"Whole: {made}")

"""`saematch match A B`: match the features of two SAEs into a run directory."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from saematch.cli.options import Device, Overwrite, Quiet, SiteOption, takes_match_options
from saematch.workflows.options import MatchOptions

NAMES = (
    "A local folder or file, org/repo/path on the Hugging Face hub, SAELens' release:sae_id, or "
    "saematch:resid_post_3 for one that comes with saematch."
)


@takes_match_options
def match(
    a: Annotated[str, typer.Argument(metavar="A", help=f"Source SAE. {NAMES}")],
    b: Annotated[str, typer.Argument(metavar="B", help="Target SAE.")],
    options: MatchOptions,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="Run directory. Default: runs/A--B."),
    ] = None,
    any_site: Annotated[
        bool, typer.Option("--any-site", help="Match SAEs of different kinds of hook point too.")
    ] = False,
    site: SiteOption = None,
    device: Device = "auto",
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Match the features of SAE A to those of SAE B, and write a run directory.

    Repeating the command continues where it stopped. Each method accepts only its own options.
    """
    from saematch.cli.console import output, reporting
    from saematch.runs.names import names_of
    from saematch.workflows.ahead import announce
    from saematch.workflows.match import match_into
    from saematch.workflows.matcher import Matcher
    from saematch.workflows.saes import Saes

    with reporting(quiet) as progress:
        matcher = Matcher.of(options, any_site=any_site)
        saes = Saes([a, b], device, site, patterns=False)
        announce(saes, matcher, [(0, 1)], out, overwrite=overwrite)
        place = out or Path("runs") / "--".join(names_of(list(saes.read(progress))))
        run, _ = match_into(saes, matcher, place, overwrite, progress)
    if quiet:
        typer.echo(place)
        return
    from saematch.cli.examples import show_examples
    from saematch.cli.report import show_place, show_run

    console = output()
    show_run(console, run, progress.matched)
    show_examples(console, run)
    show_place(console, run)

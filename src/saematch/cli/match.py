"""`saematch match A B`: match the features of two SAEs into a run directory."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from saematch.cli.options import SITE, Asked, matches

NAMES = (
    "A local folder or file, org/repo/path on the Hugging Face hub, SAELens' release:sae_id, or "
    "saematch:resid_post_3 for one that comes with saematch."
)


@matches
def match(
    a: Annotated[str, typer.Argument(metavar="A", help=f"Whose features are followed. {NAMES}")],
    b: Annotated[str, typer.Argument(metavar="B", help="Into which they are followed.")],
    asked: Asked,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="The run directory; runs/A--B unless given."),
    ] = None,
    any_site: Annotated[
        bool, typer.Option("--any-site", help="Match SAEs of different kinds of site too.")
    ] = False,
    site: Annotated[str | None, SITE] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, ...")] = "auto",
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Discard another run in the directory.")
    ] = False,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Print nothing but the run directory.")
    ] = False,
) -> None:
    """Match the features of SAE A to those of SAE B, and write a run directory.

    The same call again takes up where it stopped. Options must be those of the method.
    """
    from saematch.checkpoints.names import expand_braces
    from saematch.cli.work import load_all, match_into, pick_device
    from saematch.errors import SaematchError
    from saematch.matching.matching import check_comparable
    from saematch.runs.names import names_of
    from saematch.runs.run import Run

    for name in (a, b):
        if expand_braces(name) != [name]:
            raise SaematchError(f"{name}: match takes one SAE on either side, not a pattern")
    saes = load_all([a, b], pick_device(device), quiet, site)
    # before a directory is made for nothing
    check_comparable(*saes, any_site=any_site)
    path = out or Path("runs") / "--".join(names_of(saes))
    run = Run.create(path, "match", asked.options, saes, overwrite=overwrite)
    made = match_into(
        run,
        saes,
        [(run.names[0], run.names[1])],
        asked.method,
        asked.significance,
        candidates=asked.candidates,
        heard=asked.heard,
        any_site=any_site,
        quiet=quiet,
    )
    run.finish()
    _report(run, path, made, quiet)


def _report(run, path: Path, made: int, quiet: bool) -> None:
    if quiet:
        typer.echo(path)
        return
    from saematch.cli.console import output
    from saematch.cli.examples import show_examples
    from saematch.cli.report import show_place, show_run

    console = output()
    show_run(console, run, made)
    show_examples(console, run)
    show_place(console, run)

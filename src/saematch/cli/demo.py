"""`saematch demo`: features followed through the model that comes with saematch."""

from __future__ import annotations

from pathlib import Path

import typer

from saematch.cli.options import Device, Out, Overwrite, Quiet

ABOUT = (
    "The SAEs along the residual stream of the small model that comes with saematch. Its block 0 "
    "rewrites the embedding: next to nothing of resid_pre_0 is found again in resid_post_0."
)
NEXT = (
    "saematch inspect saematch:resid_post_3",
    "saematch flow saematch:resid_post_{0-5} --reach 2 --method feature-flow -o runs/stream",
    "saematch trace runs/stream resid_post_3 100",
    "saematch match saematch:resid_post_3 saematch:resid_post_3_seed2 "
    "--method paulo-belrose -o runs/seeds",
)


def demo(
    out: Out = Path("runs/demo"),
    device: Device = "auto",
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Match the shipped SAEs along the residual stream, layer by layer, by SAE Match.

    Needs no download. Repeating the command shows the results that are there.
    """
    from saematch.cli.console import output, reporting
    from saematch.workflows.demo import demo as match_shipped

    with reporting(quiet) as progress:
        run = match_shipped(device=device, out=out, overwrite=overwrite, progress=progress)
    if quiet:
        typer.echo(out)
        return
    from saematch.cli.examples import show_examples
    from saematch.cli.report import show_place, show_run

    console = output()
    console.print(ABOUT)
    show_run(console, run, progress.matched)
    show_examples(console, run)
    show_place(console, run)
    console.print("Next:")
    for command in NEXT:
        console.print(f"  {command}", soft_wrap=True, style="bold")

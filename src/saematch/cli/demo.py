"""`saematch demo`: features followed through SmolLM2, by the SAEs that come with saematch."""

from __future__ import annotations

from pathlib import Path

import typer

from saematch.cli.options import Device, Out, Overwrite, Quiet

ABOUT = (
    "SAEs of blocks 10 to 16 of SmolLM2-135M-Instruct, trained apart from one another. Each "
    "feature is matched to one of the next block by weights alone; the texts on which both fire, "
    "shown below, had no part in it."
)
NEXT = (
    "saematch inspect saematch:smollm2/resid_post_13",
    "saematch flow saematch:smollm2/resid_post_{10-16} --method cosine -o runs/flow",
    "saematch trace runs/flow resid_post_13 1066",
    "saematch explore runs/flow",
)


def demo(
    out: Out = Path("runs/demo"),
    device: Device = "auto",
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Match the shipped SAEs of SmolLM2, block by block, by SAE Match.

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

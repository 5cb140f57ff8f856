"""`saematch demo`: features followed through the model that comes with saematch."""

from __future__ import annotations

from dataclasses import asdict
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    import torch

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
    out: Annotated[Path, typer.Option("--out", "-o", help="The run directory.")] = Path(
        "runs/demo"
    ),
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, ...")] = "auto",
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Discard another run in the directory.")
    ] = False,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Print nothing but the run directory.")
    ] = False,
) -> None:
    """Match the shipped SAEs along the residual stream, layer by layer, by SAE Match.

    Needs no download. The same call again shows what is there.
    """
    from saematch.cli.work import load_all, match_into, pick_device
    from saematch.matching.methods import sae_match
    from saematch.matching.significance import Significance
    from saematch.runs.run import Run
    from saematch.sae import shipped

    names = shipped.residual_path()
    saes = load_all([f"{shipped.PREFIX}{name}" for name in names], pick_device(device), quiet)
    method = sae_match()
    significance = Significance()
    options = method.options(candidates=method.kept(None), **asdict(significance))
    run = Run.create(out, "demo", options, saes, overwrite=overwrite)
    steps = list(pairwise(run.names))
    if any(not run.has_pair(*pair) for pair in steps):
        _compile(device=saes[0].device, quiet=quiet)
    made = match_into(run, saes, steps, method, significance, quiet=quiet)
    run.finish()
    if quiet:
        typer.echo(out)
        return

    from saematch.cli.console import output
    from saematch.cli.examples import show_examples
    from saematch.cli.report import show_place, show_run

    console = output()
    console.print(ABOUT)
    show_run(console, run, made)
    show_examples(console, run)
    show_place(console, run)
    console.print("Next:")
    for command in NEXT:
        console.print(f"  {command}", soft_wrap=True, style="bold")


def _compile(device: torch.device, quiet: bool) -> None:
    """Have the inner loops compiled, once per machine, outside the time of the first pair."""
    import torch

    from saematch.assignment import assign, neighbours
    from saematch.cli.console import progress

    with progress(quiet) as bar:
        bar.add_task("compiling (once)", total=None)
        random = torch.Generator().manual_seed(0)
        x, y = (torch.randn(256, 8, generator=random).to(device) for _ in range(2))
        found = assign(x, y)
        neighbours(x, y, None, None, target=found.target, k=1)

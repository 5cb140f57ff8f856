"""`saematch flow SAE...`: features followed through many layers, into a run directory."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from saematch.cli.options import SITE, Asked, matches

if TYPE_CHECKING:
    from collections.abc import Iterator

    from saematch.sae.sae import SAE

SAES = (
    "SAEs in any order: names as saematch match takes them, patterns such as "
    "saematch:resid_post_{0-5} or release:layer_{0,4,8}/width_16k, or a folder of SAEs."
)


@matches
def flow(
    saes: Annotated[list[str], typer.Argument(metavar="SAE...", help=SAES)],
    out: Annotated[Path, typer.Option("--out", "-o", help="The run directory.")],
    asked: Asked,
    pairs: Annotated[
        str, typer.Option(help="adjacent: neighbours; all: any two of the stream.")
    ] = "adjacent",
    reach: Annotated[
        int | None,
        typer.Option(min=1, help="Any two of the stream up to so many apart, instead of --pairs."),
    ] = None,
    origin_cutoffs: Annotated[
        str | None,
        typer.Option(
            help="Origins by fixed decoder cosines, of the stream before and of MLP and attention, "
            "such as 0.5,0.15; by p-value unless given."
        ),
    ] = None,
    site: Annotated[str | None, SITE] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, ...")] = "auto",
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Discard another run in the directory.")
    ] = False,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Print nothing but the run directory.")
    ] = False,
) -> None:
    """Follow features through many layers: tracks, births and deaths, splits, origins.

    SAEs of one stream are matched layer by layer; with those of the residual stream, also what MLP
    and attention write to it, by decoder cosine (feature-flow). The same call again takes up where
    it stopped, pair by pair; with a longer reach it adds the pairs that are missing. At most two
    SAEs are in memory.
    """
    from saematch.cli.work import Loaded, match_into, pick_device
    from saematch.errors import MatchError
    from saematch.layers.analysis import analyse
    from saematch.layers.layers import Layers
    from saematch.layers.plan import planned, planned_modules
    from saematch.matching.methods import feature_flow
    from saematch.runs.run import Run

    if pairs not in ("adjacent", "all"):
        raise MatchError(f"--pairs is {pairs!r}; it must be adjacent or all")
    if pairs == "all" and reach is not None:
        raise MatchError(
            f"--pairs all matches any two, --reach {reach} those up to {reach} apart; give one"
        )
    cutoffs = _cutoffs(origin_cutoffs)
    names, on = _names(saes), pick_device(device)
    given = _each(names, on, quiet, site)
    run = Run.create(out, "flow", asked.options, given, overwrite=overwrite, distinct=True)
    layers = Layers.of(run)
    farthest = reach or (None if pairs == "all" else 1)
    kept, held = {"candidates": asked.candidates, "quiet": quiet}, Loaded(names, on, site)
    steps = planned(layers, farthest)
    given = asked.method, asked.significance
    made = match_into(run, held, steps, *given, any_site=False, heard=asked.heard, **kept)
    # encoders that read other sites do not compare; what is written does
    written = replace(asked.significance, partial=False)
    steps = planned_modules(layers)
    made += match_into(run, held, steps, feature_flow(), written, any_site=True, **kept)
    wanted = None if cutoffs is None else [cutoffs.residual, cutoffs.module]
    there = run.section("flow")
    if there is None or there.origin_cutoffs != wanted:
        analyse(run, cutoffs)
    run.finish()
    _report(run, made, quiet)


def _names(patterns: list[str]) -> list[str]:
    """The names that patterns stand for, each of which is there and given once."""
    from saematch.checkpoints import expand
    from saematch.checkpoints.locate import locate
    from saematch.errors import MatchError

    names = [name for pattern in patterns for name in expand(pattern)]
    for name in names:
        if names.count(name) > 1:
            raise MatchError(f"{name} is given twice")
        locate(name)
    return names


def _each(names: list[str], device: str, quiet: bool, site: str | None) -> Iterator[SAE]:
    """The SAEs one by one, checked to make one flow."""
    from saematch.checkpoints import load
    from saematch.cli.console import progress
    from saematch.layers.plan import checked

    with progress(quiet) as bar:
        task = bar.add_task("reading", total=len(names))
        for sae in checked(load(name, device=device, site=site) for name in names):
            bar.update(task, description=f"reading {sae.name}")
            yield sae
            bar.advance(task)


def _cutoffs(text: str | None):
    from saematch.errors import MatchError
    from saematch.layers.origins import Cutoffs

    if text is None:
        return None
    try:
        residual, module = (float(part) for part in text.split(","))
    except ValueError as error:
        raise MatchError(
            f"--origin-cutoffs is {text!r}; it must be two cosines, such as 0.5,0.15"
        ) from error
    return Cutoffs(residual, module)


def _report(run, made: int, quiet: bool) -> None:
    if quiet:
        typer.echo(run.path)
        return
    from saematch.cli.console import output
    from saematch.cli.flow_report import show_flow
    from saematch.cli.report import show_place

    console = output()
    show_flow(console, run, made)
    show_place(console, run)

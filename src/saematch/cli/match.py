"""`saematch match A B`: match the features of two SAEs into a run directory."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, get_args

import typer

NAMES = (
    "A local folder or file, org/repo/path on the Hugging Face hub, SAELens' release:sae_id, or "
    "saematch:resid_post_3 for one that comes with saematch."
)


def match(
    a: Annotated[str, typer.Argument(metavar="A", help=f"Whose features are followed. {NAMES}")],
    b: Annotated[str, typer.Argument(metavar="B", help="Into which they are followed.")],
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="The run directory; runs/A--B unless given."),
    ] = None,
    method: Annotated[
        str,
        typer.Option(help="sae-match, cosine, feature-flow, paulo-belrose or weighted."),
    ] = "sae-match",
    fold: Annotated[
        str | None,
        typer.Option(
            help="auto, threshold, decoder-norm, activation or none (sae-match, weighted)."
        ),
    ] = None,
    terms: Annotated[str | None, typer.Option(help="encoder, decoder or both (sae-match).")] = None,
    bias: Annotated[
        bool | None, typer.Option("--bias/--no-bias", help="The encoder's bias too (sae-match).")
    ] = None,
    encoder_weight: Annotated[float | None, typer.Option(help="Of the term (sae-match).")] = None,
    decoder_weight: Annotated[float | None, typer.Option(help="Of the term (sae-match).")] = None,
    bias_weight: Annotated[float | None, typer.Option(help="Of the term (sae-match).")] = None,
    top_k: Annotated[
        int | None, typer.Option(help="Targets kept per feature (feature-flow).")
    ] = None,
    cutoff: Annotated[
        float | None,
        typer.Option(help="The least decoder and encoder cosine of a match (paulo-belrose)."),
    ] = None,
    views: Annotated[
        str | None,
        typer.Option(help="Such as unit-decoder:1, unit-encoder:0.5 (weighted)."),
    ] = None,
    kind: Annotated[str | None, typer.Option(help="one-to-one or many-to-one (weighted).")] = None,
    view: Annotated[str | None, typer.Option(help="decoder or encoder (cosine).")] = None,
    null: Annotated[
        str, typer.Option(help="What scores are compared with: covariance, rotation or none.")
    ] = "covariance",
    fdr: Annotated[
        float, typer.Option(help="False discovery rate at which features are matched.")
    ] = 0.01,
    partial: Annotated[
        bool,
        typer.Option("--partial", help="Leave features alone that have no partner beyond chance."),
    ] = False,
    candidates: Annotated[
        int | None,
        typer.Option(
            min=1, help="The best targets and sources to keep per feature: 5, or top-k if more."
        ),
    ] = None,
    any_site: Annotated[
        bool, typer.Option("--any-site", help="Match SAEs of different kinds of site too.")
    ] = False,
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
    chosen: dict[str, Any] = {
        "fold": fold,
        "terms": terms,
        "bias": bias,
        "encoder_weight": encoder_weight,
        "decoder_weight": decoder_weight,
        "bias_weight": bias_weight,
        "top_k": top_k,
        "cutoff": cutoff,
        "views": views,
        "kind": kind,
        "view": view,
    }
    given = {name: value for name, value in chosen.items() if value is not None}

    from saematch.cli.work import load_all, match_into, pick_device
    from saematch.errors import SaematchError
    from saematch.manifest import method_options
    from saematch.matching import check_comparable
    from saematch.naming import names_of
    from saematch.runs import Run
    from saematch.significance import Significance

    resolved = _resolve(method, given)
    significance = Significance(null, fdr, partial)  # pyright: ignore[reportArgumentType]
    significance.check(resolved.kind)
    for name in (a, b):
        if "{" in name:
            raise SaematchError(f"{name}: match takes one SAE on either side, not a pattern")
    saes = load_all([a, b], pick_device(device), quiet)
    # before a directory is made for nothing
    check_comparable(*saes, any_site=any_site)
    path = out or Path("runs") / "--".join(names_of(saes))
    kept = resolved.kept(candidates)
    options = method_options(resolved, candidates=kept, **asdict(significance))
    run = Run.create(path, "match", options, saes, overwrite=overwrite)
    made = match_into(
        run, saes, [(0, 1)], resolved, significance, candidates=kept, any_site=any_site, quiet=quiet
    )
    _report(run, path, made, quiet)


def _resolve(method: str, given: dict[str, Any]):
    from saematch.errors import MatchError
    from saematch.methods import Kind, resolve
    from saematch.views import parse_views

    if method == "weighted" and "views" not in given:
        raise MatchError("method 'weighted' needs --views, such as unit-decoder:1,unit-encoder:0.5")
    if "kind" in given and given["kind"] not in get_args(Kind):
        allowed = " or ".join(get_args(Kind))
        raise MatchError(f"kind is {given['kind']!r}; it must be {allowed}")
    if method == "weighted":
        given = given | {"views": parse_views(given["views"])}
    return resolve(method, **given)


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

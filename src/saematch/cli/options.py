"""The options of matching, declared once for every command that matches."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_args

import typer

if TYPE_CHECKING:
    from saematch.cli.heard import Heard
    from saematch.matching.methods import Method
    from saematch.matching.significance import Significance

SITE = typer.Option(
    help="Where the SAEs read, before what their files say, such as "
    "blocks.{layer}.hook_resid_post; {layer} is the layer that an SAE or its path states."
)
METHOD_OPTIONS = (
    "fold",
    "terms",
    "bias",
    "encoder_weight",
    "decoder_weight",
    "bias_weight",
    "top_k",
    "cutoff",
    "views",
    "kind",
    "view",
)


@dataclass(frozen=True)
class Asked:
    """How to match, as the command line asked for it."""

    method: Method
    significance: Significance
    candidates: int
    heard: Heard | None  # what features do on text

    @property
    def options(self) -> dict[str, Any]:
        """All of it as plain values, for a run."""
        # a run that looks at weights alone does not depend on activations
        heard = {} if self.heard is None else {"activations": self.heard.options}
        others = {"candidates": self.candidates, **asdict(self.significance), **heard}
        return self.method.options(**others)


def matching(
    method: Annotated[
        str | None,
        typer.Option(
            help="sae-match (unless given), cosine, feature-flow, paulo-belrose, weighted; with "
            "--activations fused (unless given), pearson."
        ),
    ] = None,
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
        int | None, typer.Option(help="Targets kept per feature (feature-flow, pearson, fused).")
    ] = None,
    cutoff: Annotated[
        float | None,
        typer.Option(help="The least decoder and encoder cosine of a match (paulo-belrose)."),
    ] = None,
    views: Annotated[
        str | None,
        typer.Option(help="Such as unit-decoder:1, unit-encoder:0.5 (weighted)."),
    ] = None,
    kind: Annotated[
        str | None, typer.Option(help="one-to-one or many-to-one (weighted, pearson, fused).")
    ] = None,
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
    activations: Annotated[
        Path | None,
        typer.Option(help="What the features do on text, as saematch activations wrote it."),
    ] = None,
    tokens: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="How many tokens of it to use, from all of its text alike: all unless given.",
        ),
    ] = None,
) -> Asked:
    """What the options of a command ask for.

    Raises:
        MatchError: no such method, an option that it does not have, or a value that is not allowed.
    """
    given = locals()
    given = {name: given[name] for name in METHOD_OPTIONS if given[name] is not None}
    from saematch.matching.significance import Significance

    resolved = _resolve(method or ("sae-match" if activations is None else "fused"), given)
    significance = Significance(null, fdr, partial)  # pyright: ignore[reportArgumentType]
    significance.check(resolved.kind)
    heard = _heard(resolved, activations, tokens)
    return Asked(resolved, significance, resolved.kept(candidates), heard)


def _heard(method: Method, activations: Path | None, tokens: int | None) -> Heard | None:
    from saematch.cli.heard import Heard
    from saematch.errors import MatchError

    if activations is None:
        if tokens is not None:
            raise MatchError("--tokens is how many of the activations to use: give --activations")
        if method.needs_activations:
            raise MatchError(
                f"method {method.name!r} compares what features do on text: give --activations, a "
                "folder that saematch activations wrote"
            )
        return None
    if not method.needs_activations:
        raise MatchError(
            f"method {method.name!r} looks at weights alone: leave --activations out, or choose "
            "fused, pearson or a weighted sum with unit-activation"
        )
    return Heard(activations, tokens)


def matches(command: Callable) -> Callable:
    """A command whose last parameter, `asked`, comes from the options of `matching`."""
    own = inspect.signature(command, eval_str=True).parameters
    shared = inspect.signature(matching, eval_str=True).parameters

    @functools.wraps(command)
    def with_options(**given):
        asked = matching(**{name: given.pop(name) for name in shared})
        return command(**given, asked=asked)

    kept = {name: parameter for name, parameter in own.items() if name != "asked"}
    # what a command needs stands first in its help, what few ask for last
    every = {**kept, **shared}
    parameters = [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in every.values()]
    with_options.__signature__ = inspect.Signature(parameters)  # pyright: ignore[reportAttributeAccessIssue]
    with_options.__annotations__ = {name: p.annotation for name, p in every.items()}
    return with_options


def _resolve(method: str, given: dict[str, Any]) -> Method:
    from saematch.errors import MatchError
    from saematch.matching.methods import Kind, resolve
    from saematch.matching.views import parse_views

    if method == "weighted" and "views" not in given:
        raise MatchError("method 'weighted' needs --views, such as unit-decoder:1,unit-encoder:0.5")
    if "kind" in given and given["kind"] not in get_args(Kind):
        allowed = " or ".join(get_args(Kind))
        raise MatchError(f"kind is {given['kind']!r}; it must be {allowed}")
    if method == "weighted":
        given = given | {"views": parse_views(given["views"])}
    return resolve(method, **given)

"""Estimates of the hidden state at B's hook point from the hidden state at A's.

SAE Match (Balagansky et al., 2025) carries a hidden state across the layers between A and B: encode
with A, send each feature to its match, rescale, decode with B. It is compared with baselines that
need no matching. Other packages add estimates to `ESTIMATES`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import torch
from jaxtyping import Float, Int
from torch import Tensor

from saematch.errors import SaematchError
from saematch.evaluation.feature_pairs import FeaturePairs
from saematch.evaluation.fits import Fit
from saematch.matching.feature_map import PairKind
from saematch.models.jacobian import Jacobian
from saematch.registry import Registry
from saematch.sae.folding import Fold
from saematch.sae.sae import SAE

Tokens = Float[Tensor, "tokens d_model"]

# an estimate of another package: what it makes of hidden states, given the SAEs, what was fitted
# and which feature goes where, if the pair is matched
Make = Callable[[SAE, SAE, Fit, FeaturePairs | None], Callable[["HiddenStates"], Tokens]]

ABOUT: dict[str, str] = {
    "drop": "x_a taken for x_b: the layers between are left out",
    "mean": "the mean of x_b on the fit set, whatever the text",
    "encode-decode target": "SAE_b(x_b): what the SAE at the target alone costs; sees the true x_b",
    "encode-decode source": "SAE_a(x_a), taken for x_b",
    "least squares": "the affine map of x_a that is nearest to x_b on the fit set",
    "jacobian": "the mean of x_b + J (x_a - its mean): the model's mean Jacobian; fits no text",
    "carried decoder": "the same of SAE_a(x_a): A's features written by J times A's decoder",
    "match": "encode with A, send features to their targets, decode with B (SAE Match)",
    "match + error": "match, and what A's own reconstruction leaves over: x_a - SAE_a(x_a)",
    "partial": "some features by B's decoder, the others by A's; B's bias (SAE Match, App. B)",
    "partial + error": "partial, and what A's own reconstruction leaves over",
    "composed": "match along a chain of neighbours' matchings",
    "transport, k = K": "B's features from at most K of A's each, fitted on the fit set",
    "transport + error, k = K": "the same, and what A's own reconstruction leaves over",
}

ESTIMATES: Registry[Make] = Registry("estimate", {}, reserved=(*ABOUT, "model", "identity"))


class Map(Protocol):
    """Anything that turns activations of A's features into activations of B's."""

    def apply(
        self, f_a: Float[Tensor, "tokens d_sae_a"], example: Int[Tensor, " tokens"], /
    ) -> Float[Tensor, "tokens d_sae_b"]:
        """Activations of B's features; `example` says which example each token belongs to."""
        ...


class HiddenStates:
    """Hidden states of some tokens at both hook points, with activations computed once."""

    def __init__(
        self, a: SAE, b: SAE, x_a: Tokens, x_b: Tokens, example: Int[Tensor, " tokens"]
    ) -> None:
        self.a, self.b, self.x_a, self.x_b = a, b, x_a, x_b
        self.example = example  # the example of each token, in ascending runs

    @cached_property
    def f_a(self) -> Float[Tensor, "tokens d_sae_a"]:
        return self.a.encode(self.x_a)

    @cached_property
    def f_b(self) -> Float[Tensor, "tokens d_sae_b"]:
        """Activations of the true x_b: for scores, not for estimates."""
        return self.b.encode(self.x_b)

    @cached_property
    def reconstruction(self) -> Tokens:
        """SAE_a(x_a)."""
        return self.a.decode(self.f_a, like=self.x_a)

    @cached_property
    def error(self) -> Tokens:
        """A's error: what its SAE does not explain of x_a."""
        return self.x_a - self.reconstruction

    def decoded(self, f: Float[Tensor, "tokens d_sae_b"]) -> Tokens:
        """Decode with B. If the SAEs normalise their inputs, the scale is taken from x_a."""
        return self.b.decode(f, like=self.x_a)

    def written(self, W_dec: Float[Tensor, "d_sae_a d_model"]) -> Tokens:
        """A's activations decoded with other rows, one per feature of A, and B's bias."""
        other = dataclasses.replace(self.a, W_dec=W_dec, b_dec=self.b.b_dec)
        return other.decode(self.f_a, like=self.x_a)


@dataclass(frozen=True, eq=False)
class Estimate:
    """A named estimate of x_b, `(tokens, d_model)`, made from the hidden states at A's site."""

    name: str
    make: Callable[[HiddenStates], Tokens]
    links: PairKind | None = None  # which pairs carry
    quantile: float | None = None  # share of features, nearest first, that B's decoder writes
    carry: Fold | None = None  # what activations are rescaled by on the way
    shared: bool = False  # depends on x_b alone, not on A

    @property
    def label(self) -> str:
        """The name with its settings, in words."""
        parts = [
            None if self.quantile is None else f"q = {self.quantile:g}",
            "significant" if self.links == "matched" else None,
            "not rescaled" if self.carry == "none" else None,
        ]
        return ", ".join([self.name, *(part for part in parts if part)])


def baselines(fit: Fit) -> list[Estimate]:
    """The estimates that need no matching."""
    mean, ahead = fit.mean, fit.ahead
    return [
        Estimate("drop", lambda states: states.x_a),
        Estimate("mean", lambda states: mean.to(states.x_b).expand_as(states.x_b), shared=True),
        Estimate(
            "encode-decode target", lambda states: states.b.reconstruct(states.x_b), shared=True
        ),
        Estimate("encode-decode source", lambda states: states.reconstruction),
        Estimate("least squares", lambda states: ahead(states.x_a)),
    ]


def by_jacobian(jacobian: Jacobian) -> list[Estimate]:
    """Estimates by the mean Jacobian between the two hook points, which need no matching.

    `carried decoder` is SAE Match's estimate with A's decoder, carried by J, in place of the rows
    of B's that it sends A's features to.
    """

    def ahead(x: Tokens) -> Tokens:
        before, after = (mean.to(x) for mean in (jacobian.source_mean, jacobian.target_mean))
        return after + jacobian.carried(x - before)

    return [
        Estimate("jacobian", lambda states: ahead(states.x_a)),
        Estimate("carried decoder", lambda states: ahead(states.reconstruction)),
    ]


def carried(
    pairs: FeaturePairs,
    links: PairKind = "assigned",
    by: Fold | None = None,
    *,
    with_error: bool = False,
    name: str = "match",
    activation: tuple[Tensor, Tensor] | None = None,
) -> Estimate:
    """SAE Match's estimate: encode with A, carry along `links`, decode with B.

    Features without a target among `links` are dropped. The activations of features that share a
    target add up.

    Args:
        pairs: which feature goes where.
        links: all assigned pairs, or only the significant ones.
        by: what activations are rescaled by; the pairs' own fold unless given, `none` for not.
        with_error: add what A's SAE leaves over, `x_a - SAE_a(x_a)`.
        name: of the estimate.
        activation: typical activations, for `by="activation"`.
    """
    ahead = pairs.along(links, by, activation).pull(pairs.b.W_dec)
    full = f"{name} + error" if with_error else name
    make = _adding_error(lambda states: states.written(ahead), with_error)
    return Estimate(full, make, links, None, by or pairs.fold)


def partial(
    pairs: FeaturePairs,
    quantile: float | None = None,
    by: Fold | None = None,
    *,
    with_error: bool = False,
    activation: tuple[Tensor, Tensor] | None = None,
) -> Estimate:
    """Decode some features with B and the others with A, on B's bias.

    With a `quantile` q, B decodes the share q of features whose match has the least folded decoder
    MSE (SAE Match, Appendix B); q = 1 differs from `carried` only in features without a target,
    which A decodes. Without a quantile, B decodes the features whose match is significant.

    Raises:
        SaematchError: `quantile` is not a share from 0 to 1.
    """
    if quantile is None:
        chosen = pairs.matched
    elif 0 <= quantile <= 1:
        chosen = pairs.nearest(quantile)
    else:
        raise SaematchError(f"quantile is {quantile}; it is a share, from 0 to 1")
    ahead = pairs.along("assigned", by, activation).pull(pairs.b.W_dec)
    name = "partial + error" if with_error else "partial"
    rows = torch.where(chosen[:, None], ahead, pairs.a.W_dec)
    make = _adding_error(lambda states: states.written(rows), with_error)
    links = "matched" if quantile is None else "assigned"
    return Estimate(name, make, links, quantile, by or pairs.fold)


def transported(transport: Map, name: str = "transport", *, with_error: bool = False) -> Estimate:
    """Encode with A, a map between features, decode with B; `with_error` A's error added."""
    make = _adding_error(
        lambda states: states.decoded(transport.apply(states.f_a, states.example)), with_error
    )
    return Estimate(name, make)


def registered(
    names: Iterable[str], a: SAE, b: SAE, fit: Fit, pairs: FeaturePairs | None
) -> list[Estimate]:
    """Estimates that others registered in `ESTIMATES`, by their names."""
    return [Estimate(name, ESTIMATES[name](a, b, fit, pairs)) for name in names]


def of_pairs(
    pairs: FeaturePairs,
    carry: Iterable[Fold | None] = (None, "none"),
    quantiles: Iterable[float] = (),
    activation: tuple[Tensor, Tensor] | None = None,
) -> list[Estimate]:
    """Every estimate that a matching gives, each way of rescaling; variants by the first way."""
    # the pairs' own way may be one of the others that are asked for
    ways: list[Fold] = list(dict.fromkeys(by or pairs.fold for by in carry))
    found = [
        carried(pairs, links, by, activation=activation)
        for by in ways
        for links in ("assigned", "matched")
    ]
    first = ways[0] if ways else None
    found.append(carried(pairs, "assigned", first, with_error=True, activation=activation))
    found += [partial(pairs, q, first, activation=activation) for q in quantiles]
    found.append(partial(pairs, None, first, activation=activation))
    found.append(partial(pairs, None, first, with_error=True, activation=activation))
    return found


def of_chain(
    pairs: FeaturePairs, by: Fold | None = None, activation: tuple[Tensor, Tensor] | None = None
) -> list[Estimate]:
    """The estimates of a chain of matchings: along all links, and along significant ones only."""
    return [
        carried(pairs, links, by, name="composed", activation=activation)
        for links in ("assigned", "matched")
    ]


def _adding_error(
    make: Callable[[HiddenStates], Tokens], with_error: bool
) -> Callable[[HiddenStates], Tokens]:
    return (lambda states: make(states) + states.error) if with_error else make

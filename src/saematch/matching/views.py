# pyright: strict, reportUnknownMemberType=false
"""Views: an SAE, and what its features do on text, as one vector per feature.

A method scores a pair of features by a weighted sum of inner products, one per view:
`score_ij = sum_v w_v <x_i^v, y_j^v>`. Stacking the views, each times the root of its weight, makes
that a single inner product, which is all that the assignment sees.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, cast

import torch
from jaxtyping import Float
from torch import Tensor

from saematch.activations.table import FeatureActivations
from saematch.errors import MatchError
from saematch.matching.evidence import NONE, Carry, Evidence
from saematch.numerics.scratch import by_rows
from saematch.registry import Registry
from saematch.sae.sae import SAE


@dataclass(frozen=True)
class Vectors:
    """How the vectors of a view are made of an SAE, one row per feature.

    `make` is given the SAE and what its features do on text, `(sae, activations)`, the latter None
    unless `needs_activations`.
    """

    about: str
    make: Callable[[SAE, FeatureActivations | None], Float[Tensor, "d_sae D"]]
    needs_activations: bool = False
    single: bool = False  # of one dimension, and so without a direction
    over_tokens: bool = False  # a dimension per token, on which a feature that never fires is 0
    # what the model carries between two hook points: directions that are written, or read
    carried: Literal["written", "read"] | None = None


def _encoder_bias(sae: SAE) -> Float[Tensor, "d_sae 1"]:
    # two SAEs that compute the same function must look the same, centred or not
    bias = sae.b_enc - sae.b_dec @ sae.W_enc if sae.conventions.centred else sae.b_enc
    return bias[:, None]


def _activation(sae: SAE, activations: FeatureActivations | None) -> Float[Tensor, "d_sae tokens"]:
    assert activations is not None
    return activations.deviations().to(sae.device)


VIEWS: Registry[Vectors] = Registry(
    "view",
    {
        "decoder": Vectors("rows of W_dec: what a feature writes", lambda sae, _: sae.W_dec),
        "encoder": Vectors("columns of W_enc: what a feature reads", lambda sae, _: sae.W_enc.T),
        "carried-decoder": Vectors(
            "rows of W_dec, the earlier SAE's carried to the later by the model's mean Jacobian",
            lambda sae, _: sae.W_dec,
            carried="written",
        ),
        "carried-encoder": Vectors(
            "columns of W_enc, the later SAE's pulled back to the earlier by the same Jacobian",
            lambda sae, _: sae.W_enc.T,
            carried="read",
        ),
        "encoder-bias": Vectors(
            "the bias of the pre-activation, with the input's centring folded in",
            lambda sae, _: _encoder_bias(sae),
            single=True,
        ),
        "activation": Vectors(
            "activations over tokens less their mean; of unit norm: Pearson correlation",
            _activation,
            needs_activations=True,
            over_tokens=True,
        ),
        "constant": Vectors(
            "1 for every feature", lambda sae, _: sae.b_enc.new_ones(sae.d_sae, 1), single=True
        ),
    },
    MatchError,
)


@dataclass(frozen=True)
class View:
    """One kind of feature vectors, and the weight of its inner product in the score."""

    vectors: str  # a name in VIEWS
    normalised: bool = False  # to unit norm, so that the inner product is a cosine
    weight: float = 1.0
    shrinkage: float | None = None  # firings k: rows times sqrt(n / (n + k)) after n firings

    def __post_init__(self) -> None:
        if self.vectors not in VIEWS:
            raise MatchError(
                f"no view is called {self.vectors!r}; there are {', '.join(VIEWS)} (for unit "
                "norm say normalised=True, or in text unit- before the name)"
            )
        if self.shrinkage is not None and self.shrinkage < 0:
            raise MatchError(f"shrinkage is {self.shrinkage}; it is a number of firings, from 0")

    @property
    def needs_activations(self) -> bool:
        """Whether it is made of what features do on text."""
        return VIEWS[self.vectors].needs_activations or self.shrinkage is not None

    @property
    def carried(self) -> bool:
        """Whether the model carries its vectors from one hook point to the other."""
        return VIEWS[self.vectors].carried is not None

    @property
    def over_tokens(self) -> bool:
        """Whether its dimensions are tokens."""
        return VIEWS[self.vectors].over_tokens

    @property
    def name(self) -> str:
        """Without its weight, as `parse_views` reads it."""
        name = f"unit-{self.vectors}" if self.normalised else self.vectors
        return name if self.shrinkage is None else f"{name}~{self.shrinkage:g}"

    def __str__(self) -> str:
        return self.name if self.weight == 1.0 else f"{self.name}:{self.weight:g}"


def parse_views(text: str) -> tuple[View, ...]:
    """Views from text such as `unit-decoder:1,unit-encoder:0.5`, or `unit-activation~10:1`.

    The number after `~` is a shrinkage, that after `:` a weight.
    """
    views: list[View] = []
    for part in text.split(","):
        whole, _, weight = part.strip().partition(":")
        name, _, firings = whole.partition("~")
        weight, firings = (_number(word, whole) for word in (weight, firings))
        normalised = name.startswith("unit-")
        vectors = name.removeprefix("unit-")
        views.append(View(vectors, normalised, 1.0 if weight is None else weight, firings))
    return tuple(views)


def _number(text: str, view: str) -> float | None:
    try:
        return float(text) if text else None
    except ValueError:
        raise MatchError(f"{text!r} of view {view!r} is not a number") from None


def feature_vectors(
    sae: SAE,
    view: View,
    activations: FeatureActivations | None = None,
    carry: Carry | None = None,
) -> Float[Tensor, "d_sae D"]:
    """The vectors of one view, without its weight. Zero rows stay zero when normalised.

    Those of a carried view are as the SAE has them unless `carry` says how they are carried.

    Raises:
        MatchError: the view needs `activations`, and there are none.
    """
    if view.needs_activations and activations is None:
        raise MatchError(
            f"view {view} is made of activations: give those of both SAEs on the same tokens"
        )
    if view.vectors == "activation" and activations is not None and view.normalised:
        # of unit norm without a second copy of rows over many tokens
        rows = activations.deviations(unit=True).to(sae.device)
    else:
        rows = VIEWS[view.vectors].make(sae, activations)
        _check_rows(rows, sae, view)
        rows = rows if carry is None else by_rows(carry, rows)
        if view.normalised:
            rows = by_rows(unit, rows)
    if view.shrinkage is not None:
        assert activations is not None
        fired = torch.from_numpy(activations.counts()).to(rows)
        share = (fired / (fired + view.shrinkage).clamp(min=1e-9)).sqrt()[:, None]
        rows = by_rows(torch.mul, rows, share)
    return rows


def unit(rows: Tensor) -> Tensor:
    """Rows of unit norm; those of zeros stay."""
    norm = cast("Tensor", rows.norm(dim=1, keepdim=True))
    return rows / norm.clamp(min=torch.finfo(rows.dtype).tiny)


def _check_rows(rows: Tensor, sae: SAE, view: View) -> None:
    """Raise MatchError where what others registered does not give a row for each feature."""
    if rows.ndim != 2 or len(rows) != sae.d_sae or not rows.is_floating_point():
        raise MatchError(
            f"view {view.vectors!r} gives {rows.dtype} of shape {tuple(rows.shape)} for "
            f"{sae.name}; it must give one floating-point row for each of {sae.d_sae} features"
        )


def stack(
    a: SAE,
    b: SAE,
    views: tuple[View, ...],
    evidence: Evidence = NONE,
) -> tuple[Float[Tensor, "d_sae_a D"], Float[Tensor, "d_sae_b D"], tuple[int, ...]]:
    """All views side by side, weighted, such that `x_i . y_j` is the weighted sum; their widths."""
    x, widths = _stacked(a, views, evidence, target=False)
    y, _ = _stacked(b, views, evidence, target=True)
    return x, y, widths


def _stacked(
    sae: SAE, views: tuple[View, ...], evidence: Evidence, target: bool
) -> tuple[Tensor, tuple[int, ...]]:
    """All views side by side, each times the root of its weight, with its sign if a `target`."""
    parts: list[Tensor] = []
    factors: list[float] = []
    for view in views:
        carry = evidence.carry(VIEWS[view.vectors].carried, source=not target)
        parts.append(feature_vectors(sae, view, evidence.activations[int(target)], carry))
        factors.append(abs(view.weight) ** 0.5 * (-1 if target and view.weight < 0 else 1))

    def beside(*parts: Tensor) -> Tensor:
        # rows over many tokens are not copied for nothing
        scaled = [rows if f == 1 else rows * f for rows, f in zip(parts, factors, strict=True)]
        return scaled[0] if len(scaled) == 1 else torch.cat(scaled, dim=1)

    widths = tuple(part.shape[1] for part in parts)
    return by_rows(beside, *parts), widths

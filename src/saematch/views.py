"""Views: an SAE as one vector per feature.

A method scores a pair of features by a weighted sum of inner products, one per view:
`score_ij = sum_v w_v <x_i^v, y_j^v>`. Stacking the views, each times the root of its weight, makes
that a single inner product, which is all that the assignment sees.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from saematch.errors import MatchError
from saematch.sae import SAE

Vectors = Literal["decoder", "encoder", "encoder-bias"]

VECTORS: dict[str, str] = {
    "decoder": "rows of W_dec: what a feature writes",
    "encoder": "columns of W_enc: what a feature reads",
    "encoder-bias": "the bias of the pre-activation, with the input's centring folded in",
}


@dataclass(frozen=True)
class View:
    """One family of feature vectors, and what its inner product counts in the score."""

    vectors: Vectors
    normalised: bool = False  # to unit norm, so that the inner product is a cosine
    weight: float = 1.0

    def __post_init__(self) -> None:
        if self.vectors not in VECTORS:
            raise MatchError(
                f"no view is called {self.vectors!r}; there are {', '.join(VECTORS)} (for unit "
                "norm say normalised=True, or in text unit- before the name)"
            )

    def __str__(self) -> str:
        name = f"unit-{self.vectors}" if self.normalised else self.vectors
        return name if self.weight == 1.0 else f"{name}:{self.weight:g}"


def parse_views(text: str) -> tuple[View, ...]:
    """Views from text such as `unit-decoder:1,unit-encoder:0.5`."""
    views = []
    for part in text.split(","):
        name, _, weight = part.strip().partition(":")
        try:
            value = float(weight) if weight else 1.0
        except ValueError:
            raise MatchError(f"the weight {weight!r} of view {name!r} is not a number") from None
        normalised = name.startswith("unit-")
        views.append(View(name.removeprefix("unit-"), normalised, value))  # pyright: ignore[reportArgumentType]
    return tuple(views)


def feature_vectors(sae: SAE, view: View) -> Float[Tensor, "d_sae D"]:
    """The vectors of one view, without its weight. Zero rows stay zero when normalised."""
    match view.vectors:
        case "decoder":
            rows = sae.W_dec
        case "encoder":
            rows = sae.W_enc.T
        case "encoder-bias":
            # two SAEs that compute the same function must look the same, centred or not
            bias = sae.b_enc - sae.b_dec @ sae.W_enc if sae.conventions.centred else sae.b_enc
            rows = bias[:, None]
    if view.normalised:
        rows = rows / rows.norm(dim=1, keepdim=True).clamp(min=torch.finfo(rows.dtype).tiny)
    return rows


def stack(
    a: SAE, b: SAE, views: tuple[View, ...]
) -> tuple[Float[Tensor, "d_sae_a D"], Float[Tensor, "d_sae_b D"], tuple[int, ...]]:
    """All views side by side, weighted, such that `x_i . y_j` is the weighted sum; their widths."""
    x = [feature_vectors(a, view) * abs(view.weight) ** 0.5 for view in views]
    y = [
        feature_vectors(b, v) * (abs(v.weight) ** 0.5 * (-1 if v.weight < 0 else 1)) for v in views
    ]
    return torch.cat(x, dim=1), torch.cat(y, dim=1), tuple(view.shape[1] for view in x)

"""Changes of hidden states in the running model, as `LanguageModel.changed` takes them.

Each is made for one batch: features of an SAE for every row of it, and the tokens to change. What a
feature does there is read when the model arrives at the place, so that several edits at different
depths work together: a later one meets what the earlier ones left.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from saematch.causal.contributions import activations, contributions
from saematch.models.language_model import Replacement
from saematch.sae.sae import SAE


@dataclass(eq=False)
class Remove:
    """Takes contributions of features out: `h - a v`, with the activation `a` that each has there.

    Feature Flow's deactivation (Laptev et al., 2025), `h + (r - 1) a v` at r = 0. Several features
    of a row are removed at once.
    """

    sae: SAE
    feature: Int[Tensor, "batch k"]  # -1: none
    where: Bool[Tensor, "batch seq"]
    # what the last pass took out
    removed: Float[Tensor, "batch seq d"] | None = field(default=None, init=False)

    def __call__(self, value: Tensor, _: Mapping[str, Tensor]) -> Tensor:
        x = value[self.where]
        feature = self.feature[self.where.nonzero()[:, 0]]
        encoded = self.sae.encode(x)
        out = torch.zeros_like(x)
        for one in feature.T:
            here = one.clamp(min=0)
            activation = encoded.gather(1, here[:, None])[:, 0] * (one >= 0)
            out += contributions(self.sae, x, here, activation)
        self.removed = torch.zeros_like(value)
        self.removed[self.where] = out
        return value - self.removed

    @property
    def sizes(self) -> Float[Tensor, "batch seq"]:
        """The norms of what the last pass took out."""
        assert self.removed is not None, "no pass was made yet"
        return self.removed.norm(dim=-1)


@dataclass(eq=False)
class Put:
    """Gives a feature an activation: `h + (a' - a) v`, whatever activation `a` it has there."""

    sae: SAE
    feature: Int[Tensor, " batch"]  # -1: that row stays as it is
    where: Bool[Tensor, "batch seq"]
    activation: Float[Tensor, "batch seq"]  # a'

    def __call__(self, value: Tensor, _: Mapping[str, Tensor]) -> Tensor:
        where = self.where & (self.feature >= 0)[:, None]
        x, feature = value[where], self.feature[where.nonzero()[:, 0]]
        more = self.activation.to(x)[where] - activations(self.sae, x, feature).to(x)
        new = value.clone()
        new[where] = x + contributions(self.sae, x, feature, more)
        return new


@dataclass(eq=False)
class Shift:
    """Adds a vector at each token: for removals of a given size along other directions."""

    by: Float[Tensor, "batch seq d"]

    def __call__(self, value: Tensor, _: Mapping[str, Tensor]) -> Tensor:
        return value + self.by.to(value)


@dataclass(eq=False)
class Several:
    """Edits at one hook point, one after the other."""

    edits: tuple[Replacement, ...]

    def __call__(self, value: Tensor, earlier: Mapping[str, Tensor]) -> Tensor:
        for edit in self.edits:
            value = edit(value, earlier)
        return value


def drawn(
    active: Bool[Tensor, "tokens d_sae"],
    but: Int[Tensor, "tokens k"],
    generator: torch.Generator,
) -> Int[Tensor, " tokens"]:
    """One of the active features of each token at random, none of `but`; -1 where there is none.

    Args:
        active: which features fire.
        but: features of each token that are not drawn; -1 for none.
        generator: of the draws, on the CPU.
    """
    key = torch.rand(active.shape, generator=generator).to(active.device) + 1e-6
    key = key * active
    for one in but.T:
        some = one >= 0
        key[some.nonzero()[:, 0], one[some]] = 0
    best = key.max(1)
    return torch.where(best.values > 0, best.indices, -1)


def along(
    sae: SAE,
    feature: Int[Tensor, " tokens"],
    size: Float[Tensor, " tokens"],
) -> Float[Tensor, "tokens d"]:
    """Vectors of a given size along the decoder rows of features; 0 where the feature is -1."""
    rows = torch.nn.functional.normalize(sae.W_dec[feature.clamp(min=0)], dim=-1)
    return rows * (size.to(rows) * (feature >= 0))[:, None]

# pyright: strict
"""Cosines and errors of pairs of features, the same for every method."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from saematch.matching.views import View, feature_vectors
from saematch.sae.folding import Fold, fold
from saematch.sae.sae import SAE

TERMS = ("decoder", "encoder", "encoder-bias")

Scales = tuple[Tensor | None, Tensor | None]  # typical activations, for folding by activation


@dataclass(frozen=True, eq=False)
class Measures(Mapping[str, Tensor]):
    """Cosines and errors of the pairs of a matching by name, `(d_sae_a,)`: see `measure_pairs`."""

    by_name: Mapping[str, Float[Tensor, " d_sae_a"]]
    fold: Fold  # what the `*_mse_folded` are folded by
    identity: Mapping[str, float] | None  # medians for i -> i; None: the widths differ

    @classmethod
    def of(
        cls,
        a: SAE,
        b: SAE,
        target: Int[Tensor, " d_sae_a"],
        how: Fold,
        scales: Scales = (None, None),
    ) -> Measures:
        """The measures of the pairs `i -> target[i]`, folded by `how`."""
        identity = identity_medians(a, b, how, scales)
        return cls(measure_pairs(a, b, target, how, scales), how, identity)

    def __getitem__(self, name: str) -> Tensor:
        return self.by_name[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.by_name)

    def __len__(self) -> int:
        return len(self.by_name)


def measure_pairs(
    a: SAE, b: SAE, target: Int[Tensor, " d_sae_a"], how: Fold, scales: Scales = (None, None)
) -> dict[str, Float[Tensor, " d_sae_a"]]:
    """Cosine and mean squared error of every pair i -> target[i], per term; NaN without a target.

    `decoder_cosine`, `encoder_cosine`; `decoder_mse`, `encoder_mse`, `encoder_bias_mse`: the mean
    over dimensions of the squared difference; `*_mse_folded`: the same after folding both SAEs by
    `how`, the coordinates in which SAE Match reports its errors (Balagansky et al., section 5).
    Cosines are of the weights as they are: folding does not change them.
    """
    source = (target >= 0).nonzero().squeeze(1)
    found: dict[str, Tensor] = {}

    def put(name: str, values: Tensor) -> None:
        full = values.new_full((a.d_sae,), float("nan"))
        full[source] = values
        found[name] = full

    for folded, (one, other) in (
        ("", (a, b)),
        ("_folded", (fold(a, how, scales[0]), fold(b, how, scales[1]))),
    ):
        for term in TERMS:
            x = feature_vectors(one, View(term))[source]
            y = feature_vectors(other, View(term))[target[source]]
            if not folded and term != "encoder-bias":
                put(f"{term}_cosine", torch.cosine_similarity(x, y, dim=1))
            put(f"{term.replace('-', '_')}_mse{folded}", (x - y).pow(2).mean(1))
    return found


def cosines(a: SAE, b: SAE, others: Int[Tensor, "d_sae_a k"]) -> Float[Tensor, "d_sae_a k"]:
    """Decoder cosines of each feature of A with `k` features of B; NaN for -1."""
    x, y = (torch.nn.functional.normalize(sae.W_dec.float(), dim=1) for sae in (a, b))
    each = [(x * y[column]).sum(1) for column in others.to(x.device).unbind(1)]
    found = torch.stack(each, 1) if each else x.new_empty(len(x), 0)
    return torch.where(others.to(x.device) >= 0, found, float("nan"))


def identity_medians(
    a: SAE, b: SAE, how: Fold, scales: Scales = (None, None)
) -> dict[str, float] | None:
    """Medians of the measures for i -> i, the baseline of every matching; None: widths differ."""
    if a.d_sae != b.d_sae:
        return None
    index = torch.arange(a.d_sae, device=a.device)
    target = torch.where(a.excluded | b.excluded, -1, index)
    values = measure_pairs(a, b, target, how, scales)
    return {name: float(value.nanmedian()) for name, value in values.items()}

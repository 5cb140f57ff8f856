# Tensor.split and vector_norm have no types of their own
# pyright: strict, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false
"""Cosines and errors of pairs of features, the same for every method."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from saematch.matching.views import View, feature_vectors
from saematch.numerics.pairs import moments, products
from saematch.sae.folding import Fold, applied, fold_scale
from saematch.sae.sae import SAE

TERMS = ("decoder", "encoder", "encoder-bias")
EPSILON = 1e-8  # the least norm that a cosine divides by

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
        targets = [target] if a.d_sae != b.d_sae else [target, _same_place(a, b)]
        found, *same = _measured(a, b, targets, how, scales)
        identity = {n: float(v.nanmedian()) for n, v in same[0].items()} if same else None
        return cls(found, how, identity)

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
    return _measured(a, b, [target], how, scales)[0]


def _measured(
    a: SAE, b: SAE, targets: Sequence[Tensor], how: Fold, scales: Scales
) -> list[dict[str, Tensor]]:
    """`measure_pairs` for each of several targets, from one reading of the weights."""
    sources = [(target >= 0).nonzero().squeeze(1) for target in targets]
    row = torch.cat(sources)
    column = torch.cat([t[s] for t, s in zip(targets, sources, strict=True)])
    folded = zip((a, b), scales, strict=True)
    scale = [applied(sae, fold_scale(sae, how, given)) for sae, given in folded]
    found: dict[str, Tensor] = {}
    for term in TERMS:
        x, y = (feature_vectors(sae, View(term)) for sae in (a, b))
        written = term == "decoder"
        s, t = (v.double() if written else 1 / v.double() for v in scale)
        sums = moments(x, y, row, column, s, t)
        if term != "encoder-bias":
            sizes = sums[:, 1:3].sqrt().clamp(min=EPSILON)
            found[f"{term}_cosine"] = sums[:, 0] / sizes.prod(1)
        name = term.replace("-", "_")
        found[f"{name}_mse"], found[f"{name}_mse_folded"] = (sums[:, 3:] / x.shape[1]).unbind(1)

    def put(values: Tensor, source: Tensor) -> Tensor:
        full = torch.full((a.d_sae,), torch.nan, dtype=precision, device=a.device)
        full[source] = values.to(full)
        return full

    precision = torch.promote_types(torch.promote_types(a.dtype, b.dtype), torch.float32)
    sizes = [len(source) for source in sources]
    parts = {name: values.split(sizes) for name, values in found.items()}
    return [
        {name: put(part[k], source) for name, part in parts.items()}
        for k, source in enumerate(sources)
    ]


def cosines(a: SAE, b: SAE, others: Int[Tensor, "d_sae_a k"]) -> Float[Tensor, "d_sae_a k"]:
    """Decoder cosines of each feature of A with `k` features of B; NaN for -1."""
    others = others.cpu()
    row, place = (others >= 0).nonzero(as_tuple=True)
    column = others[row, place]
    sizes = [
        torch.linalg.vector_norm(
            sae.W_dec, dim=1, dtype=torch.promote_types(sae.dtype, torch.float32)
        ).cpu()
        for sae in (a, b)
    ]
    found = torch.full(others.shape, torch.nan)
    length = (sizes[0][row] * sizes[1][column]).clamp(min=torch.finfo(torch.float32).tiny)
    found[row, place] = (products(a.W_dec, b.W_dec, row, column) / length).float()
    return found.to(a.device)


def _same_place(a: SAE, b: SAE) -> Int[Tensor, " d_sae_a"]:
    """The target i -> i, of features in use in both."""
    index = torch.arange(a.d_sae, device=a.device)
    return torch.where(a.excluded | b.excluded, -1, index)

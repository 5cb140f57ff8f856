"""What estimates learn from the fit set: the mean at B's site, and the affine map to it from A's.

Everything is computed from sums over tokens, in float64, so that no token need be kept. The map is
least squares with a ridge, chosen on examples left out, that shrinks it towards the identity: where
there is too little text to learn from, it leaves hidden states as they are.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from saematch.errors import SaematchError
from saematch.sae.sae import SAE

FOLDS = 5  # of cross-validation
CHUNK = 256  # tokens whose activations are summed at a time, in float64
RIDGES = tuple(10.0**-power for power in range(8, 0, -1))  # in units of the mean variance of x_a


@dataclass(frozen=True, eq=False)
class Fit:
    """What was fitted, and on how many tokens."""

    mean: Float[Tensor, " d_b"]  # of x_b
    weight: Float[Tensor, "d_a d_b"]
    bias: Float[Tensor, " d_b"]
    ridge: float  # in units of the mean variance of x_a's dimensions
    tokens: int
    activation: tuple[Tensor, Tensor] | None = None  # (d_sae_a,), (d_sae_b,): mean when active

    def ahead(self, x: Float[Tensor, "tokens d_a"]) -> Float[Tensor, "tokens d_b"]:
        """The least-squares estimate of x_b: `x @ weight + bias`."""
        return x @ self.weight.to(x) + self.bias.to(x)


class FitSums:
    """Sums over tokens of `[x_a, 1]` and x_b, by fold of examples."""

    def __init__(self, a: SAE, b: SAE) -> None:
        self._a, self._b = a, b
        zeros = {"dtype": torch.float64, "device": a.device}
        self._gram = torch.zeros(FOLDS, a.d_in + 1, a.d_in + 1, **zeros)
        self._cross = torch.zeros(FOLDS, a.d_in + 1, b.d_in, **zeros)
        self._squares = torch.zeros(FOLDS, **zeros)
        self._fired = [torch.zeros(2, sae.d_sae, **zeros) for sae in (a, b)]

    def add(self, x_a: Tensor, x_b: Tensor, f_a: Tensor, f_b: Tensor, example: Tensor) -> None:
        """Count tokens `(tokens, d_a)`, `(tokens, d_b)`, their activations, and their examples."""
        for fold in range(FOLDS):
            here = example % FOLDS == fold
            x = torch.nn.functional.pad(x_a[here].double(), (0, 1), value=1.0)
            y = x_b[here].double()
            self._gram[fold] += x.T @ x
            self._cross[fold] += x.T @ y
            self._squares[fold] += y.pow(2).sum()
        for sums, f in zip(self._fired, (f_a, f_b), strict=True):
            for some in f.split(CHUNK):
                active = (some != 0).sum(0, dtype=torch.float64)
                sums += torch.stack([some.sum(0, dtype=torch.float64), active])

    def fit(self) -> Fit:
        """The ridge of least error on examples left out, and the map with it on all of them.

        Where there is nothing to leave out, as with a single example, the largest.

        Raises:
            SaematchError: there are no tokens.
        """
        tokens = int(self._gram[:, -1, -1].sum())
        if tokens == 0:
            raise SaematchError("nothing to fit on: the fit set has no tokens besides BOS")
        ridge = self._best_ridge()
        gram, cross = self._gram.sum(0), self._cross.sum(0)
        ((weight, bias),) = _affine(gram, cross, (ridge,))
        activation = tuple(total / count for total, count in self._fired)
        mean = cross[-1] / gram[-1, -1]
        return Fit(mean, weight, bias, ridge, tokens, activation)  # pyright: ignore[reportArgumentType]

    def _best_ridge(self) -> float:
        gram, cross = self._gram.sum(0), self._cross.sum(0)
        error, tried = torch.zeros(len(RIDGES), dtype=torch.float64), False
        for fold in range(FOLDS):
            rest = gram - self._gram[fold]
            if self._gram[fold, -1, -1] == 0 or rest[-1, -1] < 1:
                continue
            tried = True
            maps = _affine(rest, cross - self._cross[fold], RIDGES)
            for place, (weight, bias) in enumerate(maps):
                both = torch.cat([weight, bias[None]])
                inner = 2 * self._cross[fold] - self._gram[fold] @ both
                error[place] += float(self._squares[fold] - (both * inner).sum())
        return RIDGES[int(error.argmin())] if tried else max(RIDGES)


def _affine(gram: Tensor, cross: Tensor, ridges: tuple[float, ...]) -> list[tuple[Tensor, Tensor]]:
    """Weight and bias of least `|y - x W - c|^2 + n ridge v |W - I|^2`, v the variance of x."""
    n = gram[-1, -1]
    mean_x, mean_y = gram[-1, :-1] / n, cross[-1] / n
    values, vectors = torch.linalg.eigh(gram[:-1, :-1] - n * torch.outer(mean_x, mean_x))
    values = values.clamp(min=0)
    turned = vectors.T @ (cross[:-1] - n * torch.outer(mean_x, mean_y))
    still = torch.eye(*turned.shape, dtype=turned.dtype, device=turned.device)
    found = []
    for ridge in ridges:
        # a constant x has no direction to learn from
        shrink = (ridge * values.mean()).clamp(min=torch.finfo(values.dtype).tiny)
        weight = vectors @ ((turned + shrink * (vectors.T @ still)) / (values + shrink)[:, None])
        found.append((weight, mean_y - mean_x @ weight))
    return found

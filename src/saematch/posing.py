"""Two SAEs and a method as an assignment problem: two matrices, two offsets, features in use."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from saematch.folding import Fold, fold
from saematch.methods import Method, resolve_fold
from saematch.sae import SAE
from saematch.views import View, stack


@dataclass(frozen=True, eq=False)
class Posed:
    """`score_ij = x_i . y_j + row_offset_i + column_offset_j` over features that are not excluded.

    Row i of `x` is feature `rows[i]` of A, row j of `y` feature `columns[j]` of B.
    """

    a: SAE  # folded
    b: SAE
    fold: Fold
    x: Float[Tensor, "n D"]
    y: Float[Tensor, "m D"]
    row_offset: Float[Tensor, " n"]
    column_offset: Float[Tensor, " m"]
    rows: Int[Tensor, " n"]
    columns: Int[Tensor, " m"]

    def outer_target(self, inner: Int[Tensor, " n"]) -> Int[Tensor, " d_sae_a"]:
        """A target over rows and columns in terms of features; -1 for what is left out."""
        target = torch.full((self.a.d_sae,), -1, dtype=torch.int64, device=self.rows.device)
        target[self.rows] = self.outer(inner)
        return target

    def inner_target(self, target: Int[Tensor, " d_sae_a"]) -> Int[Tensor, " n"]:
        """The reverse of `outer_target`."""
        place = torch.full((self.b.d_sae + 1,), -1, dtype=torch.int64, device=self.rows.device)
        place[self.columns] = torch.arange(len(self.columns), device=self.rows.device)
        return place[target.to(place.device)[self.rows]]  # -1 reads the last place, which is -1

    def outer(self, inner: Tensor) -> Tensor:
        """Columns in terms of B's features; -1 stays -1."""
        columns = torch.cat([self.columns, self.columns.new_full((1,), -1)])
        return columns[inner.to(columns.device)]

    def pair_scores(self, inner: Int[Tensor, " n"]) -> Float[Tensor, " n"]:
        """The score of each row with its column; NaN without one."""
        score = (self.x * self.y[inner]).sum(1)
        score = score + self.row_offset + self.column_offset[inner]
        return torch.where(inner >= 0, score, float("nan"))

    def spread(self, values: Tensor, fill: float = float("nan")) -> Tensor:
        """Values per row as values per feature of A, with `fill` for what is left out."""
        values = values.to(self.rows.device)
        out = values.new_full((self.a.d_sae, *values.shape[1:]), fill)
        out[self.rows] = values
        return out


def pose(
    a: SAE,
    b: SAE,
    method: Method,
    activation: tuple[Tensor | None, Tensor | None] = (None, None),
    views: tuple[View, ...] | None = None,
) -> Posed:
    """Fold, stack the views (the method's unless others are given) and leave out the excluded."""
    how = resolve_fold(method.fold, a, b)
    a, b = fold(a, how, activation[0]), fold(b, how, activation[1])
    rows, columns = ((~sae.excluded).nonzero().squeeze(1) for sae in (a, b))
    x, y = stack(a, b, views or method.views)
    x, y = x[rows].double(), y[columns].double()
    if method.distance:
        # -|x - y|^2 = 2 x.y - |x|^2 - |y|^2
        row_offset, column_offset = -x.pow(2).sum(1), -y.pow(2).sum(1)
        x = 2 * x
    else:
        row_offset, column_offset = x.new_zeros(len(x)), y.new_zeros(len(y))
    return Posed(a, b, how, x, y, row_offset, column_offset, rows, columns)

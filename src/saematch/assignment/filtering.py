"""Approximate scores from a fast matrix product, with a bound on how far they may be off.

For `x_i = a_i + r_i` and `y_j = b_j + q_j`, where `a` and `b` are what the product is given:

    |x_i . y_j - a_i . b_j|  <=  |r_i| |y_j| + |a_i| |q_j|                    (Cauchy-Schwarz)
    |fl(a_i . b_j) - a_i . b_j|  <=  D u |a_i| |b_j| / (1 - D u)              (any order of adding)

(Higham, "Accuracy and Stability of Numerical Algorithms", 2002, section 3.1.) `u` is taken as
2^-23, twice the rounding unit of float32, which also covers units that cut off instead of round.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from saematch.numerics.hardware import Precision

ROWS = 256  # copied or measured at once, within the processor's cache
USUAL = {torch.float32: (1e-15, 1e15), torch.float64: (1e-150, 1e150)}  # norms, their squares safe
UNIT = {torch.float32: 2.0**-24, torch.bfloat16: 2.0**-8}
SAFE = (1e-12, 1e12)  # norms whose products stay well within float32


class Bound(NamedTuple):
    """`x_i . y_j <= scale_i scale_j (raw + relative |raw|) + slack_i reach_j`."""

    row_scale: np.ndarray
    column_scale: np.ndarray
    row_slack: np.ndarray
    column_reach: np.ndarray
    relative: float

    def turned(self) -> Bound:
        """The same with columns for rows."""
        return Bound(
            self.column_scale, self.row_scale, self.column_reach, self.row_slack, self.relative
        )


@dataclass(frozen=True, eq=False)
class Filter:
    """Two matrices in low precision and the bound on the error of their product."""

    left: Float[Tensor, "n D"]
    right: Float[Tensor, "m D"]
    bound: Bound

    def product(self, rows: slice | Tensor) -> Float[Tensor, "rows m"]:
        left = self.left[rows]
        if left.is_cuda and left.dtype == torch.bfloat16:
            return torch.mm(left, self.right.T, out_dtype=torch.float32)
        return left @ self.right.T

    def fill(
        self, rows: slice, widths: Sequence[int], out: Sequence[Float[Tensor, "rows m"]]
    ) -> None:
        """Write products of parts of the vectors, so many dimensions each, whose sum is `product`.

        The bound holds for the sum too, in float32: it covers any order of adding.
        """
        left, right = (v.split(list(widths), dim=1) for v in (self.left[rows], self.right))
        for one, other, product in zip(left, right, out, strict=True):
            torch.mm(one, other.T, out=product)

    @property
    def precision(self) -> Precision:
        return "bfloat16" if self.left.dtype == torch.bfloat16 else "float32"

    def turned(self) -> Filter:
        """The same with columns for rows."""
        return Filter(self.right, self.left, self.bound.turned())


def norms(x: Float[Tensor, "n D"]) -> Float[Tensor, " n"]:
    """The Euclidean norm of each row in float64, whatever its size; never less than it is.

    More by at most `D 2^-23` of it, for float32.
    """
    out = torch.zeros(len(x), dtype=torch.float64, device=x.device)
    if x.shape[1] == 0:
        return out
    adding = 1 + x.shape[1] * 2.0**-23 if x.dtype == torch.float32 else 1.0
    low, high = USUAL[x.dtype]
    for start in range(0, len(x), ROWS):
        out[start : start + ROWS] = torch.linalg.vector_norm(x[start : start + ROWS], dim=1)
    out *= adding
    for row in (~((out > low) & (out < high))).nonzero()[:, 0].split(ROWS):
        # squares may have overflowed or vanished
        some = x[row].double()
        largest = some.abs().amax(1, keepdim=True)
        unit = torch.where(largest > 0, largest, 1.0)
        out[row] = (some / unit).norm(dim=1) * largest[:, 0]
    return out


def make_filter(
    x: Float[Tensor, "n D"],
    y: Float[Tensor, "m D"],
    sizes: tuple[Float[Tensor, " n"], Float[Tensor, " m"]],
    precision: Precision,
) -> Filter:
    """Bring `x` and `y`, whose norms are `sizes`, to `precision` and bound what that costs."""
    dtype = torch.float32 if precision == "float32" else torch.bfloat16
    left, row_scale, row_error = _lower(x, sizes[0], dtype)
    right, column_scale, column_error = _lower(y, sizes[1], dtype)
    adding = adding_error(x.shape[1], dtype, x.device)
    scales, errors = (row_scale, column_scale), (row_error, column_error)
    return Filter(left, right, make_bound(sizes, scales, errors, adding, dtype))


def adding_error(terms: int, dtype: torch.dtype, device: torch.device) -> float:
    """How far a sum of so many products may be off, in products of the norms."""
    adding = terms * 2.0**-23
    adding /= max(0.5, 1 - adding)
    if dtype == torch.float32 and not _full_float32(device):
        adding += 2.0**-7  # the product may round its factors to bfloat16 or TF32
    return adding


def make_bound(
    sizes: tuple[Tensor, Tensor],
    scales: tuple[Tensor, Tensor],
    errors: tuple[Tensor, Tensor],
    adding: float,
    dtype: torch.dtype,
) -> Bound:
    """The bound for vectors of these norms, taken out scales, and errors relative to the norms."""
    (row_scale, column_scale), (row_error, column_error) = scales, errors
    relative = column_error.max().item() if len(column_error) else 0.0
    # 1e-35 stands for what falls below the range of float32
    slack = (row_error + (1 + row_error) * relative + 1.1 * adding * (1 + relative)) * sizes[0]
    slack = slack * (1 + 1e-6) + 1e-35 * row_scale
    return Bound(
        row_scale.cpu().numpy(),
        column_scale.cpu().numpy(),
        slack.cpu().numpy(),
        torch.maximum(sizes[1], 1e-35 * column_scale).cpu().numpy(),
        1.01 * UNIT[dtype],  # where the product is not rounded so, scores that are kept are
    )


def _lower(x: Tensor, size: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor]:
    """`x` in a lower precision, the scale taken out of each row, and the relative error left."""
    scale = torch.ones_like(size)
    used = size[size > 0]
    if len(used) and not (SAFE[0] <= float(used.min()) and float(used.max()) <= SAFE[1]):
        scale = torch.where(size > 0, torch.exp2(size.log2().floor()), 1.0)
    error = torch.zeros_like(size)
    if x.dtype == dtype and bool((scale == 1).all()):
        return x, scale, error
    low = torch.empty(x.shape, dtype=dtype, device=x.device)
    adding = 1 + 1e-6 + x.shape[1] * 2.0**-23
    for start in range(0, len(x), ROWS):
        rows = slice(start, start + ROWS)
        wide = x[rows] if bool((scale[rows] == 1).all()) else x[rows].double() / scale[rows, None]
        low[rows] = wide.to(dtype)
        missing = (wide - low[rows]).norm(dim=1).double()
        whole = size[rows] / scale[rows]
        error[rows] = torch.where(whole > 0, missing / whole, 0.0) * adding
    return low, scale, error


def _full_float32(device: torch.device) -> bool:
    if torch.get_float32_matmul_precision() != "highest":
        return False
    return device.type != "cuda" or not torch.backends.cuda.matmul.allow_tf32

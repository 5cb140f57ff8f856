"""Products that `assign` kept, used again by `neighbours`: for other offsets, or scaled vectors.

Squared distances and cosines of the same features are sums of the same products. For vectors of
parts, such as a decoder and an encoder row, `x_i = (x_i1, x_i2, ..)`, and others that are theirs
but for a factor of each part, `x'_iv = a_iv x_iv` and `y'_jv = b_jv y_jv`,

    x'_i . y'_j = sum_v a_iv b_jv (x_iv . y_jv),

so that products that are kept part by part serve both. The factors are measured, and so is what
they leave over, which the bound on the error covers as it does the error of a lower precision.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from saematch.assignment.filtering import Filter, adding_error, make_bound
from saematch.assignment.problem import Problem
from saematch.errors import SaematchError
from saematch.numerics.compiled import compiled
from saematch.numerics.pairs import spread

AT_ONCE = 2**19  # products scaled at once, within the processor's cache
ALIKE = 1e-3  # of the norm, that a factor of each part may leave over


@dataclass(frozen=True, eq=False)
class Kept(Filter):
    """A filter with its products at hand, those of each part of the vectors."""

    raw: tuple[Float[Tensor, "n m"], ...]

    def product(self, rows: slice | Tensor) -> Float[Tensor, "rows m"]:
        return added(self.raw, rows)

    def turned(self) -> Kept:
        return Kept(self.right, self.left, self.bound.turned(), tuple(r.T for r in self.raw))


@dataclass(frozen=True, eq=False)
class Scaled(Kept):
    """The same with a factor of each part of each vector."""

    row_factor: Float[Tensor, "V n"]
    column_factor: Float[Tensor, "V m"]

    def product(self, rows: slice | Tensor) -> Float[Tensor, "rows m"]:
        numbers = torch.arange(len(self.left), device=self.row_factor.device)[rows]
        found = torch.empty(
            (len(numbers), len(self.right)), dtype=torch.float32, device=numbers.device
        )
        step = max(1, AT_ONCE // max(1, len(self.right)))
        for some, out in zip(numbers.split(step), found.split(step), strict=True):
            part = torch.empty_like(out)
            for v, raw in enumerate(self.raw):
                into = part if v else out
                torch.mul(raw[some], self.column_factor[v], out=into)
                into.mul_(self.row_factor[v, some, None])
                if v:
                    out += part
        return found

    def turned(self) -> Scaled:
        raw = tuple(r.T for r in self.raw)
        factors = self.column_factor, self.row_factor
        return Scaled(self.right, self.left, self.bound.turned(), raw, *factors)


@dataclass
class Scores:
    """Where `assign` leaves its approximate scores, if it kept them, for `neighbours`.

    With `widths`, how many dimensions each part of the vectors has, also for vectors that are
    theirs but for a factor of each part: a part of one dimension may be left out of those.
    """

    widths: tuple[int, ...] = ()
    kept: Kept | None = None

    def filter(self, task: Problem, sizes: tuple[Tensor, Tensor]) -> Filter | None:
        """What there is for a problem; None where its vectors are others.

        Raises:
            SaematchError: it has other numbers of rows and columns.
        """
        kept = self.kept
        if kept is None:
            return None
        if (len(kept.left), len(kept.right)) != (task.n, task.m):
            raise SaematchError(
                f"scores are of {len(kept.left)} x {len(kept.right)} vectors; this problem "
                f"has {task.n} x {task.m}"
            )
        return _scaled(kept, self.widths, task, sizes) if self.widths else kept


def added(raw: Sequence[Tensor], rows: slice | Tensor) -> Tensor:
    """The sums of the products of all parts, for some rows."""
    total = raw[0][rows].contiguous()
    for other in raw[1:]:
        total = total + other[rows]
    return total


def _scaled(
    kept: Kept, widths: Sequence[int], task: Problem, sizes: tuple[Tensor, Tensor]
) -> Scaled | None:
    starts = np.cumsum([0, *widths[:-1]]).tolist()
    parts = [v for v in range(len(widths)) if widths[v] > 1]
    if sum(widths) == task.x.shape[1]:
        parts = list(range(len(widths)))
    known = [(starts[v], widths[v]) for v in parts]
    if sum(width for _, width in known) != task.x.shape[1]:
        return None
    found = [_factors(z, low, known) for z, low in ((task.x, kept.left), (task.y, kept.right))]
    errors = [
        left / size.cpu().clamp(min=1e-300) for (_, left), size in zip(found, sizes, strict=True)
    ]
    if any(len(error) and float(error.max()) > ALIKE for error in errors):
        return None
    device = kept.left.device
    ones = torch.ones_like(sizes[0]), torch.ones_like(sizes[1])
    adding = adding_error(max(widths) + len(parts) + 4, torch.float32, device)
    rows, columns = (error.to(device) for error in errors)
    bound = make_bound(sizes, ones, (rows, columns), adding, torch.float32)
    raw = tuple(kept.raw[v] for v in parts)
    row_factor, column_factor = (factor.to(device) for factor, _ in found)
    return Scaled(kept.left, kept.right, bound, raw, row_factor, column_factor)


def _factors(
    z: Tensor, low: Tensor, parts: Sequence[tuple[int, int]]
) -> tuple[Float[Tensor, "V n"], Float[Tensor, " n"]]:
    """The factor of each part of each row, and the norm of what they leave over."""
    factor = np.zeros((len(parts), len(z)), np.float32)
    over = np.zeros(len(z))
    given = z.detach().cpu().contiguous().numpy(), low.detach().cpu().contiguous().numpy()
    at = 0
    for v, (start, width) in enumerate(parts):
        spread(_factor, len(z), *given, at, start, width, factor[v], over)
        at += width
    return torch.from_numpy(factor), torch.from_numpy(over).sqrt()


@compiled
def _factor(begin, end, z, low, at, start, width, factor, over):
    for i in range(begin, end):
        u, v = z[i, at : at + width], low[i, start : start + width]
        product, square = 0.0, 0.0
        for d in range(width):
            product += np.float64(u[d]) * np.float64(v[d])
            square += np.float64(v[d]) * np.float64(v[d])
        factor[i] = product / square if square > 0 else 0.0
        f, left = np.float64(factor[i]), 0.0
        for d in range(width):
            missing = np.float64(u[d]) - f * np.float64(v[d])
            left += missing * missing
        over[i] += left

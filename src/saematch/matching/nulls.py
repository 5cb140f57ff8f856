# Tensor.split, norm and from_numpy, and scipy, have no types of their own
# pyright: strict, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportMissingTypeStubs=false
"""Nulls: dictionaries of directions that mean nothing, to compare a dictionary's scores with.

A null dictionary stands in for a target dictionary. Feature by feature it borrows the norm of
every view (and so, for a squared distance, the offset), so that large features attract as many
matches as they do in the target; only where the vectors point is left to chance. A view of one
dimension, such as the encoder's bias, has no direction and is borrowed whole.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Literal

import torch
from jaxtyping import Float, Int
from scipy.linalg import hadamard
from torch import Tensor

from saematch.numerics.scratch import by_rows, empty
from saematch.numerics.sums import norms as norms_of

Null = Literal["covariance", "rotation", "none"]

ROWS = 256  # measured at once, within the processor's cache
STRIP = 128  # dimensions mixed at once, likewise
EVERY = slice(None)


def split(y: Float[Tensor, "m D"], widths: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Directions `(m, D)`, of unit norm in each view, and norms `(m, views)` of stacked views.

    A view of one dimension has the direction 1 and its value, with its sign, for a norm.
    """
    directions = empty(tuple(y.shape), y.dtype, y.device)
    norms = y.new_empty(len(y), len(widths))
    _divide(y, widths, directions, norms)
    return directions, norms


def _divide(y: Tensor, widths: Sequence[int], directions: Tensor, norms: Tensor) -> None:
    """Fill `directions`, which may be `y`, and `norms`; a few rows at a time, in the cache."""
    for start in range(0, len(y), ROWS):
        rows = slice(start, start + ROWS)
        whole, into = (v[rows].split(list(widths), dim=1) for v in (y, directions))
        for v, (part, out) in enumerate(zip(whole, into, strict=True)):
            if part.shape[1] == 1:
                norms[rows, v] = part[:, 0]
                out.fill_(1)
            else:
                norm = norms_of(part).to(part)
                norms[rows, v] = norm
                torch.div(part, norm.clamp(min=torch.finfo(part.dtype).tiny)[:, None], out=out)


def draw(
    null: Null,
    u: Float[Tensor, "m D"],
    widths: Sequence[int],
    generator: torch.Generator,
    over_tokens: Sequence[bool] = (),
    rows: slice | Int[Tensor, " some"] = EVERY,
) -> Iterator[Float[Tensor, "some D"]]:
    """Null directions for the directions `u` of a target, a dictionary at a time, without end.

    `covariance`: mixtures `mean + sum_j e_j (u_j - mean) / sqrt(m)` with random signs `e_j`, which
    are Gaussian with the target's own mean and covariance (by the central limit theorem), within
    and between views. The signs of a dictionary are rows of a Hadamard matrix times one random
    sign per feature, so that the mixtures are uncorrelated, as independent ones would be, and take
    `m D (A + B)` multiplications, `A B >= m`, where independent ones take `m D m`.

    `rotation`: the target under one random rotation of the space; views of the same width, such as
    decoder and encoder, are taken to lie in one space and turn together.

    Views over tokens are shifted in time instead, by any null: all features of a dictionary by one
    random number of tokens, round the end. Each goes on firing as often, as strongly and in bursts
    as before, but beside other tokens. Gaussian mixtures would not do: rare features coincide by
    chance far more often than their variance lets one think.

    Args:
        null: its name, not `none`.
        u: directions by `split`.
        widths: dimensions of each view.
        generator: on the CPU; the same dictionaries on every device, to rounding.
        over_tokens: for each view, whether its dimensions are tokens; of none unless given.
        rows: of each dictionary, the same as if all were made; all unless given.
    """
    kinds: dict[str, Callable[..., Tensor]] = {"covariance": _mixed, "rotation": _rotated}
    parts = u.split(list(widths), dim=1)
    in_time = [*over_tokens] or [False] * len(widths)
    still = [v for v, shifts in enumerate(in_time) if not shifts]
    sizes = [widths[v] for v in still]
    at_rest = u if len(still) == len(widths) else None
    if still and at_rest is None:
        at_rest = torch.cat([parts[v] for v in still], 1)
    while True:
        found = None
        if at_rest is not None:
            found = kinds[null](at_rest, sizes, generator, rows)
            _divide(found, sizes, found, found.new_empty(len(found), len(sizes)))
        if found is not None and not any(in_time):
            yield found
            continue
        # filled view by view: over many tokens there is no room for copies
        drawn = torch.empty_like(u[rows])
        places = drawn.split(list(widths), dim=1)
        if found is not None:
            for v, part in zip(still, found.split(sizes, dim=1), strict=True):
                places[v].copy_(part)
        for place, part, shifts in zip(places, parts, in_time, strict=True):
            if shifts:
                place.copy_(_shifted(part[rows], generator))
        yield drawn


def _shifted(u: Tensor, generator: torch.Generator) -> Tensor:
    tokens = u.shape[1]
    # not so little that a burst meets itself
    least = tokens // 8
    by = int(torch.randint(least, max(least + 1, tokens - least), (1,), generator=generator))
    return u.roll(by, dims=1)


def _mixed(
    u: Tensor, widths: Sequence[int], generator: torch.Generator, rows: slice | Tensor
) -> Tensor:
    m, width = u.shape
    power = max(0, (m - 1).bit_length())
    size, shape = 2**power, (2 ** (power // 2), 2 ** (power - power // 2))
    # which feature comes to each place; those from m on are zeros
    order = torch.randperm(size, generator=generator).argsort().to(u.device)
    signs = torch.randint(0, 2, (m, 1), generator=generator).to(u) * 2 - 1
    chosen = torch.randperm(size, generator=generator)[:m].to(u.device)[rows]
    # the Hadamard matrix of the whole is the Kronecker product of two small ones
    first, second = (torch.from_numpy(hadamard(side)).to(u) for side in shape)
    found = empty((len(chosen), width), u.dtype, u.device)
    # two strips, back and forth: new memory takes longer than the arithmetic
    strips = u.new_empty(2, size * min(STRIP, width))
    for some, out in zip(u.split(STRIP, dim=1), found.split(STRIP, dim=1), strict=True):
        one, other = (strip[: size * some.shape[1]].view(size, -1) for strip in strips)
        mean = some.mean(0)
        torch.sub(some, mean, out=one[:m]).mul_(signs).div_(m**0.5)
        one[m:] = 0
        torch.index_select(one, 0, order, out=other)
        torch.mm(first, other.view(shape[0], -1), out=one.view(shape[0], -1))
        torch.matmul(second, one.view(*shape, -1), out=other.view(*shape, -1))
        torch.index_select(other, 0, chosen, out=one[: len(chosen)])
        torch.add(one[: len(chosen)], mean, out=out)
    return found


def _rotated(
    u: Tensor, widths: Sequence[int], generator: torch.Generator, rows: slice | Tensor
) -> Tensor:
    rotations: dict[int, Tensor] = {}
    for width in widths:
        if width not in rotations:
            gaussian = torch.randn(width, width, generator=generator, dtype=torch.float64)
            q, r = torch.linalg.qr(gaussian)
            # with these signs the rotation is uniform (Mezzadri, 2007)
            rotations[width] = (q * r.diagonal().sign()).to(u)

    def turned(u: Tensor) -> Tensor:
        parts = zip(u.split(list(widths), dim=1), widths, strict=True)
        return torch.cat([part @ rotations[width] for part, width in parts], 1)

    return by_rows(turned, u[rows])

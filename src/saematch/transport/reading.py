"""Where features of B read those of A: on the same token, or on earlier ones.

Attention moves information from earlier tokens, which a map of single tokens misses. "previous" is
what a head that attends one token back moves, "recent" a head that attends to the last few tokens,
the latest most, and "so far" a head that attends to all tokens equally.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Literal

import numpy as np
import scipy.sparse as sp
import torch
from jaxtyping import Float, Int
from torch import Tensor

from saematch.activations.table import FeatureActivations
from saematch.errors import SaematchError

FADING = 0.75  # a token counts for so much of the one after it, where recent ones are read
LAST = 16  # recent tokens, this one included: the farthest counts for a seventy-fifth of this one
Reach = Literal["here", "previous", "recent", "so far"]
REACHES: dict[Reach, str] = {
    "here": "on the token itself",
    "previous": "on the token before it in the same example; none before the first",
    "recent": f"mean over the last {LAST} tokens, each counting {FADING:g} of the one after it",
    "so far": "mean over the tokens of the example up to and with this one",
}


def read(
    f: Float[Tensor, "tokens d_sae"],
    example: Int[Tensor, " tokens"] | None,
    reaches: Sequence[Reach],
) -> Float[Tensor, "tokens sources"]:
    """Activations as they are read, `len(reaches) * d_sae` a token, one reach after the other.

    Args:
        f: activations, example after example, BOS left out.
        example: which example each token is of; none: all are of one.
        reaches: any of `REACHES`.
    """
    if tuple(reaches) == ("here",):
        return f
    lengths = [len(f)]
    if example is not None:
        lengths = torch.unique_consecutive(example, return_counts=True)[1].tolist()
    parts = [_read(part, reaches) for part in f.split(lengths)] if len(f) else []
    return torch.cat(parts) if parts else f.new_zeros(0, len(reaches) * f.shape[1])


def read_sparse(activations: FeatureActivations, reaches: Sequence[Reach]) -> sp.csr_array:
    """The same of a sparse table, `(tokens, sources)` float32; one example dense at a time."""
    F = sp.csr_array(activations.matrix, dtype=np.float32)
    if tuple(reaches) != ("here",):
        bounds = np.flatnonzero(np.diff(activations.example, prepend=-1, append=-1))
        parts = [
            sp.csr_array(_read(torch.from_numpy(F[start:end].toarray()), reaches).numpy())
            for start, end in pairwise(bounds)
        ]
        none = sp.csr_array((0, len(reaches) * activations.d_sae), dtype=np.float32)
        F = sp.csr_array(sp.vstack([none, *parts]))
    F.sum_duplicates()
    return F


def check_reaches(reaches: Sequence[Reach]) -> None:
    """Refuse reaches that are unknown, missing or given twice."""
    unknown = [reach for reach in reaches if reach not in REACHES]
    if unknown or not reaches or len(set(reaches)) < len(reaches):
        found = repr(unknown[0]) if unknown else repr(tuple(reaches))
        raise SaematchError(f"reaches has {found}; it takes any of {', '.join(REACHES)}, each once")


def _read(f: Tensor, reaches: Sequence[Reach]) -> Tensor:
    parts = []
    for reach in reaches:
        match reach:
            case "here":
                parts.append(f)
            case "previous":
                parts.append(torch.nn.functional.pad(f[:-1], (0, 0, 1, 0)))
            case "recent":
                parts.append(_recent(f))
            case "so far":
                count = torch.arange(1, len(f) + 1, dtype=f.dtype, device=f.device)
                parts.append(f.cumsum(0) / count[:, None])
    return torch.cat(parts, 1)


def _recent(f: Tensor) -> Tensor:
    total, weight = torch.zeros_like(f), f.new_zeros(len(f), 1)
    for age in range(min(LAST, len(f))):
        total[age:] += FADING**age * f[: len(f) - age]
        weight[age:] += FADING**age
    return total / weight

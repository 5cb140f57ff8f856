"""Tokens with massive activations, which count as little as BOS does.

In many language models a few tokens besides BOS have hidden states of ten or a hundred times the
usual norm: the first word of a text, "the", a semicolon (Sun et al., "Massive Activations in Large
Language Models", 2024, arXiv 2402.17762). They attract attention and mean nothing by themselves.
SAEs are hardly ever trained on them; encoded, hundreds of features fire at once, and a handful of
such tokens outweighs all others in any correlation, mean or explained variance.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Protocol

import numpy as np
import torch
from jaxtyping import Bool, Float
from numpy import ndarray
from torch import Tensor

from saematch.errors import SaematchError
from saematch.models.padding import groups, padded

TIMES = 4.0  # the median norm: a token beyond it does not count


class Reads(Protocol):
    """A model that gives the values at its hook points."""

    def run(
        self, ids: Tensor, sites: Sequence[str], mask: Tensor | None = None
    ) -> dict[str, Tensor]:
        """`(batch, seq, d)` by hook."""
        ...


def checked_times(massive: float | None) -> float | None:
    """How many times the median norm a token may have; None for no limit.

    Raises:
        SaematchError: it is neither 0 nor above 1.
    """
    if not massive:
        return None
    if not 1 < massive < math.inf:
        raise SaematchError(
            f"massive (--massive) is {massive:g}; it is how many times the median norm a token may "
            "have, such as 4, or 0 to count all"
        )
    return float(massive)


def norm_limits(
    model: Reads,
    hooks: Sequence[str],
    examples: Sequence[ndarray],
    times: float = TIMES,
    batch_tokens: int = 4096,
) -> dict[str, float]:
    """By hook, `times` the median norm over the tokens of some examples; first tokens left out.

    Raises:
        SaematchError: the examples have no token besides BOS.
    """
    found: dict[str, list[Tensor]] = {hook: [] for hook in hooks}
    for _, mask, values in _read(model, hooks, examples, batch_tokens):
        mask[:, 0] = False
        for hook, norm in values.items():
            found[hook].append(norm[mask])
    medians = {hook: torch.cat(parts) for hook, parts in found.items()}
    if not all(len(some) for some in medians.values()):
        raise SaematchError("there are no tokens besides BOS to take the median norm of")
    # where most values are 0 there is no usual norm to be beyond
    return {hook: times * float(some.median()) or math.inf for hook, some in medians.items()}


def without_massive(
    model: Reads,
    limits: Mapping[str, float],
    examples: Sequence[ndarray],
    batch_tokens: int = 4096,
) -> list[np.ma.MaskedArray]:
    """The same token ids, masked where a hidden state exceeds the limit of its hook.

    A masked token is still read by the model; it does not count. First tokens, which never count,
    are not masked.
    """
    found = [np.ma.MaskedArray(ids) for ids in examples]
    for group, _, values in _read(model, [*limits], examples, batch_tokens):
        over = beyond(values, limits)
        over[:, 0] = False
        for row, i in enumerate(group):
            found[i] = np.ma.MaskedArray(examples[i], over[row, : len(examples[i])].numpy())
    return found


def norms(
    values: Mapping[str, Float[Tensor, "batch seq d"]], hooks: Iterable[str]
) -> dict[str, Float[Tensor, "batch seq"]]:
    """The norm of each token by hook."""
    return {hook: values[hook].float().norm(dim=-1) for hook in hooks}


def beyond(
    norm: Mapping[str, Float[Tensor, "batch seq"]], limits: Mapping[str, float]
) -> Bool[Tensor, "batch seq"]:
    """Where the norm at any hook exceeds its limit."""
    return torch.stack([norm[hook] > limit for hook, limit in limits.items()]).any(0)


def _read(
    model: Reads, hooks: Sequence[str], examples: Sequence[ndarray], batch_tokens: int
) -> Iterator[tuple[list[int], Tensor, dict[str, Tensor]]]:
    """Examples that are read together: their numbers, the mask of tokens, and norms by hook."""
    for group in groups([len(ids) for ids in examples], batch_tokens):
        ids, mask = padded([examples[i] for i in group])
        values = norms(model.run(ids, list(hooks), mask), hooks)
        yield group, mask, {hook: norm.cpu() for hook, norm in values.items()}

"""Activations that may not fit in memory: read in parts of some tokens each."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol, runtime_checkable

import numpy as np
from numpy import ndarray

from saematch.activations.table import FeatureActivations
from saematch.errors import SaematchError


@runtime_checkable
class Stream(Protocol):
    """Activations of one SAE in consecutive parts, such as those of a store."""

    @property
    def d_sae(self) -> int: ...

    def shards(self) -> Iterator[FeatureActivations]: ...


def shards_of(activations: FeatureActivations | Stream) -> Iterator[FeatureActivations]:
    """The parts in order; activations that are in memory are one part."""
    if isinstance(activations, FeatureActivations):
        yield activations
    else:
        yield from activations.shards()


def together(
    a: FeatureActivations | Stream, b: FeatureActivations | Stream
) -> Iterator[tuple[FeatureActivations, FeatureActivations]]:
    """The parts of two SAEs side by side.

    Raises:
        SaematchError: they have different tokens, or are not cut at the same places.
    """
    both = shards_of(a), shards_of(b)
    while True:
        one, other = (next(parts, None) for parts in both)
        if one is None and other is None:
            return
        if one is None or other is None or not one.same_tokens(other):
            sizes = [0 if x is None else x.n_tokens for x in (one, other)]
            raise SaematchError(
                f"activations of {sizes[0]:,} and {sizes[1]:,} tokens, or of other examples; "
                "statistics of two SAEs need both on the same tokens, in the same parts"
            )
        yield one, other


def maxima(activations: FeatureActivations | Stream) -> ndarray:
    """`(d_sae,)` float32: the largest absolute activation of each feature; 0 if it never fires."""
    found = np.zeros(activations.d_sae, np.float32)
    for part in shards_of(activations):
        np.maximum.at(found, part.matrix.indices, np.abs(part.matrix.data))
    return found


def activity_levels(activations: FeatureActivations | Stream, share: float = 0.0) -> ndarray:
    """`(d_sae,)` float64: a feature is active where its absolute activation is above its level.

    The level is 0 for a `share` of 0: active wherever it is not zero. Else it is `share` times the
    feature's maximum over all these tokens, so the levels of a part differ from those of the whole.
    (Signs matter only for abs_topk SAEs; others have no negative activations.)

    Raises:
        SaematchError: `share` is not at least 0 and below 1.
    """
    if not 0 <= share < 1:
        raise SaematchError(f"a share of {share} of the maximum; it is at least 0 and below 1")
    if share == 0:
        return np.zeros(activations.d_sae)
    return share * maxima(activations).astype(np.float64)

"""Which feature continues which along a chain of layers: the links that tracks are made of."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy import ndarray

from saematch.errors import MatchError
from saematch.layers.layers import Layers, Pair
from saematch.matching.fdr import beyond


class Links(NamedTuple):
    """Links between features, as arrays: of one pair of SAEs, or of a whole chain."""

    source: ndarray  # int64 (links,)
    target: ndarray
    score: ndarray  # float64 (links,)
    p_value: ndarray

    def __getitem__(self, which):  # pyright: ignore[reportIncompatibleMethodOverride]
        """Some of the links."""
        return Links(*(values[which] for values in tuple(self)))


@dataclass(frozen=True, eq=False)
class Successors:
    """The feature that continues each feature of a chain of SAEs, at most one.

    Features are numbered across the chain: number `start[l] + i` is feature i of `chain[l]`, and
    there are `start[-1]` of them.
    """

    chain: tuple[str, ...]
    start: ndarray  # int64 (layers + 1,)
    used: ndarray  # bool (features,): not excluded
    next: ndarray  # int64 (features,): the number of the feature that continues it; -1: none
    score: ndarray  # float64 (features,): of the link to it
    p_value: ndarray
    born: ndarray  # bool (features,): in use, and continues no feature

    @property
    def layer(self) -> ndarray:
        """The place in the chain of each feature: int64 (features,)."""
        return np.repeat(np.arange(len(self.chain)), np.diff(self.start))

    @property
    def reached(self) -> ndarray:
        """Whether a link leads to each feature: bool (features,)."""
        reached = np.zeros(len(self.next), bool)
        reached[self.next[self.next >= 0]] = True
        return reached


def chained(layers: Layers) -> Successors:
    """Matches of neighbours, chained one to one.

    Where several features share a target, the one with the best score continues.
    """
    links = []
    for pair in neighbours(layers):
        found = Links(np.arange(len(pair.target)), pair.target, pair.score, pair.p_value)
        found = found[pair.partner >= 0]
        order = np.lexsort((-found.score, found.target))
        first = np.unique(found.target[order], return_index=True)[1]
        links.append(found[order[first]])
    return link(layers, links)


def feature_flow(layers: Layers) -> Successors:
    """Each feature to its best target, many to one, where that is significant (Feature Flow).

    A feature counts as born where it is the best target of no feature and has no significant
    source either, so a part that splits off is not born.
    """
    links, fed = [], []
    for (a, b), pair in zip(layers.adjacent(), neighbours(layers), strict=True):
        links.append(_best_targets(layers, a, pair))
        first = pair.sources.best().p_value
        fed.append(beyond(first, layers.cut(b, first)))
    made = link(layers, links)
    none = np.zeros(layers.features[layers.chain[0]], bool)
    return dataclasses.replace(made, born=made.born & ~np.concatenate([none, *fed]))


def _best_targets(layers: Layers, a: str, pair: Pair) -> Links:
    """Each feature's best candidate, where it is significant; all of them without p-values."""
    first = pair.candidates.best()
    if np.isnan(first.p_value).all():
        source = np.flatnonzero(first.index >= 0)
    else:
        source = np.flatnonzero(beyond(first.p_value, layers.cut(a, first.p_value)))
    return Links(source, first.index[source], first.score[source], first.p_value[source])


def neighbours(layers: Layers) -> list[Pair]:
    """The pairs of neighbours along the chain.

    Raises:
        MatchError: the chain is too short, or two neighbours are not matched.
    """
    if len(layers.chain) < 2:
        raise MatchError(f"tracks need two layers at least, and there is {len(layers.chain)}")
    for a, b in layers.adjacent():
        if (a, b) not in layers.pairs:
            raise MatchError(
                f"{a} and {b} are neighbours but not matched: tracks need every pair of neighbours"
            )
    return [layers.pairs[pair] for pair in layers.adjacent()]


def numbering(layers: Layers) -> ndarray:
    """The number of each layer's first feature, and of all features: int64 (layers + 1,)."""
    return np.cumsum([0, *(layers.features[name] for name in layers.chain)])


def link(layers: Layers, links: Sequence[Links]) -> Successors:
    """The successors along links between each SAE of the chain and the next, in order."""
    start = numbering(layers)
    return link_all(
        layers,
        Links(
            np.concatenate([e.source + first for e, first in zip(links, start, strict=False)]),
            np.concatenate([e.target + first for e, first in zip(links, start[1:], strict=False)]),
            np.concatenate([e.score for e in links]),
            np.concatenate([e.p_value for e in links]),
        ),
    )


def link_all(layers: Layers, links: Links) -> Successors:
    """The successors along links between features numbered across the chain."""
    start = numbering(layers)
    following = np.full(start[-1], -1)
    score, p_value = np.full(start[-1], np.nan), np.full(start[-1], np.nan)
    following[links.source] = links.target
    score[links.source], p_value[links.source] = links.score, links.p_value
    used = ~np.concatenate([layers.excluded[name] for name in layers.chain])
    born = used.copy()
    born[links.target] = False
    return Successors(layers.chain, start, used, following, score, p_value, born)

"""Gap-tolerant links: the best set of tracks at once, which may pass over a layer.

SAEs trained apart miss features at random, so a track that ends at the first layer without a match
ends too soon. Here a link may lead to any later layer that was matched directly. Each link gains

    gain = log(limit / p) - skip

in nats, where `limit` is the p-value up to which the pair's discoveries are made at the run's false
discovery rate (Benjamini and Hochberg). So a birth and a death together cost what a link at that
limit would gain: nothing. For a link over layers the limit is that of the features for which none
of the layers passed over has a significant partner, and at least `fdr / features`; and `skip` is
the largest gain that its source has to any target there, or its target from any source there: the
evidence that the layer did not miss the feature, which a gap has to outweigh.

P-values stop at `LEAST`, where links in many dimensions are told apart no more. Those there gain up
to one nat more by their score among them in the pair, so that rivals are ordered by score as an
assignment would order them.

Tracks of the largest total gain, in which each feature has at most one link out and one in, are a
minimum-cost flow through the layers, and since each feature may start or end a track, an assignment
of features to the features that follow them. Its linear programme has whole-numbered optima; HiGHS
(Huangfu and Hall, 2018) solves it.
"""

from __future__ import annotations

import numpy as np
from numpy import ndarray

from saematch.errors import MatchError
from saematch.layers.layers import Layers
from saematch.layers.links import Links, Successors, link_all, neighbours, numbering
from saematch.matching.fdr import LEAST, beyond, cut
from saematch.numerics.ranked import Ranked


def gaps(layers: Layers) -> Successors:
    """The links of the largest total gain over all pairs of the chain that are matched.

    Raises:
        MatchError: two neighbours are not matched, or the run has no p-values.
    """
    neighbours(layers)
    chain, start = layers.chain, numbering(layers)
    found, gains = [], []
    for (i, j), (limit, skip_out, skip_in) in _limits(layers).items():
        pair = layers.pairs[chain[i], chain[j]]
        ranked = pair.candidates
        source, rank = np.nonzero(beyond(ranked.p_value, limit) & (ranked.index >= 0))
        target = ranked.index[source, rank]
        p_value = ranked.p_value[source, rank]
        gain = _gain(p_value, limit) - np.maximum(skip_out[source], skip_in[target])
        score = ranked.score[source, rank]
        links = Links(start[i] + source, start[j] + target, score, p_value)
        worth = gain > 0
        found.append(links[worth])
        gains.append((gain + _by_score(score, p_value <= LEAST))[worth])
    links = Links(*map(np.concatenate, zip(*found, strict=True)))
    return link_all(layers, links[best_paths(links.source, links.target, np.concatenate(gains))])


def best_paths(source: ndarray, target: ndarray, gain: ndarray) -> ndarray:
    """The links of largest total gain, at most one out of and one into each feature.

    Returns which they are: bool (links,).

    Args:
        source: int64 (links,), features numbered through.
        target: likewise.
        gain: float64 (links,), more than 0.
    """
    from scipy.optimize import linprog
    from scipy.sparse import csr_array

    if not len(gain):
        return np.zeros(0, bool)
    # a link that has no rival is in every optimum
    row, column = (np.unique(side, return_inverse=True)[1] for side in (source, target))
    alone = (np.bincount(row)[row] == 1) & (np.bincount(column)[column] == 1)
    rivals = np.flatnonzero(~alone)
    if not len(rivals):
        return alone
    row, column = (np.unique(side[rivals], return_inverse=True)[1] for side in (source, target))
    n, m = row.max() + 1, column.max() + 1
    link = np.arange(len(rivals))
    ends = csr_array(
        (np.ones(2 * len(link)), (np.r_[row, n + column], np.r_[link, link])), (n + m, len(link))
    )
    solved = linprog(-gain[rivals], A_ub=ends, b_ub=np.ones(n + m), bounds=(0, 1), method="highs")
    if solved.status != 0:
        raise MatchError(f"the tracks could not be found: {solved.message}")
    chosen = alone
    chosen[rivals] = solved.x > 0.5
    return chosen


def _limits(layers: Layers) -> dict[tuple[int, int], tuple[float, ndarray, ndarray]]:
    """For each pair of places: its limit, and what passing over costs its sources and targets."""
    chain = layers.chain
    places = {name: place for place, name in enumerate(chain)}
    pairs = {
        (places[a], places[b]): (a, b)
        for a, b in layers.pairs
        if a in places and b in places and places[a] < places[b]
    }
    evidence = {key: _evidence(layers, *pair) for key, pair in pairs.items()}
    if all(np.isnan(layers.pairs[pair].candidates.p_value).all() for pair in pairs.values()):
        raise MatchError("tracks with gaps need p-values: match with a null")
    limits = {}
    for (i, j), (a, b) in pairs.items():
        skip_out, skip_in = np.zeros(layers.features[a]), np.zeros(layers.features[b])
        for between in range(i + 1, j):
            if (i, between) in evidence:
                skip_out = np.maximum(skip_out, evidence[i, between][0])
            if (between, j) in evidence:
                skip_in = np.maximum(skip_in, evidence[between, j][1])
        used = ~layers.excluded[a]
        missed = used & (skip_out == 0)
        limit = cut(layers.pairs[a, b].candidates.best().p_value[missed], layers.fdr)
        if j > i + 1:  # for features with something in between, as if each were the only one
            limit = max(limit, layers.fdr / max(1, used.sum()))
        limits[i, j] = limit, skip_out, skip_in
    return limits


def _evidence(layers: Layers, a: str, b: str) -> tuple[ndarray, ndarray]:
    """The gain of each source's best candidate and of each target's best source, 0 for none."""
    pair = layers.pairs[a, b]
    return _best_gain(layers, a, pair.candidates), _best_gain(layers, b, pair.sources)


def _best_gain(layers: Layers, name: str, ranked: Ranked[ndarray]) -> ndarray:
    first = ranked.best().p_value
    limit = layers.cut(name, first)
    found = beyond(first, limit)
    gain = np.zeros(len(first))
    gain[found] = _gain(first[found], limit)
    return gain


def _gain(p_values: ndarray, limit: float) -> ndarray:
    return np.log(limit / np.maximum(p_values, LEAST))


def _by_score(score: ndarray, which: ndarray) -> ndarray:
    """From 0 for the least to 1 for the largest of some scores; 0 for the others."""
    part, some = np.zeros(len(score)), score[which]
    if len(some) and some.max() > some.min():
        part[which] = (some - some.min()) / (some.max() - some.min())
    return part

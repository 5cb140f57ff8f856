"""Gap-tolerant links: the best set of tracks at once, which may pass over a layer.

SAEs trained apart miss features at random, so a track that ends at the first layer without a match
ends too soon. Here a link may lead to any later layer that was matched directly. Each link gains

    gain = log(limit / p) - skip

in nats, where `limit` is the p-value up to which the pair's discoveries are made at the run's false
discovery rate (Benjamini and Hochberg). So a birth and a death together cost what a link at that
limit would gain: nothing. For a link over layers the limit is that of the features for which none
of the layers passed over has anything beyond chance, and at least `fdr / features`; and `skip` is
the largest gain that its source has to any target there, or its target from any source there: the
evidence that the layer did not miss the feature, which a gap has to outweigh.

Tracks of the largest total gain, in which each feature has at most one link out and one in, are a
minimum-cost flow through the layers, and since each feature may start or end a track, an assignment
of features to the features that follow them. Its linear programme has whole-numbered optima; HiGHS
(Huangfu and Hall, 2018) solves it.
"""

from __future__ import annotations

import numpy as np
from numpy import ndarray

from saematch.discovery import beyond, cut
from saematch.errors import MatchError
from saematch.flow.layers import Layers, Pair
from saematch.flow.links import Edges, Links, link_all, neighbours, numbering

FLOOR = 1e-300  # p-values below it are told apart no more
BY_RANK = 1e-3  # nats that a worse candidate of the same p-value falls short


def gaps(layers: Layers) -> Links:
    """The links of the largest total gain over all pairs of the chain that are matched.

    Raises:
        MatchError: two neighbours are not matched, or the run has no p-values.
    """
    neighbours(layers)
    chain, start = layers.chain, numbering(layers)
    found, gains = [], []
    for (i, j), (limit, skip_out, skip_in) in _limits(layers).items():
        pair = layers.pairs[chain[i], chain[j]]
        source, rank = np.nonzero(beyond(pair.candidate_p, limit) & (pair.candidates >= 0))
        target = pair.candidates[source, rank]
        p_value = pair.candidate_p[source, rank]
        gain = np.log(limit / np.maximum(p_value, FLOOR)) - BY_RANK * rank
        gain -= np.maximum(skip_out[source], skip_in[target])
        score = pair.candidate_scores[source, rank]
        edges = Edges(start[i] + source, start[j] + target, score, p_value)
        found.append(edges[gain > 0])
        gains.append(gain[gain > 0])
    edges = Edges(*map(np.concatenate, zip(*found, strict=True)))
    return link_all(layers, edges[best_paths(edges.source, edges.target, np.concatenate(gains))])


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
    evidence = {key: _evidence(layers.pairs[pair], layers.fdr) for key, pair in pairs.items()}
    if all(np.isnan(layers.pairs[pair].candidate_p).all() for pair in pairs.values()):
        raise MatchError("tracks with gaps need p-values: match with a null")
    limits = {}
    for (i, j), (a, b) in pairs.items():
        skip_out, skip_in = np.zeros(layers.features[a]), np.zeros(layers.features[b])
        for between in range(i + 1, j):
            if (i, between) in evidence:
                skip_out = np.maximum(skip_out, evidence[i, between][0])
            if (between, j) in evidence:
                skip_in = np.maximum(skip_in, evidence[between, j][1])
        best = _best(layers.pairs[a, b].candidate_p)
        limit = cut(best[skip_out == 0], layers.fdr)
        if j > i + 1:  # for features with something in between, as if each were the only one
            limit = max(limit, layers.fdr / max(1, np.isfinite(best).sum()))
        limits[i, j] = limit, skip_out, skip_in
    return limits


def _evidence(pair: Pair, fdr: float) -> tuple[ndarray, ndarray]:
    """The gain of each source's best candidate and of each target's best source, 0 for none."""
    return _best_gain(pair.candidate_p, fdr), _best_gain(pair.source_p, fdr)


def _best_gain(p_values: ndarray, fdr: float) -> ndarray:
    best = _best(p_values)
    limit = cut(best, fdr)
    gain = np.zeros(len(best))
    found = beyond(best, limit)
    gain[found] = np.log(limit / np.maximum(best[found], FLOOR))
    return gain


def _best(p_values: ndarray) -> ndarray:
    return p_values[:, 0] if p_values.shape[1] else np.full(len(p_values), np.nan)

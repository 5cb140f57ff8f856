"""Whether the features of a pair fire in the same contexts.

Of a feature and its target: the share of the one's top contexts at whose strongest token the other
fires too, and the other way round. `share` is the mean of the two.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import polars as pl
from numpy import ndarray

from saematch.dashboards.texts import TextSets
from saematch.numerics.compiled import compiled

Pair = tuple[str, str]
DISAGREES = 0.25  # features of a lower share fire in other contexts


def agreement(
    targets: Mapping[Pair, ndarray],
    places: Mapping[str, Sequence[Sequence[int]]],
    texts: Mapping[str, TextSets],
) -> dict[Pair, pl.DataFrame]:
    """Whether features and their targets share contexts; goes through each SAE's activations once.

    Args:
        targets: by pair of SAEs, for each feature of the first its target in the second, or -1.
        places: by SAE, for each feature the numbers of the tokens of its top contexts.
        texts: by SAE, the text sets in which those tokens are.

    Returns:
        By pair one row per feature with a target: `feature`, `target`, `contexts` (of the feature),
        `forward` (share of them at which the target fires; null without any), `backward` (of the
        target's, at which the feature fires) and `share`, the mean of the two.
    """
    # the places of one feature are looked up in the other: by SAE that is read, pair, direction
    asked: dict[str, list[tuple[Pair, str, ndarray, ndarray, ndarray]]] = {}
    for (a, b), target in targets.items():
        features = np.flatnonzero(target >= 0)
        for way, its, of, reads in (
            ("forward", features, a, b),
            ("backward", target[features], b, a),
        ):
            read = target[features] if way == "forward" else features
            some = [places[of][i] for i in its.tolist()]
            row = np.repeat(np.arange(len(features)), [len(one) for one in some])
            at = np.array([place for one in some for place in one], np.int64)
            asked.setdefault(reads, []).append(((a, b), way, row, at, read[row]))
    shares: dict[tuple[Pair, str], ndarray] = {}
    for name, questions in asked.items():
        fires = _fires(texts[name], [(at, feature) for *_, at, feature in questions])
        for (pair, way, row, _, _), yes in zip(questions, fires, strict=True):
            n = int((targets[pair] >= 0).sum())
            total = np.bincount(row, minlength=n)
            hits = np.bincount(row, yes, minlength=n)
            shares[pair, way] = np.divide(hits, total, out=np.full(n, np.nan), where=total > 0)
    found = {}
    for pair, target in targets.items():
        features = np.flatnonzero(target >= 0)
        forward, backward = shares[pair, "forward"], shares[pair, "backward"]
        own = places[pair[0]]
        found[pair] = pl.DataFrame(
            {
                "feature": features,
                "target": target[features],
                "contexts": np.array([len(own[i]) for i in features.tolist()], np.int64),
                "forward": forward,
                "backward": backward,
                "share": (forward + backward) / 2,
            }
        ).with_columns(pl.col("forward", "backward", "share").fill_nan(None))
    return found


def _fires(texts: TextSets, questions: Sequence[tuple[ndarray, ndarray]]) -> list[ndarray]:
    """For each list of tokens and features, whether the feature fires on the token."""
    found = [np.zeros(len(at), bool) for at, _ in questions]
    for part in texts.parts():
        matrix = part.activations.matrix
        matrix.sort_indices()
        for (at, feature), yes in zip(questions, found, strict=True):
            _look_up(matrix.indptr, matrix.indices, part.first, at, feature, yes)
    return found


@compiled
def _look_up(start, index, first, at, feature, yes):
    for q in range(len(at)):
        token = at[q] - first
        if token < 0 or token >= len(start) - 1:
            continue
        low, high = start[token], start[token + 1]
        while low < high:
            middle = (low + high) // 2
            if index[middle] < feature[q]:
                low = middle + 1
            else:
                high = middle
        yes[q] = low < start[token + 1] and index[low] == feature[q]

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
    places: Mapping[str, Sequence[Sequence[int] | ndarray]],
    texts: Mapping[str, TextSets],
) -> dict[Pair, pl.DataFrame]:
    """Whether features and their targets share contexts; goes through each SAE's activations once.

    Args:
        targets: by pair of SAEs, for each feature of the first its target in the second, or -1.
        places: by SAE, for each feature the numbers of the tokens of its top contexts.
        texts: by SAE, the text sets in which those tokens are.

    Returns:
        By pair one row per feature with a target: `feature`, `target`; `values`, the target's
        activation in each of the feature's top contexts, and `target_values`, the feature's in each
        of the target's; `forward` and `backward`, the shares of them that are not zero (null
        without any); and `share`, the mean of the two.
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
    there: dict[tuple[Pair, str], pl.Series] = {}
    for name, questions in asked.items():
        values = _values(texts[name], [(at, feature) for *_, at, feature in questions])
        for (pair, way, row, _, _), value in zip(questions, values, strict=True):
            n = int((targets[pair] >= 0).sum())
            ends = np.cumsum(np.bincount(row, minlength=n))[:-1]
            # plain lists: of arrays of one length polars makes a type of that length
            lists = [part.tolist() for part in np.split(value, ends)][:n]
            there[pair, way] = pl.Series(lists, dtype=pl.List(pl.Float32))
    found = {}
    for pair, target in targets.items():
        features = np.flatnonzero(target >= 0)
        found[pair] = (
            pl.DataFrame(
                {
                    "feature": features,
                    "target": target[features],
                    "values": there[pair, "forward"],
                    "target_values": there[pair, "backward"],
                }
            )
            .with_columns(
                pl.col("values").list.eval(pl.element() != 0).list.mean().alias("forward"),
                pl.col("target_values").list.eval(pl.element() != 0).list.mean().alias("backward"),
            )
            .with_columns(((pl.col("forward") + pl.col("backward")) / 2).alias("share"))
        )
    return found


def _values(texts: TextSets, questions: Sequence[tuple[ndarray, ndarray]]) -> list[ndarray]:
    """For each list of tokens and features, the activation of the feature on the token."""
    found = [np.zeros(len(at), np.float32) for at, _ in questions]
    for part in texts.parts():
        matrix = part.activations.matrix
        matrix.sort_indices()
        for (at, feature), value in zip(questions, found, strict=True):
            _look_up(matrix.indptr, matrix.indices, matrix.data, part.first, at, feature, value)
    return found


@compiled
def _look_up(start, index, data, first, at, feature, value):
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
        if low < start[token + 1] and index[low] == feature[q]:
            value[q] = data[low]

"""The tokens around some places of each feature, and what the feature does at every one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray

from saematch.activations.describe import AFTER, BEFORE
from saematch.dashboards.texts import TextSets
from saematch.errors import RunError
from saematch.numerics.compiled import compiled

WIDTH = BEFORE + 1 + AFTER


@dataclass(frozen=True, eq=False)
class Windows:
    """For each place of each feature the tokens around it, and the feature's activations there.

    A window is `WIDTH` tokens, the place at `BEFORE`; -1 and 0 outside of the place's example, and
    where there is no place.
    """

    words: list[str]  # by number
    word: Int[ndarray, "d_sae contexts width"]  # int32
    value: Float[ndarray, "d_sae contexts width"]  # float32
    example: Int[ndarray, "d_sae contexts"]  # in its text set
    text: Int[ndarray, "d_sae contexts"]  # which text set


def windows(texts: TextSets, places: Int[ndarray, "d_sae contexts"]) -> Windows:
    """Go through activations and tokens once, one shard at a time.

    Raises:
        RunError: a store cannot be read, or does not have the text of its tokens.
    """
    number: dict[str, int] = {}
    word = np.full((*places.shape, WIDTH), -1, np.int32)
    value = np.zeros(word.shape, np.float32)
    example, text = (np.full(places.shape, -1, np.int32) for _ in range(2))
    for part, frame in zip(texts.parts(), texts.words(), strict=True):
        pieces = frame["piece"]
        if pieces.null_count():
            raise RunError(
                f"{texts.stores[part.text].path} does not have the text of its tokens: make it "
                "again with saematch capture"
            )
        codes = np.fromiter(
            (number.setdefault(piece, len(number)) for piece in pieces), np.int32, len(pieces)
        )
        matrix = part.activations.matrix.tocsc()
        matrix.sort_indices()
        here = (places >= part.first) & (places < part.first + len(codes))
        of = part.activations.example
        example[here], text[here] = of[places[here] - part.first], part.text
        _look(
            matrix.indptr,
            matrix.indices,
            matrix.data,
            of,
            codes,
            part.first,
            BEFORE,
            AFTER,
            places,
            word,
            value,
        )
    return Windows([*number], word, value, example, text)


@compiled
def _look(start, token, data, example, codes, first, before, after, places, word, value):
    """Fill the windows whose places lie in this shard."""
    for i in range(places.shape[0]):
        for c in range(places.shape[1]):
            at = places[i, c] - first
            if at < 0 or at >= len(codes):
                continue
            begin, end = max(0, at - before), min(len(codes), at + after + 1)
            low, high = start[i], start[i + 1]
            while low < high:
                middle = (low + high) // 2
                if token[middle] < begin:
                    low = middle + 1
                else:
                    high = middle
            for t in range(begin, end):
                if example[t] != example[at]:
                    continue
                w = t - at + before
                word[i, c, w] = codes[t]
                while low < start[i + 1] and token[low] < t:
                    low += 1
                if low < start[i + 1] and token[low] == t:
                    value[i, c, w] = data[low]

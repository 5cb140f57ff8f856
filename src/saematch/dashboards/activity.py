"""How often and how strongly features fire, and some places of every strength."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray

from saematch.activations.describe import AFTER, BEFORE, NEAR, SPARE, peaks
from saematch.dashboards.texts import TextSets
from saematch.numerics.compiled import compiled

TOP = 8  # contexts where a feature is strongest
LEVELS = 5  # intervals of activation between 0 and the maximum, of equal width
OF_EACH = 4  # contexts of each interval
BINS = 30  # of the histogram
SPARE_DRAWN = 3  # how many more places than contexts are drawn, because some show the same text


@dataclass(frozen=True, eq=False)
class Activity:
    """What each feature of an SAE does on some text sets. Strength is the absolute activation.

    `places` has the numbers of tokens (see `TextSets`), -1 where there are no more: first up to
    `TOP` contexts, the strongest token of an example each, the strongest first; then up to
    `OF_EACH` drawn from each interval, the highest interval first.
    """

    counts: Int[ndarray, "texts d_sae"]  # tokens on which it fires
    maximum: Float[ndarray, " d_sae"]  # its largest strength; 0 if it never fires
    histogram: Int[ndarray, "d_sae bins"]  # tokens by strength, bins of equal width up to maximum
    levels: Int[ndarray, "d_sae levels"]  # tokens by interval of strength, the lowest first
    places: Int[ndarray, "d_sae contexts"]


def activity(texts: TextSets, seed: int = 0) -> Activity:
    """Go through the activations of an SAE twice, and through the tokens once.

    Memory holds one shard, and some numbers for every feature.

    Args:
        texts: the text sets.
        seed: of the draw. The same places are drawn however the text is cut into shards.

    Raises:
        RunError: a store cannot be read.
    """
    d, kept = texts.d_sae, TOP * SPARE
    counts = np.zeros((len(texts.stores), d), np.int64)
    place, signed = np.full((d, kept), -1), np.zeros((d, kept))
    for part in texts.parts():
        some = part.activations
        matrix = some.matrix.tocsc()
        counts[part.text] += np.diff(matrix.indptr)
        peaks(matrix.indptr, matrix.indices, matrix.data, some.example, part.first, place, signed)
    maximum = np.abs(signed[:, 0])
    histogram = np.zeros((d, BINS), np.int64)
    levels = np.zeros((d, LEVELS), np.int64)
    drawn = np.full((d, LEVELS, OF_EACH * SPARE_DRAWN), -1)
    rank = np.full(drawn.shape, np.iinfo(np.uint64).max, np.uint64)
    for part in texts.parts():
        matrix = part.activations.matrix.tocsc()
        _draw(
            matrix.indptr,
            matrix.indices,
            matrix.data,
            part.first,
            maximum,
            np.uint64(seed),
            histogram,
            levels,
            rank,
            drawn,
        )
    wanted = np.hstack([place, drawn[:, ::-1].reshape(d, -1)])
    alike = _last_words(texts, wanted)
    places = np.full((d, TOP + LEVELS * OF_EACH), -1)
    _choose(wanted, alike, kept, TOP, drawn.shape[2], OF_EACH, BEFORE + AFTER, places)
    return Activity(counts, maximum, histogram, levels, places)


def _last_words(texts: TextSets, places: ndarray) -> ndarray:
    """For each place a number that is the same where the last few tokens are the same."""
    chosen, back = np.unique(places[places >= 0], return_inverse=True)
    found, first = np.zeros(len(chosen), np.uint64), 0
    for frame in texts.words():
        ids, of = frame["token_id"].to_numpy(), frame["example"].to_numpy()
        here = slice(*np.searchsorted(chosen, [first, first + len(ids)]))
        at = chosen[here] - first
        for behind in range(NEAR):
            there = np.maximum(at - behind, 0)
            same = (at >= behind) & (of[there] == of[at])
            word = np.where(same, ids[there] + 1, 0).astype(np.uint64)
            found[here] = (found[here] + word) * np.uint64(0x9E3779B97F4A7C15)
            found[here] ^= found[here] >> np.uint64(29)
        first += len(ids)
    alike = np.zeros(places.shape, np.uint64)
    alike[places >= 0] = found[back]
    return alike


@compiled
def _draw(start, token, value, first, maximum, seed, histogram, levels, rank, drawn):
    """Count by strength, and keep of each interval the places that come first in a fixed order."""
    bins, parts, last = histogram.shape[1], levels.shape[1], drawn.shape[2] - 1
    for i in range(len(start) - 1):
        if maximum[i] == 0:
            continue
        for p in range(start[i], start[i + 1]):
            share = abs(value[p]) / maximum[i]
            histogram[i, min(bins - 1, int(share * bins))] += 1
            level = min(parts - 1, int(share * parts))
            levels[i, level] += 1
            place = first + token[p]
            mixed = _mixed(_mixed(_mixed(seed) + np.uint64(i)) + np.uint64(place))
            if mixed >= rank[i, level, last]:
                continue
            at = last
            while at > 0 and mixed < rank[i, level, at - 1]:
                rank[i, level, at] = rank[i, level, at - 1]
                drawn[i, level, at] = drawn[i, level, at - 1]
                at -= 1
            rank[i, level, at] = mixed
            drawn[i, level, at] = place


@compiled
def _mixed(number):
    """A number that looks random: splitmix64 (Steele, Lea and Flood, 2014)."""
    number = np.uint64(number) + np.uint64(0x9E3779B97F4A7C15)
    number = (number ^ (number >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    number = (number ^ (number >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return number ^ (number >> np.uint64(31))


@compiled
def _choose(wanted, alike, kept, top, drawn, of_each, width, places):
    """Of each group of places the first that show other text than those chosen before."""
    groups = (wanted.shape[1] - kept) // drawn
    for i in range(wanted.shape[0]):
        for group in range(groups + 1):
            begin = 0 if group == 0 else kept + (group - 1) * drawn
            end = kept if group == 0 else begin + drawn
            to = 0 if group == 0 else top + (group - 1) * of_each
            most = to + (top if group == 0 else of_each)
            for c in range(begin, end):
                if to == most or wanted[i, c] < 0:
                    break
                new = True
                for e in range(c):
                    # a place that was chosen is marked by what stands before it
                    if wanted[i, e] <= -2 and (
                        alike[i, e] == alike[i, c]
                        or (group > 0 and abs(-2 - wanted[i, e] - wanted[i, c]) <= width)
                    ):
                        new = False
                        break
                if new:
                    places[i, to] = wanted[i, c]
                    wanted[i, c] = -2 - wanted[i, c]
                    to += 1

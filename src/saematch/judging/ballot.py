# pyright: strict
"""Which pairs people vote on: a random part of the cases, the same for everybody, blindly shown.

Draws are by digests of the features' names and numbers: a larger ballot holds a smaller one, and
whoever votes again is shown the pairs in the same order.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import polars as pl

from saematch.judging.cases import CONTROLS, Case, Feature
from saematch.judging.shown import Shown
from saematch.judging.votes import Both, unordered

CASES = 100
QUARTER = 4  # one of so many is a control
SPARE = 8  # pairs that are read besides: of some there are no contexts in one half


class Pair(NamedTuple):
    """Two features as a case has them: what A fires on is of the first half, B of the second."""

    a: Feature
    b: Feature


class Ballot(NamedTuple):
    """Pairs in the order that one person is shown them."""

    pairs: list[Pair]
    swapped: list[bool]  # whether B is on the left


def ballot(cases: pl.DataFrame, shown: Shown, name: str, number: int = CASES) -> Ballot:
    """Draw pairs, and put them in the order of one person.

    Args:
        cases: `judging/cases.parquet` of a run.
        shown: with text; pairs of which a feature has no contexts in its half are left out.
        name: of the person: order and sides differ between people.
        number: of pairs, a quarter of them controls, of each kind about as many; fewer where there
            are fewer.
    """
    matches, controls = _drawn(cases)
    few, many = number // QUARTER, number - number // QUARTER
    shown.read([*map(_case, matches[: _ahead(many)]), *map(_case, controls[: _ahead(few)])])
    chosen = _shown(matches, shown, many) + _shown(controls, shown, few)
    pairs = sorted(chosen, key=lambda pair: _digest(name, *unordered(*pair)))
    return Ballot(pairs, [_digest("side", name, *unordered(*pair))[0] & 1 == 1 for pair in pairs])


def sides(ballot: Ballot, shown: Shown, place: int) -> list[list[dict[str, Any]]]:
    """What is shown of a pair, left and right: text before, token, text after, share of the most.

    No names, layers, numbers or activations, by which kinds could be told apart.
    """
    pair = ballot.pairs[place]
    found: list[list[dict[str, Any]]] = []
    for half, feature in enumerate(pair):
        contexts = shown.contexts(feature, half)
        most = max((abs(context.activation) for context in contexts), default=0.0) or 1.0
        side = [
            {
                "before": context.before,
                "token": context.token,
                "after": context.after,
                "share": round(abs(context.activation) / most, 3),
            }
            for context in contexts
        ]
        found.append(side)
    return found[::-1] if ballot.swapped[place] else found


def _drawn(cases: pl.DataFrame) -> tuple[list[Pair], list[Pair]]:
    """Matches and controls, each pair of features once, in an order at random."""
    kinds: dict[Both, str] = {}
    pairs: dict[Both, Pair] = {}
    for kind, a, i, b, j in cases.select("kind", "a", "feature_a", "b", "feature_b").iter_rows():
        pair = Pair(Feature(a, i), Feature(b, j))
        kinds.setdefault(unordered(*pair), kind)
        pairs.setdefault(unordered(*pair), pair)
    order = sorted(pairs, key=lambda both: _digest("ballot", *both))
    matches = [pairs[both] for both in order if kinds[both] not in CONTROLS]
    turns: list[tuple[int, int, Both]] = []
    for turn, kind in enumerate(CONTROLS):
        its = [both for both in order if kinds[both] == kind]
        turns += [(k, turn, both) for k, both in enumerate(its)]
    return matches, [pairs[both] for _, _, both in sorted(turns)]


def _shown(pairs: Sequence[Pair], shown: Shown, number: int) -> list[Pair]:
    """The first of which there is something to show on both sides."""
    found: list[Pair] = []
    for begun in range(0, len(pairs), _ahead(number)):
        some = pairs[begun : begun + _ahead(number)]
        if len(found) >= number:
            break
        shown.read([*map(_case, some)])
        found += [pair for pair in some if all(shown.contexts(f, h) for h, f in enumerate(pair))]
    return found[:number]


def _ahead(number: int) -> int:
    return number + number // 10 + SPARE


def _case(pair: Pair) -> Case:
    return Case(pair.a, pair.b, "match", 0, 0)


def _digest(*parts: object) -> bytes:
    return hashlib.sha256("\n".join(map(str, parts)).encode()).digest()

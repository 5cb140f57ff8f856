# pyright: strict
"""What is judged: pairs of features, drawn along paths of matches, and controls beside them.

A path begins at a feature of the first SAE and goes from target to target as far as matches lead,
as in SAE Match's own experiment. Every step is a case. Controls are pairs of which the answer is
known, or that a match must beat:

    self      a feature and itself, on other text: the same
    random    a feature and one of B's that fires about as often: different
    near      a feature and the hard negative: the nearest of B's that is no partner
    identity  feature i of A and feature i of B

The hard negatives of a case are the best candidates of its first feature that are not the second
and fire apart from the first (`APART`): the second-best candidate is often the same thing once
more. Where there are fewer than three, features that fire about as often make up for them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Literal, NamedTuple
from zlib import crc32

import numpy as np
import polars as pl
from numpy import ndarray

from saematch.errors import MatchError
from saematch.layers.layers import Layers

Kind = Literal["match", "composed", "direct", "self", "random", "near", "identity"]
CONTROLS: tuple[Kind, ...] = ("self", "random", "near", "identity")
Draw = Literal["paths", "score", "p-value", "cosine"]
DRAWS: tuple[Draw, ...] = ("paths", "score", "p-value", "cosine")
BINS = 5  # of a stratified draw
NEGATIVES = 3
APART = 0.3  # correlation below which a candidate is no partner, as in firing.py
ALIKE = 20  # features that fire most nearly as often, of which a random partner is one


class Feature(NamedTuple):
    """A feature of a run."""

    site: str
    number: int


@dataclass(frozen=True)
class Case:
    """Two features of which it is asked whether they mean the same."""

    a: Feature
    b: Feature
    kind: Kind
    path: int
    step: int  # along the path, from 0
    steps: int = 1  # that a composed or direct match leads over
    near: Feature | None = None  # the hard negative: as like `a` as can be, but no partner
    others: tuple[Feature, ...] = ()  # more of them, in the SAE of `near`

    @property
    def negatives(self) -> tuple[Feature, ...]:
        """`near` and `others`."""
        return () if self.near is None else (self.near, *self.others)

    @property
    def pair(self) -> str:
        return f"{self.a.site}--{self.b.site}"

    def random(self, seed: int, *purpose: int) -> np.random.Generator:
        """Draws for this case alone: the same whatever else is judged, or in which run."""
        key = f"{self.a.site} {self.a.number} {self.b.site} {self.b.number} {self.kind}"
        return np.random.default_rng([seed, crc32(key.encode()), *purpose])


FRAME = {
    "case": pl.Int64,
    "kind": pl.String,
    "path": pl.Int64,
    "step": pl.Int64,
    "steps": pl.Int64,
    "a": pl.String,
    "feature_a": pl.Int64,
    "b": pl.String,
    "feature_b": pl.Int64,
    "near": pl.String,
    "feature_near": pl.Int64,
    "features_others": pl.List(pl.Int64),
    "matched": pl.Boolean,
    "score": pl.Float64,
    "score_quantile": pl.Float64,
    "p_value": pl.Float64,
    "margin": pl.Float64,
    "mutual": pl.Boolean,
    "decoder_cosine": pl.Float64,
}


class Draws:
    """Draws cases from a run's matches.

    Args:
        layers: the run.
        usable: for each SAE which of its features can be judged, bool (features,): those that fire
            often enough on the text at hand, say.
        frequency: for each SAE how often its features fire, float (features,); NaN if not known.
        correlate: the correlations of pairs of features, float (pairs,); none where there is no
            text.
        seed: of all draws.
    """

    def __init__(
        self,
        layers: Layers,
        usable: Callable[[str], ndarray],
        frequency: Callable[[str], ndarray],
        correlate: Callable[[Sequence[Case]], ndarray] | None = None,
        seed: int = 0,
    ) -> None:
        self.layers, self._usable, self._frequency = layers, usable, frequency
        self._correlate = correlate
        self._seed = seed
        self.steps = [pair for pair in layers.adjacent() if pair in layers.pairs]
        if not self.steps:
            raise MatchError("no two neighbouring SAEs of this run are matched: nothing to judge")

    def paths(self, number: int, distances: Sequence[int] = ()) -> list[Case]:
        """Cases along paths that begin at random features of the first matched SAE.

        Args:
            number: of paths; fewer where fewer features can be judged.
            distances: over how many steps composed matches are judged too, from the start of each
                path, and beside them direct ones where the run has matched those two SAEs.
        """
        first = self.steps[0]
        # one order of all features, so that runs of the same SAEs begin at the same ones
        order = np.random.default_rng(self._seed).permutation(self.layers.features[first[0]])
        starts = order[np.isin(order, self._begin(first))][:number]
        cases: list[Case] = []
        for path, start in enumerate(starts.tolist()):
            way = self._way(start)
            cases += [Case(a, b, "match", path, step) for step, (a, b) in enumerate(pairwise(way))]
            for steps in distances:
                cases += self._far(way, path, steps)
        return self._with_near(cases)

    def stratified(self, number: int, by: Draw) -> list[Case]:
        """Of each pair of neighbours, `number` matches spread evenly over quantiles of a column."""
        cases: list[Case] = []
        path = 0
        for step, (a, b) in enumerate(self.steps):
            pair = self.layers.pairs[a, b]
            features = self._begin((a, b))
            values = {"score": pair.score, "p-value": pair.p_value, "cosine": pair.cosine}
            column = values[str(by)][features]
            features = features[np.isfinite(column)]
            order = features[np.argsort(column[np.isfinite(column)], kind="stable")]
            random = np.random.default_rng([self._seed, step])
            for some in np.array_split(order, BINS):
                drawn = random.permutation(some)[: -(-number // BINS)]
                for i in drawn.tolist():
                    target = Feature(b, int(pair.target[i]))
                    cases.append(Case(Feature(a, i), target, "match", path, step))
                    path += 1
        return self._with_near(cases)

    def controls(self, cases: Sequence[Case]) -> list[Case]:
        """One control of each kind for every path, at a step of the path drawn at random."""
        of_path: dict[int, list[Case]] = {}
        for case in cases:
            if case.kind == "match":
                of_path.setdefault(case.path, []).append(case)
        found: list[Case] = []
        for some in of_path.values():
            case = some[int(some[0].random(self._seed).integers(len(some)))]
            found += self._controls(case)
        return self._with_near(found)

    def _controls(self, case: Case) -> Iterator[Case]:
        path, step = case.path, case.step
        yield replace(case, b=case.a, kind="self")
        there = self._random_like(case, case.b, 0)
        if there is not None:
            yield replace(case, b=there, kind="random")
        if case.near is not None and self._is_candidate(case.a, case.near):
            yield Case(case.a, case.near, "near", path, step)
        same = Feature(case.b.site, case.a.number)
        wide = self.layers.features[case.b.site]
        if case.a.number < wide and self._usable(case.b.site)[case.a.number] and same != case.b:
            yield Case(case.a, same, "identity", path, step)

    def _with_near(self, cases: Sequence[Case]) -> list[Case]:
        """The cases with their hard negatives."""
        asked: list[Case] = []
        of_case: list[slice] = []
        for case in cases:
            begun = len(asked)
            if case.near is None:
                asked += [replace(case, b=near) for near in self._candidates(case)]
            of_case.append(slice(begun, len(asked)))
        together = np.zeros(len(asked)) if self._correlate is None else self._correlate(asked)
        found: list[Case] = []
        for case, some in zip(cases, of_case, strict=True):
            near = [one.b for one, r in zip(asked[some], together[some], strict=True) if r < APART]
            if case.near is None:
                others = self._filled(case, near[:NEGATIVES])
                case = replace(case, near=others[0] if others else None, others=tuple(others[1:]))
            found.append(case)
        return found

    def _filled(self, case: Case, near: list[Feature]) -> list[Feature]:
        """Hard negatives, and features that fire about as often where they are too few."""
        found = [*near]
        for attempt in range(1, ALIKE):
            if len(found) == NEGATIVES:
                break
            other = self._random_like(case, near[0] if near else case.b, attempt)
            if other is not None and other not in (*found, case.a, case.b):
                found.append(other)
        return found

    def _is_candidate(self, a: Feature, b: Feature) -> bool:
        pair = self.layers.pairs.get((a.site, b.site))
        return pair is not None and b.number in pair.candidates.index[a.number]

    def _candidates(self, case: Case) -> Iterator[Feature]:
        """The best candidates of the first feature but the second, that can be judged.

        In the second's SAE where the run has matched the two, else in the next.
        """
        sites = [case.b.site, *(b for a, b in self.steps if a == case.a.site)]
        for site in sites:
            pair = self.layers.pairs.get((case.a.site, site))
            if pair is None:
                continue
            usable = self._usable(site)
            for target in pair.candidates.index[case.a.number].tolist():
                if target >= 0 and usable[target] and Feature(site, target) != case.b:
                    yield Feature(site, target)
            return

    def _begin(self, pair: tuple[str, str]) -> ndarray:
        """Features of A with a target, of which both can be judged."""
        target = self.layers.pairs[pair].target
        ends = [self._usable(name) for name in pair]
        return np.flatnonzero((target >= 0) & ends[0] & ends[1][np.maximum(target, 0)])

    def _way(self, start: int) -> list[Feature]:
        """From target to target, as far as both ends of every step can be judged."""
        way = [Feature(self.steps[0][0], start)]
        for a, b in self.steps:
            if way[-1].site != a:
                break
            target = int(self.layers.pairs[a, b].target[way[-1].number])
            if target < 0 or not self._usable(b)[target]:
                break
            way.append(Feature(b, target))
        return way

    def _far(self, way: list[Feature], path: int, steps: int) -> Iterator[Case]:
        chain = [self.steps[0][0], *(b for _, b in self.steps)]
        if not 1 < steps < len(chain):
            return
        start, site = way[0], chain[steps]
        direct = self.layers.pairs.get((start.site, site))
        if len(way) > steps:
            yield Case(start, way[steps], "composed", path, 0, steps)
        target = -1 if direct is None else int(direct.target[start.number])
        if target >= 0 and self._usable(site)[target]:
            yield Case(start, Feature(site, target), "direct", path, 0, steps)

    def _random_like(self, case: Case, b: Feature, attempt: int) -> Feature | None:
        """One of the features of B that fire most nearly as often as `b`, but no candidate of A's.

        Without frequencies any that can be judged.
        """
        a = case.a
        usable, often = self._usable(b.site).copy(), self._frequency(b.site)
        usable[b.number] = False
        pair = self.layers.pairs.get((a.site, b.site))
        if pair is not None:
            known = pair.candidates.index[a.number]
            usable[known[known >= 0]] = False
        there = np.flatnonzero(usable)
        if np.isfinite(often[b.number]):
            apart = np.abs(np.log(often[there] + 1e-9) - np.log(often[b.number] + 1e-9))
            there = there[np.argsort(apart, kind="stable")[:ALIKE]]
        random = case.random(self._seed, attempt)
        return Feature(b.site, int(random.choice(there))) if len(there) else None


def cases_frame(cases: Sequence[Case], layers: Layers) -> pl.DataFrame:
    """One row per case, with what the run says of the match; see `FRAME`.

    `score_quantile` is of the score among the targets of the pair; `margin` how much the score
    exceeds that of the best other candidate. They are null for a pair of features that the run
    does not match.
    """
    rows = [_row(number, case, layers) for number, case in enumerate(cases)]
    return pl.DataFrame(rows, FRAME, orient="row")


def _row(number: int, case: Case, layers: Layers) -> tuple[object, ...]:
    at = (number, case.kind, case.path, case.step, case.steps, *case.a, *case.b)
    near = (*(case.near or (None, None)), [other.number for other in case.others])
    pair = layers.pairs.get((case.a.site, case.b.site))
    i, j = case.a.number, case.b.number
    if pair is None or pair.target[i] != j or case.kind in CONTROLS:
        return (*at, *near, *[None] * 7)
    score, there = pair.score[i], pair.target >= 0
    below = float((pair.score[there] < score).mean())
    others = pair.candidates.score[i][pair.candidates.index[i] != j]
    others = others[np.isfinite(others)]
    margin = float(score - others.max()) if len(others) else None
    back = pair.sources.index[j]
    mutual = bool(len(back) and back[0] == i and pair.candidates.index[i][0] == j)
    told = (bool(pair.matched[i]), float(score), below, _known(pair.p_value[i]), margin, mutual)
    return (*at, *near, *told, _known(pair.cosine[i]))


def _known(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None

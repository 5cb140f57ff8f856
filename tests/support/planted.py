"""SAEs of many layers whose features are known: a planted truth for tracks.

A concept is a direction that lives over a span of layers and drifts from one to the next. An SAE
has a feature for every concept that is alive, but for those it misses; some concepts it has twice,
as two near halves (a split). The rest of its features are strangers: directions of no other layer.
Features stand in random order, so that the way from one to the other is a permutation that is not
its own inverse.
"""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import polars as pl
import torch

from saematch import SAE, Conventions, Run, Site, match
from saematch.layers import Layers
from saematch.layers.links import Successors, chained
from saematch.layers.plan import planned
from saematch.layers.tracks import MODES
from saematch.matching.fdr import local_rate


@dataclass(frozen=True)
class Planted:
    """SAEs, one per layer, and which concept each feature is; -1 for a stranger."""

    saes: list[SAE]
    concepts: list[np.ndarray]  # int64 (features,) per layer
    halves: list[np.ndarray]  # bool (features,): the second of two features of one concept
    alive: np.ndarray  # bool (concepts, layers): whether it lives, found by the SAE or missed


def plant(
    layers: int = 10,
    d: int = 64,
    concepts: int = 400,
    strangers: int = 60,
    *,
    birth: float = 0.1,
    death: float = 0.1,
    miss: float = 0.05,
    split: float = 0.05,
    drift: float = 0.35,
    noise: float = 0.2,
    shared_seed: bool = False,
    seed: int = 0,
) -> Planted:
    """Make one.

    Args:
        layers: how many.
        d: dimensions.
        concepts: alive at the first layer.
        strangers: features of no concept per layer, one more or less from layer to layer, so that
            widths are unequal.
        birth: new concepts per layer, as a share of `concepts`.
        death: chance that a concept ends after a layer.
        miss: chance that an SAE has no feature for a concept that is alive.
        split: chance that it has two.
        drift: length of the random step that a concept takes from layer to layer, relative to its
            own; a step's cosine is `1 / sqrt(1 + drift^2)`.
        noise: likewise of a feature around its concept.
        shared_seed: strangers are the same directions at the same index in all layers, as of SAEs
            that started from the same weights and never trained those features.
        seed: of all of it.
    """
    rng = np.random.default_rng(seed)

    def random(n: int) -> np.ndarray:
        x = rng.standard_normal((n, d))
        return x / np.linalg.norm(x, axis=1, keepdims=True)

    born = round(birth * concepts)
    total = concepts + born * (layers - 1)
    start = np.concatenate([np.zeros(concepts, int), np.repeat(np.arange(1, layers), born)])
    length = rng.geometric(max(death, 1e-9), total)
    alive = (np.arange(layers) >= start[:, None]) & (np.arange(layers) < (start + length)[:, None])
    direction, still = random(total), random(strangers + layers)
    saes, truth, halves = [], [], []
    for layer in range(layers):
        direction = _unit(direction + drift * random(total))
        found = np.flatnonzero(alive[:, layer] & (rng.random(total) >= miss))
        twice = found[rng.random(len(found)) < split]
        concept = np.concatenate([found, twice])
        rows = _unit(direction[concept] + noise * random(len(concept)))
        alone = still if shared_seed else random(strangers + layer % 3)
        rows = np.concatenate([rows, alone])
        concept = np.concatenate([concept, np.full(len(alone), -1)])
        half = np.zeros(len(rows), bool)
        half[len(found) : len(found) + len(twice)] = True
        order = rng.permutation(len(rows))
        if shared_seed:  # the strangers keep their places, at the front
            rest = len(rows) - len(alone)
            order = np.concatenate([np.arange(rest, len(rows)), rng.permutation(rest)])
        saes.append(_sae(rows[order], layer, rng))
        truth.append(concept[order])
        halves.append(half[order])
    return Planted(saes, truth, halves, alive)


def matched(planted: Planted, path: Path, reach: int = 2, method: str = "cosine", **options) -> Run:
    """A run of the planted SAEs, every two up to `reach` layers apart matched."""
    run = Run.create(path, "flow", {"fdr": options.get("fdr", 0.01)}, planted.saes)
    for a, b in planned(Layers.of(run), reach):
        i, j = run.names.index(a), run.names.index(b)
        run.add_pair(a, b, match(planted.saes[i], planted.saes[j], method, **options))
    return run


def true_links(planted: Planted, skips: bool) -> set[tuple[int, int, int, int]]:
    """The links of every concept: layer and feature, layer and feature.

    From each layer that has it to the next that does; without `skips`, only to the next layer.
    Links between halves of a split are all true: none is the better.
    """
    links = set()
    where: dict[int, list[tuple[int, list[int]]]] = {}
    for layer, concept in enumerate(planted.concepts):
        order = np.argsort(concept, kind="stable")
        values, first = np.unique(concept[order], return_index=True)
        for value, some in zip(values, np.split(order, first[1:]), strict=True):
            if value >= 0:
                where.setdefault(int(value), []).append((layer, some.tolist()))
    for places in where.values():
        for (i, some), (j, others) in pairwise(places):
            if j == i + 1 or skips:
                links |= {(i, a, j, b) for a in some for b in others}
    return links


def found_links(links: Successors) -> pl.DataFrame:
    """The links of a set of tracks, by layer and feature: `i`, `a`, `j`, `b`."""
    source = np.flatnonzero(links.next >= 0)
    target, layer = links.next[source], links.layer
    return pl.DataFrame(
        {
            "i": layer[source],
            "a": source - links.start[layer[source]],
            "j": layer[target],
            "b": target - links.start[layer[target]],
        }
    )


@dataclass(frozen=True)
class Score:
    """How right a set of links is."""

    found: int
    right: int
    steps: int  # from layer to layer, that concepts take; halves as one
    followed: int  # of those, how many a link follows

    @property
    def precision(self) -> float:
        return self.right / max(1, self.found)

    @property
    def false_discovery(self) -> float:
        return 1 - self.precision

    @property
    def recall(self) -> float:
        return self.followed / max(1, self.steps)


def score(planted: Planted, links: Successors, skips: bool = True) -> Score:
    """Links held against the truth: whether both ends are one concept, and which steps they make.

    A link is right if both features are of one concept. A step of a concept, from a layer that has
    it to the next that does, is followed if a link makes it.
    """
    rows = found_links(links).rows()
    truth = true_links(planted, skips)
    steps = {(planted.concepts[i][a], i, j) for i, a, j, _ in truth}
    right = [row for row in rows if same_concept(planted, row)]
    followed = {(planted.concepts[i][a], i, j) for i, a, j, _ in right}
    return Score(len(rows), len(right), len(steps), len(followed & steps))


def same_concept(planted: Planted, row: tuple[int, int, int, int]) -> bool:
    """Whether both ends of a link are features of one concept."""
    i, a, j, b = row
    return planted.concepts[i][a] == planted.concepts[j][b] >= 0


def ways(truth: Planted, layers: Layers) -> list[tuple[float, bool]]:
    """Of every chain of two features or more: the sum of its local rates; whether all is right."""
    links = chained(layers)
    rates = np.full(len(links.next), np.nan)
    for place, (a, b) in enumerate(layers.adjacent()):
        used = np.flatnonzero(~layers.excluded[a])
        p_values = layers.pairs[a, b].p_value[used]
        rates[links.start[place] + used] = local_rate(p_values)
    found = []
    for here in np.flatnonzero(links.used & ~links.reached & (links.next >= 0)):
        doubt, right = 0.0, True
        while (there := links.next[here]) >= 0:
            (i, j) = (int(links.layer[end]) for end in (here, there))
            ends = i, int(here - links.start[i]), j, int(there - links.start[j])
            doubt, right = doubt + rates[here], right and bool(same_concept(truth, ends))
            here = there
        found.append((min(1.0, doubt), right))
    return found


def turned(truth: Planted, at: int) -> Planted:
    """All layers from `at` on in another basis: nothing leads there."""
    d = truth.saes[0].W_dec.shape[1]
    turn = torch.linalg.qr(torch.randn(d, d, generator=torch.Generator().manual_seed(0)))[0]
    saes = [
        sae if place < at else replace(sae, W_enc=turn.T @ sae.W_enc, W_dec=sae.W_dec @ turn)
        for place, sae in enumerate(truth.saes)
    ]
    ids = [
        c if place < at else np.where(c < 0, c, c + 10**6) for place, c in enumerate(truth.concepts)
    ]
    return replace(truth, saes=saes, concepts=ids)


def _unit(x: np.ndarray) -> np.ndarray:
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def _sae(rows: np.ndarray, layer: int, rng: np.random.Generator) -> SAE:
    W_dec = torch.from_numpy(rows).float()
    near = _unit(rows + 0.3 * _unit(rng.standard_normal(rows.shape)))
    return SAE(
        W_enc=torch.from_numpy(near).float().T.contiguous(),
        W_dec=W_dec,
        b_enc=torch.zeros(len(rows)),
        b_dec=torch.zeros(rows.shape[1]),
        conventions=Conventions(
            activation="jumprelu",
            site=Site(f"blocks.{layer}.hook_resid_post", "resid_post", layer),
            source=f"planted/resid_post_{layer}",
        ),
        threshold=torch.from_numpy(0.5 + 0.5 * rng.random(len(rows))).float(),
    )


BANDS = (0, 1e-3, 1e-2, 0.05, 0.2, 1.01)  # of how false a way is said to be


def show_ways(drift: float, noise: float, method: str, at: int) -> None:
    """Print how many chains of three worlds are false beside how many are said to be."""
    found = []
    for seed in range(3):
        truth = plant(seed=seed, drift=drift, noise=noise)
        truth = turned(truth, at) if at else truth
        with tempfile.TemporaryDirectory() as folder:
            run = matched(truth, Path(folder) / "run", 1, method)
            found += ways(truth, Layers.of(run))
    said, right = (np.array(column) for column in zip(*found, strict=True))
    print("said to be false   ways  on average   are false")
    for low, high in pairwise(BANDS):
        band = (low <= said) & (said < high)
        if band.any():
            print(
                f"{low:7.1%} to {min(high, 1):6.1%} {band.sum():6} {said[band].mean():11.3%} "
                f"{(~right[band]).mean():11.2%}"
            )


def main() -> None:
    """Print how right tracks of each kind are, or how sure chains are said to be."""
    parser = argparse.ArgumentParser(description="Tracks held against a planted truth.")
    parser.add_argument("--drift", type=float, default=0.35)
    parser.add_argument("--noise", type=float, default=0.2)
    parser.add_argument("--reach", type=int, default=3)
    parser.add_argument("--method", default="cosine")
    parser.add_argument("--ways", action="store_true", help="how sure chains are said to be")
    parser.add_argument("--turned", type=int, default=0, help="with --ways: layers after it turned")
    asked = parser.parse_args()
    if asked.ways:
        show_ways(asked.drift, asked.noise, asked.method, asked.turned)
        return
    print("mode     world  links   false  recall  bridges  right")
    for seed in range(3):
        planted = plant(seed=seed, drift=asked.drift, noise=asked.noise)
        with tempfile.TemporaryDirectory() as folder:
            run = matched(planted, Path(folder) / "run", asked.reach, asked.method)
            layers = Layers.of(run)
            for mode, find in MODES.items():
                links = find(layers)
                total = score(planted, links, skips=mode == "gaps")
                bridges = [row for row in found_links(links).rows() if row[2] - row[0] > 1]
                right = sum(same_concept(planted, row) for row in bridges)
                print(
                    f"{mode:8} {seed:5} {total.found:6} {total.false_discovery:7.2%} "
                    f"{total.recall:7.1%} {len(bridges):8} {right:6}"
                )


if __name__ == "__main__":
    main()

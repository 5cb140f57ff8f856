"""How long tracks take on a graph of many layers, without matching: `python -m benchmarks.flow`.

The graph is drawn, not matched: 26 layers of 16,384 features with five candidates and five sources
each, for neighbours and for layers two apart. Most features go on; each also has near relatives
beyond chance, so that candidates compete, and candidates that are chance.
"""

from __future__ import annotations

import argparse
import resource
import time

import numpy as np

from saematch.layers import Layers, Pair
from saematch.layers.composition import composition
from saematch.layers.splits import splits
from saematch.layers.tracks import MODES, lifespans, spans, tracks, turnover
from saematch.numerics.ranked import Ranked
from saematch.sae.sae import Site

K = 5


def graph(
    n_layers: int, features: int, reach: int, relatives: float, miss: float, seed: int = 0
) -> Layers:
    """Layers of one width.

    Args:
        n_layers: how many.
        features: of each.
        reach: how far apart layers are matched.
        relatives: share of candidates after the first that are beyond chance.
        miss: share of features that have no partner in the next layer, and one in that after it.
        seed: of the draw.
    """
    rng = np.random.default_rng(seed)
    names = tuple(f"resid_post_{layer}" for layer in range(n_layers))
    # feature i of a layer is concept `concept[layer][i]`
    concept = [rng.permutation(features) for _ in names]
    place = [np.argsort(each) for each in concept]
    gone = [rng.random(features) < miss for _ in names]  # by concept
    pairs = {}
    for i, a in enumerate(names):
        for j in range(i + 1, min(i + 1 + reach, n_layers)):
            there = ~gone[i] & ~gone[j]
            pairs[a, names[j]] = _pair(concept[i], place[j], there, relatives, rng)
    return Layers(
        names,
        {name: Site("", "resid_post", layer) for layer, name in enumerate(names)},
        dict.fromkeys(names, features),
        {name: np.zeros(features, bool) for name in names},
        pairs,
    )


def _pair(concept, place, there, relatives: float, rng) -> Pair:
    candidates = _side(place[concept], there[concept], relatives, rng)
    back = np.argsort(place[concept])
    sources = _side(back, there[concept][back], relatives, rng)
    first = candidates.best()
    target = np.where(there[concept], place[concept], first.index)
    p = np.where(there[concept], first.p_value, 1.0)
    return Pair(target, p <= 0.005, -np.log(p), first.score, p, candidates, sources)


def _side(true, there, relatives: float, rng) -> Ranked[np.ndarray]:
    n = len(true)
    p = np.sort(np.exp(-rng.exponential(30, (n, K)) - 5), axis=1)
    p[:, 1:] = np.where(rng.random((n, K - 1)) < relatives, p[:, 1:], rng.random((n, K - 1)))
    p[~there] = rng.random((int((~there).sum()), K))
    p.sort(axis=1)
    index = rng.integers(0, n, (n, K))
    index[:, 0] = np.where(there, true, index[:, 0])
    score = -np.log(p)
    return Ranked(index, score, {"p_value": p, "decoder_cosine": score})


def main() -> None:
    """Print a line per step."""
    parser = argparse.ArgumentParser(description="Tracks on a large graph.")
    parser.add_argument("--layers", type=int, default=26)
    parser.add_argument("--features", type=int, default=16_384)
    parser.add_argument("--reach", type=int, default=2)
    parser.add_argument("--relatives", type=float, default=0.3)
    parser.add_argument("--miss", type=float, default=0.2)
    asked = parser.parse_args()
    layers = graph(asked.layers, asked.features, asked.reach, asked.relatives, asked.miss)
    print(f"{asked.layers} layers of {asked.features:,} features, {len(layers.pairs)} pairs")
    for mode, find in MODES.items():
        links = _timed(f"{mode}: links", find, layers)
        frame = _timed(f"{mode}: tracks", tracks, links)
        ends = _timed(f"{mode}: spans", spans, frame, layers.chain)
        _timed(f"{mode}: lifespans", lifespans, ends, layers.chain)
        _timed(f"{mode}: turnover", turnover, links)
        print(f"  {ends.height:,} tracks, mean length {ends['length'].mean():.2f}")
    _timed("composition", composition, layers)
    groups = _timed("splits and merges", splits, layers)
    print(f"  {groups.height:,} parts")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"peak memory {peak:.1f} GiB")


def _timed(what: str, work, *of):
    start = time.perf_counter()
    result = work(*of)
    print(f"{what:32} {time.perf_counter() - start:6.1f} s", flush=True)
    return result


if __name__ == "__main__":
    main()

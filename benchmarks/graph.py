"""Time and memory of the flow graph and its communities on made-up pairs of many layers.

python benchmarks/graph.py [LAYERS] [FEATURES]
"""

from __future__ import annotations

import resource
import sys
import time
from itertools import pairwise

import numpy as np
import polars as pl

from saematch.layers import FlowGraph, Layers, Pair, find_communities
from saematch.layers.exports import graphml, node_link
from saematch.numerics.ranked import Ranked
from saematch.sae.sae import Site

NEAR, KEPT, TOKENS = 20, 5, 4  # features of one family, candidates of each, tokens of each


def made(layers: int, features: int) -> Layers:
    """Families of features, each leading to five of its family in the next layer."""
    rng = np.random.default_rng(0)
    names = tuple(f"resid_post_{i}" for i in range(layers))
    first = (np.arange(features) // NEAR * NEAR)[:, None]

    def near() -> np.ndarray:
        chosen = first + np.argsort(rng.random((features, NEAR)), axis=1)[:, :KEPT]
        return np.minimum(chosen, features - 1)

    pairs = {}
    for step in pairwise(names):
        candidates, sources = near(), near()
        score = -np.sort(-rng.random((features, KEPT)), axis=1)
        p_value = np.sort(rng.random((features, KEPT)) ** 3, axis=1)
        known = rng.random(features) < 0.5
        more = {"p_value": p_value, "decoder_cosine": score}
        pairs[step] = Pair(
            target=np.where(known, candidates[:, 0], rng.permutation(features)),
            matched=rng.random(features) < 0.6,
            score=score[:, 0],
            cosine=score[:, 0],
            p_value=p_value[:, 0],
            candidates=Ranked(candidates, score, more),
            sources=Ranked(sources, score, more),
        )
    return Layers(
        names,
        {name: Site(name, "resid_post", i) for i, name in enumerate(names)},
        dict.fromkeys(names, features),
        {name: np.zeros(features, dtype=bool) for name in names},
        pairs,
    )


def tokens(graph: FlowGraph) -> pl.DataFrame:
    """Tokens of every feature, at random."""
    rng = np.random.default_rng(0)
    nodes = graph.nodes().select(pl.col("site").cast(pl.String), "feature")
    return pl.concat(
        nodes.with_columns(
            pl.Series("token", rng.integers(0, 30_000, len(nodes)).astype(str)),
            pl.lit(1 / TOKENS).alias("weight"),
        )
        for _ in range(TOKENS)
    )


def main() -> None:
    """Print one line per step."""
    layers, features = map(int, sys.argv[1:] or ("26", "16384"))
    start = made(layers, features)
    clock = time.perf_counter()

    def lap(what: str) -> None:
        nonlocal clock
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
        print(f"{time.perf_counter() - clock:7.2f} s  {peak:5.2f} GB at the peak  {what}")
        clock = time.perf_counter()

    graph = FlowGraph.of(start)
    lap(repr(graph))
    graph.around(start.names[layers // 2], 0)
    lap("all that flows into a feature and out of it")
    fire = tokens(graph)
    lap("(tokens made up)")
    found = find_communities(graph, fire)
    lap(f"{len(found):,} communities with labels")
    for name, write in {"node-link": node_link, "graphml": graphml}.items():
        size = len(write(graph)) / 1e6
        lap(f"{name}: {size:,.0f} MB")


if __name__ == "__main__":
    main()

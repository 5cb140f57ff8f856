"""Layers made by hand, for cases that can be computed on paper."""

import numpy as np

from saematch.layers import Layers, Pair
from saematch.numerics.ranked import Ranked
from saematch.sae.sae import Site


def pair(n: int, m: int, found: dict, fdr: float = 0.01) -> Pair:
    """A pair from `feature: (target, p)` or `feature: [(target, p), ...]`, best first.

    Scores are -log10 p. The first target is the match if its p is at most `fdr`; sources are the
    same links seen from B.
    """
    links = {i: list(to) if isinstance(to, list) else [to] for i, to in found.items()}
    back: dict[int, list] = {}
    for i, to in links.items():
        for j, p in to:
            back.setdefault(j, []).append((i, p))
    back = {j: sorted(of, key=lambda item: item[1]) for j, of in back.items()}
    candidates, sources = _wide(n, links), _wide(m, back)
    # as in a run: cosines are kept of sources alone
    candidates.more["decoder_cosine"][:] = np.nan
    first = candidates.best()
    target, score, p_value = first.index.copy(), first.score.copy(), first.p_value.copy()
    return Pair(target, p_value <= fdr, score, score / 10, p_value, candidates, sources)


def layers(sizes: dict[str, int], pairs: dict[tuple[str, str], Pair], sites=None) -> Layers:
    """Layers of residual SAEs in the order given."""
    known = {name: Site(name, "resid_post", place) for place, name in enumerate(sizes)}
    excluded = {name: np.zeros(size, bool) for name, size in sizes.items()}
    return Layers(tuple(sizes), {**known, **(sites or {})}, sizes, excluded, pairs)


def _wide(n: int, links: dict) -> Ranked[np.ndarray]:
    k = max([1, *map(len, links.values())])
    index, score, p_value = np.full((n, k), -1), np.full((n, k), np.nan), np.full((n, k), np.nan)
    for i, to in links.items():
        for rank, (j, p) in enumerate(to):
            index[i, rank], score[i, rank], p_value[i, rank] = j, -np.log10(p), p
    return Ranked(index, score, {"p_value": p_value, "decoder_cosine": score / 10})

"""Small activations, and statistics of them by dense numpy, one pair at a time."""

import numpy as np
import scipy.sparse as sp
from numpy import ndarray

from saematch.activations import FeatureActivations


def dense_of(
    tokens: int, features: int, seed: int, *, density: float = 0.15, signs: bool = False
) -> ndarray:
    """`(tokens, features)` float32, with features of very different frequency; the last is dead."""
    rng = np.random.default_rng(seed)
    often = density * 2 * rng.random(features)
    values = rng.gamma(2.0, 1.0, (tokens, features)) * (rng.random((tokens, features)) < often)
    if signs:
        values *= rng.choice([-1, 1], (tokens, features))
    values[:, -1] = 0
    return values.astype(np.float32)


def activations(dense: ndarray, length: int = 10, first: int = 0) -> FeatureActivations:
    """In examples of `length` tokens, numbered from `first`."""
    example = first + np.arange(len(dense)) // length
    return FeatureActivations(sp.csr_array(dense), example.astype(np.int32))


def by_hand(statistic: str, x: ndarray, y: ndarray, share: float = 0.0) -> float:
    """One statistic of two features by its definition; NaN where it has none."""
    x, y = x.astype(np.float64), y.astype(np.float64)
    if statistic == "pearson":
        flat = x.std() == 0 or y.std() == 0
        return np.nan if flat else float(np.corrcoef(x, y)[0, 1])
    if statistic == "cosine":
        size = np.linalg.norm(x) * np.linalg.norm(y)
        return float(x @ y / size) if size else np.nan
    on = [np.abs(v) > share * np.abs(v).max() for v in (x, y)]
    either, both = (on[0] | on[1]).sum(), (on[0] & on[1]).sum()
    if statistic == "mutual_information":
        return float(
            sum(
                p * np.log(p / ((on[0] == u).mean() * (on[1] == v).mean()))
                for u in (True, False)
                for v in (True, False)
                if (p := ((on[0] == u) & (on[1] == v)).mean()) > 0
            )
        )
    of = {"sufficiency": on[0].sum(), "necessity": on[1].sum(), "jaccard": either}[statistic]
    return float(both / of) if of else np.nan

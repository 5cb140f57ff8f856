"""Scores that tie in masses, or nearly: the optimum and its proof, in bounded work."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment

from saematch.assignment import assign

FAMILIES = [
    "zeros", "ones", "constant", "groups", "equal rows", "half zeros", "integers", "bits",
    "rank one", "outlier", "blocks", "nearly equal",
]  # fmt: skip


def family(kind: str, n: int, m: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    draw = np.random.default_rng(seed)
    x, y = draw.standard_normal((n, 8)), draw.standard_normal((m, 8))
    if kind == "zeros":
        x, y = 0 * x, 0 * y
    elif kind == "ones":
        x, y = np.ones_like(x), np.ones_like(y)
    elif kind == "constant":
        x[:, 0], y[:, 0] = 1e3, 1e3
    elif kind == "groups":
        x, y = x[draw.integers(min(n, 4), size=n)], y[draw.integers(min(m, 4), size=m)]
    elif kind == "equal rows":
        x[:] = x[0]
    elif kind == "half zeros":
        x[::2], y[::2] = 0, 0
    elif kind == "integers":
        x, y = x.round(), y.round()
    elif kind == "bits":
        x, y = (x[:, :4] > 0).astype(float), (y[:, :4] > 0).astype(float)
    elif kind == "rank one":
        x, y = np.abs(x[:, :1]), np.abs(y[:, :1])
    elif kind == "outlier":
        x[0] *= 1e8
    elif kind == "blocks":
        x, y = np.eye(8)[np.arange(n) % 8] @ x[:1].T * np.eye(8)[0], np.eye(8)[np.arange(m) % 8]
    elif kind == "nearly equal":
        x, y = 1 + 1e-9 * x, 1 + 1e-9 * y
    return x, y


def check(x: np.ndarray, y: np.ndarray, **options):
    scores = x @ y.T
    best = scores[linear_sum_assignment(scores, maximize=True)].sum()
    result = assign(x, y, **options)
    size = max(1e-300, np.abs(scores).max() * len(scores))
    rows = np.flatnonzero(result.target >= 0)
    columns = result.target.numpy()[rows]
    assert len(rows) == len(set(columns)) == min(len(x), len(y))
    assert abs(scores[rows, columns].sum() - best) <= 1e-12 * size
    # the duals are a proof on their own
    u, p = result.row_dual.numpy(), result.column_dual.numpy()
    assert (u[:, None] + p - scores >= -1e-12 * size).all()
    assert abs(u.sum() + p.sum() - best) <= 1e-12 * size
    assert result.optimal
    return result


@settings(max_examples=60, deadline=None)
@given(
    kind=st.sampled_from(FAMILIES),
    n=st.integers(1, 60),
    m=st.integers(1, 60),
    length=st.integers(1, 64),
    seed=st.integers(0, 1000),
)
def test_small_problems_are_solved_as_scipy_does(kind, n, m, length, seed):
    check(*family(kind, n, m, seed), list_length=length, precision="float32")


@pytest.mark.parametrize("kind", FAMILIES)
def test_just_beyond_the_dense_solver(kind):
    n = 540
    result = check(*family(kind, n, n))
    # far from an exact score for every pair, and from lists made again and again
    assert result.work.exact_scores < n * n / 2
    assert result.work.refreshed <= 6 * n


@pytest.mark.parametrize("shape", [(400, 900), (900, 400)])
@pytest.mark.parametrize("kind", ["zeros", "groups", "bits", "half zeros", "equal rows"])
def test_sides_of_other_sizes(kind, shape):
    check(*family(kind, *shape))

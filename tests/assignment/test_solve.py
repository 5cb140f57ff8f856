import os

import numpy as np
import psutil
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.optimize import linear_sum_assignment

from saematch import SaematchError
from saematch.assignment import Assignment, assign
from saematch.numerics.hardware import available_memory

SHAPES = [(1, 1), (2, 2), (3, 3), (1, 5), (5, 1), (40, 40), (30, 60), (60, 30)]
KINDS = ["gaussian", "planted", "clustered", "duplicates", "constant", "zero rows"]


def dense(x, y, row_offset=None, column_offset=None) -> np.ndarray:
    scores = np.asarray(x, dtype=np.float64) @ np.asarray(y, dtype=np.float64).T
    if row_offset is not None:
        scores = scores + np.asarray(row_offset, dtype=np.float64)[:, None]
    if column_offset is not None:
        scores = scores + np.asarray(column_offset, dtype=np.float64)
    return scores


def check(result: Assignment, scores: np.ndarray) -> None:
    """Everything that must hold of a one-to-one assignment, against scipy's optimum."""
    n, m = scores.shape
    target = result.target.numpy()
    rows = np.flatnonzero(target >= 0)
    columns = target[rows]
    assert len(rows) == min(n, m) == len(set(columns))
    size = np.abs(scores).max(initial=0) * min(n, m)
    np.testing.assert_allclose(result.score.numpy()[rows], scores[rows, columns], atol=1e-12 * size)
    assert np.isnan(result.score.numpy()[target < 0]).all()
    best = scores[linear_sum_assignment(scores, maximize=True)].sum()
    assert result.total == pytest.approx(best, rel=1e-12, abs=1e-12 * size)
    assert 0 <= result.gap <= 1e-10 * size
    assert result.optimal
    u, p = result.row_dual.numpy(), result.column_dual.numpy()
    assert (u[:, None] + p - scores >= -1e-12 * size).all()
    assert u.sum() + p.sum() == pytest.approx(result.total + result.gap, abs=1e-11 * size)
    assert n >= m or (p >= 0).all()
    assert n <= m or (u >= 0).all()


def vectors(kind: str, n: int, m: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    x, y = rng.normal(size=(n, 8)), rng.normal(size=(m, 8))
    if kind == "planted":
        wide, small = max(n, m), min(n, m)
        base = rng.normal(size=(wide, 8))
        part = base[rng.permutation(wide)[:small]] + 0.1 * rng.normal(size=(small, 8))
        x, y = (part, base) if n <= m else (base, part)
    elif kind == "clustered":
        centres = rng.normal(size=(4, 8))
        x, y = (centres[rng.integers(4, size=len(v))] + 0.05 * v for v in (x, y))
    elif kind == "duplicates":
        x, y = x[rng.integers(max(1, n // 4), size=n)], y[rng.integers(max(1, m // 4), size=m)]
    elif kind == "constant":
        x, y = np.ones_like(x), -np.ones_like(y)
    elif kind == "zero rows":
        x[::2], y[::3] = 0, 0
    return x, y


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("kind", KINDS)
def test_total_is_that_of_scipy(kind, shape):
    x, y = vectors(kind, *shape)
    check(assign(x, y), dense(x, y))


@pytest.mark.parametrize("shape", [(20, 20), (12, 24), (24, 12)])
@pytest.mark.parametrize("size", [1e-20, 1e20, "mixed"])
def test_any_size_of_score(size, shape):
    x, y = vectors("gaussian", *shape)
    factor = 10.0 ** np.linspace(-10, 10, shape[0])[:, None] if size == "mixed" else size
    check(assign(x * factor, y), dense(x * factor, y))


@pytest.mark.parametrize("shape", [(20, 20), (12, 24), (24, 12)])
def test_offsets_make_squared_distances(shape):
    x, y = vectors("gaussian", *shape)
    result = assign(2 * x, y, -(x**2).sum(1), -(y**2).sum(1))
    check(result, -((x[:, None] - y) ** 2).sum(-1))


def test_the_same_vectors_twice_are_at_distance_zero():
    x = np.random.default_rng(0).normal(size=(50, 8))
    result = assign(2 * x, x, -(x**2).sum(1), -(x**2).sum(1))
    assert result.target.tolist() == list(range(50))
    assert result.optimal  # though every score is rounding


def test_orientation():
    y = torch.randn(7, 16, generator=torch.manual_seed(0))
    permutation = torch.tensor([2, 0, 1, 4, 5, 6, 3])
    assert not torch.equal(permutation, permutation.argsort())
    assert torch.equal(assign(y[permutation], y).target, permutation)
    assert torch.equal(assign(y, y[permutation]).target, permutation.argsort())


def test_offset_keeps_a_row_out():
    x = torch.ones(3, 1)
    result = assign(x, x[:2], row_offset=torch.tensor([0.0, -5.0, 0.0]))
    assert result.target[1] == -1
    assert result.total == 2


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.int64])
def test_dtypes_are_computed_in_float64(dtype):
    x = (10 * torch.randn(15, 6, generator=torch.manual_seed(0))).to(dtype)
    result = assign(x, x.flip(0))
    assert result.score.dtype == torch.float64
    check(result, dense(x.double(), x.flip(0).double()))


matrices = st.tuples(st.integers(1, 9), st.integers(1, 9), st.integers(1, 3)).flatmap(
    lambda s: st.tuples(
        hnp.arrays(np.float64, (s[0], s[2]), elements=st.floats(-4, 4, width=16)),
        hnp.arrays(np.float64, (s[1], s[2]), elements=st.floats(-4, 4, width=16)),
        hnp.arrays(np.float64, s[0], elements=st.integers(-3, 3)),
        hnp.arrays(np.float64, s[1], elements=st.integers(-3, 3)),
    )
)


@settings(max_examples=100)
@given(matrices)
def test_optimal_for_any_small_problem(parts):
    check(assign(*parts), dense(*parts))


@settings(max_examples=30)
@given(matrices, st.randoms(use_true_random=False))
def test_order_and_side_do_not_matter(parts, random):
    x, y, a, b = parts
    rows, columns = list(range(len(x))), list(range(len(y)))
    random.shuffle(rows)
    random.shuffle(columns)
    total = assign(x, y, a, b).total
    assert assign(x[rows], y[columns], a[rows], b[columns]).total == pytest.approx(total, abs=1e-9)
    assert assign(y, x, b, a).total == pytest.approx(total, abs=1e-9)


@pytest.mark.parametrize("shape", [(30, 50), (50, 30)])
def test_many_to_one_is_the_row_maximum(shape):
    x, y = vectors("gaussian", *shape)
    offset = np.random.default_rng(1).normal(size=shape[1])
    scores = dense(x, y, None, offset)
    result = assign(x, y, None, offset, kind="many-to-one", memory_limit=0)
    assert result.target.tolist() == scores.argmax(1).tolist()
    np.testing.assert_allclose(result.row_dual, scores.max(1))
    assert result.total == pytest.approx(scores.max(1).sum())
    assert (result.gap, result.column_dual.abs().max()) == (0, 0)


def test_many_to_one_takes_the_first_of_equals():
    y = torch.tensor([[0.0], [1.0], [1.0]])
    assert assign(torch.ones(2, 1), y, kind="many-to-one").target.tolist() == [1, 1]


@pytest.mark.parametrize("kind", ["one-to-one", "many-to-one"])
@pytest.mark.parametrize(("n", "m"), [(0, 0), (0, 3), (3, 0)])
def test_empty(n, m, kind):
    result = assign(torch.zeros(n, 4), torch.zeros(m, 4), kind=kind)
    assert result.target.tolist() == [-1] * n
    assert (len(result.row_dual), len(result.column_dual)) == (n, m)
    assert (result.total, result.gap, result.optimal) == (0, 0, True)


@pytest.mark.wrong_arrays
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"x": torch.tensor([[1.0, torch.nan]])}, "x has 1 entries that are NaN or infinite"),
        ({"y": torch.tensor([[torch.inf, 0.0]])}, "y has 1 entries that are NaN or infinite"),
        ({"x": torch.ones(3)}, "x has shape"),
        ({"y": torch.ones(2, 3)}, "length 2 and y of length 3"),
        ({"row_offset": torch.ones(2)}, "row_offset has 2 entries"),
        ({"column_offset": torch.ones(1, 2)}, "column_offset has shape"),
        ({"x": torch.ones(1, 2, dtype=torch.complex64)}, "real numbers"),
        ({"kind": "one-to-many"}, "one-to-many"),
        ({"memory_limit": 10}, "10 bytes and 157 are needed"),
        ({"x": 1e200 * np.ones((1, 2)), "y": 1e200 * np.ones((1, 2))}, "overflow"),
    ],
)
def test_errors_name_what_is_wrong(change, message):
    arguments = {"x": torch.ones(1, 2), "y": torch.ones(1, 2), **change}
    with pytest.raises(SaematchError, match=message):
        assign(**arguments)


VIEWS = {
    "rows backwards": lambda v: v[::-1],
    "columns backwards": lambda v: v[:, ::-1],
    "every other": lambda v: np.repeat(v, 2, axis=0)[::2],
    "big-endian": lambda v: v.astype(">f8"),
    "big-endian float32": lambda v: v.astype(">f4"),
    "float16": lambda v: v.astype(np.float16),
    "longdouble": lambda v: v.astype(np.longdouble),
    "Fortran order": np.asfortranarray,
    "one row for all": lambda v: np.broadcast_to(v[0], v.shape),
    "read-only": lambda v: np.frombuffer(v.tobytes()).reshape(v.shape),
    "int16": lambda v: (10 * v).astype(">i2"),
    "uint64": lambda v: np.abs(10 * v).astype(np.uint64),
}


@pytest.mark.wrong_arrays
@pytest.mark.parametrize("view", VIEWS)
def test_arrays_of_any_layout_and_real_type(view):
    draw = np.random.default_rng(0)
    x, y = (VIEWS[view](draw.standard_normal((60, 8))) for _ in range(2))
    offset = draw.standard_normal(60)[::-1]
    scores = x.astype(float) @ y.astype(float).T + offset.astype(float)
    best = scores[linear_sum_assignment(scores, maximize=True)].sum()
    result = assign(x, y, column_offset=offset, precision="float32")
    assert result.total == pytest.approx(best, rel=1e-12)


@pytest.mark.wrong_arrays
@pytest.mark.parametrize("kind", [bool, complex, object, "U3", "datetime64[s]"])
def test_entries_that_are_no_real_numbers(kind):
    wrong = np.zeros((3, 2)).astype(kind)
    with pytest.raises(SaematchError, match=r"^x is an array of \S+; real numbers are needed$"):
        assign(wrong, np.zeros((3, 2)))
    with pytest.raises(SaematchError, match=r"^row_cost is an array of"):
        assign(np.zeros((3, 2)), np.zeros((3, 2)), row_cost=wrong[:, 0])
    with pytest.raises(SaematchError, match=r"y is torch.bool; real numbers are needed"):
        assign(np.zeros((3, 2)), torch.zeros(3, 2, dtype=torch.bool))


def test_free_memory_is_known_where_posix_is_not(monkeypatch):
    """As on Windows, where os has no sysconf."""
    monkeypatch.delattr(os, "sysconf", raising=False)
    share = available_memory() / psutil.virtual_memory().total
    assert 0 < share <= 1
    assert assign(torch.eye(3), torch.eye(3), precision="float32").total == 3

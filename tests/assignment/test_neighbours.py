import numpy as np
import pytest
import torch

from saematch import SaematchError
from saematch.assignment import Scores, assign, neighbours
from saematch.assignment.filtering import Filter
from saematch.assignment.neighbours import PATIENCE


def naive(
    scores: np.ndarray, target: np.ndarray, tolerance: float = 0.0
) -> tuple[list[int], list[int]]:
    in_row, in_column = [], []
    for i, j in enumerate(target):
        limit = scores[i, j] + tolerance
        in_row.append(0 if j < 0 else 1 + int((scores[i] > limit).sum()))
        in_column.append(0 if j < 0 else 1 + int((scores[:, j] > limit).sum()))
    return in_row, in_column


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("block", [None, 1, 7])
@pytest.mark.parametrize("kind", ["one-to-one", "many-to-one", "random"])
@pytest.mark.parametrize("shape", [(30, 30), (20, 40), (40, 20)])
def test_against_the_whole_matrix(shape, kind, block, dtype):
    n, m = shape
    rng = np.random.default_rng(0)
    x, y = (rng.normal(size=(size, 6)).astype(dtype) for size in (n, m))
    a, b = rng.normal(size=n), rng.normal(size=m)
    scores = x.astype("float64") @ y.T.astype("float64") + a[:, None] + b
    if kind == "random":
        target = torch.from_numpy(rng.integers(-1, m, size=n))
    else:
        target = assign(x, y, a, b, kind=kind).target
    found = neighbours(x, y, a, b, target, 5, block=block)
    in_row, in_column = naive(scores, target.numpy())
    assert found.rank_in_row.tolist() == in_row
    assert found.rank_in_column.tolist() == in_column
    mutual = (scores.argmax(1) == target.numpy()) & (scores.argmax(0)[target] == np.arange(n))
    assert found.mutual.tolist() == (mutual & (target.numpy() >= 0)).tolist()
    order = np.argsort(-scores, axis=1)[:, :5]
    assert found.candidates.tolist() == order.tolist()
    np.testing.assert_allclose(found.candidate_scores, np.take_along_axis(scores, order, 1))
    back = np.argsort(-scores, axis=0)[:5].T
    assert found.sources.tolist() == back.tolist()
    np.testing.assert_allclose(found.source_scores.T, np.take_along_axis(scores, back.T, 0))
    own = np.where(target >= 0, scores[np.arange(n), target], np.nan)
    np.testing.assert_allclose(found.score, own)


@pytest.mark.parametrize("patience", [0, 2, 128])
@pytest.mark.parametrize("kind", ["one-to-one", "many-to-one", "some"])
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_the_precision_of_the_product_changes_nothing(precision, kind, patience, monkeypatch):
    monkeypatch.setitem(PATIENCE, "bfloat16", patience)
    x, y = (torch.randn(n, 9, generator=torch.manual_seed(n)) for n in (150, 170))
    scores = (x.double() @ y.double().T).numpy()
    target = assign(x, y, kind="one-to-one" if kind == "some" else kind).target
    if kind == "some":
        target[3:] = -1  # so few that their rows and columns are less than the whole
    found = neighbours(x, y, None, None, target, 5, precision=precision, block=64)
    in_row, in_column = naive(scores, target.numpy(), 1e-12)
    assert found.rank_in_row.tolist() == in_row
    assert found.rank_in_column.tolist() == in_column
    assert found.candidates.tolist() == np.argsort(-scores, axis=1)[:, :5].tolist()
    assert found.sources.tolist() == np.argsort(-scores, axis=0)[:5].T.tolist()


@pytest.mark.parametrize("kind", ["one-to-one", "many-to-one"])
@pytest.mark.parametrize("shape", [(60, 60), (50, 80), (80, 50)])
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_scores_that_were_kept_take_the_place_of_a_product(precision, shape, kind, monkeypatch):
    x, y = (torch.randn(n, 9, generator=torch.manual_seed(n + 1)) for n in shape)
    a, b = (torch.randn(n, generator=torch.manual_seed(n)) for n in shape)
    scores = Scores()
    target = assign(x, y, a, b, kind=kind, precision=precision, scores=scores).target
    expected = neighbours(x, y, a, b, target, 5, precision=precision)
    monkeypatch.setattr(Filter, "product", None)
    found = neighbours(x, y, a, b, target, 5, block=7, scores=scores)
    for name in ("score", "rank_in_row", "rank_in_column", "candidates", "sources"):
        torch.testing.assert_close(
            getattr(found, name), getattr(expected, name), rtol=0, atol=0, equal_nan=True
        )
    # other offsets leave the products as they are
    moved = neighbours(x, y, None, 2 * b, target, 5, scores=scores)
    order = np.argsort(-(x.double() @ y.double().T + 2 * b).numpy(), axis=1)[:, :5]
    assert moved.candidates.tolist() == order.tolist()
    with pytest.raises(SaematchError, match=f"scores are of {shape[0]} x {shape[1]} vectors"):
        neighbours(x[1:], y, a[1:], b, target[1:], 5, scores=scores)


@pytest.mark.parametrize("kind", ["one-to-one", "many-to-one"])
@pytest.mark.parametrize("shape", [(60, 60), (50, 80), (80, 50)])
@pytest.mark.parametrize("bias", [False, True])
def test_scores_of_parts_serve_for_directions(shape, kind, bias, monkeypatch):
    widths = (5, 4, 1) if bias else (5, 4)
    x, y = (torch.randn(n, sum(widths), generator=torch.manual_seed(n + 1)) for n in shape)
    x[3], y[5, :5] = 0, 0
    minus = [-v.double().square().sum(1) for v in (x, y)]
    scores = Scores(widths)
    given = {"kind": kind, "precision": "float32"}
    target = assign(2 * x, y, *minus, **given, scores=scores).target
    u, v = (torch.nn.functional.normalize(z[:, :5], dim=1) for z in (x, y))
    p, q = (torch.nn.functional.normalize(z[:, 5:9], dim=1) for z in (x, y))
    left, right = torch.cat([0.3 * u, 0.7 * p], 1), torch.cat([v, q], 1)
    expected = neighbours(left, right, None, None, target, 5, precision="float32")
    monkeypatch.setattr(Filter, "product", None)
    found = neighbours(left, right, None, None, target, 5, block=7, scores=scores)
    for name in ("score", "rank_in_row", "rank_in_column", "candidates", "sources"):
        torch.testing.assert_close(
            getattr(found, name), getattr(expected, name), rtol=0, atol=0, equal_nan=True
        )


def test_scores_of_other_vectors_are_not_used():
    x, y, z = (torch.randn(60, 9, generator=torch.manual_seed(n)) for n in (1, 2, 3))
    scores = Scores((5, 4))
    target = assign(x, y, precision="float32", scores=scores).target
    assert scores.kept is not None
    expected = neighbours(z, y, None, None, target, 5)
    found = neighbours(z, y, None, None, target, 5, scores=scores)
    assert found.candidates.tolist() == expected.candidates.tolist()
    fewer = neighbours(x[:, :7], y[:, :7], None, None, target, 5, scores=scores)
    assert (fewer.score - (x[:, :7].double() * y[target, :7]).sum(1)).abs().max() < 1e-12


def test_scores_that_were_not_kept_are_made_again():
    x, y = (torch.randn(200, 9, generator=torch.manual_seed(n)) for n in (1, 2))
    scores = Scores()
    target = assign(x, y, list_length=16, memory_limit=200_000, block=20, scores=scores).target
    assert scores.kept is None
    found = neighbours(x, y, None, None, target, 5, scores=scores)
    expected = np.argsort(-(x.double() @ y.double().T).numpy(), axis=1)[:, :5]
    assert found.candidates.tolist() == expected.tolist()


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_equal_vectors_share_a_rank_whatever_the_rounding(dtype):
    vector = torch.randn(1, 333, generator=torch.manual_seed(0), dtype=getattr(torch, dtype))
    found = neighbours(vector.repeat(37, 1), vector.repeat(41, 1), None, None, torch.arange(37), 41)
    assert found.rank_in_row.unique().tolist() == [1]
    assert found.rank_in_column.unique().tolist() == [1]


def test_equal_candidates_in_order_of_index():
    y = torch.tensor([[1.0], [2.0], [1.0], [2.0]])
    found = neighbours(torch.ones(1, 1), y, None, None, torch.tensor([3]), 9)
    assert found.candidates.tolist() == [[1, 3, 0, 2]]
    assert found.sources.tolist() == [[0]] * 4


@pytest.mark.parametrize("k", [1, 3, 9])
@pytest.mark.parametrize("scale", [1.0, 1e-30, 1e150])
def test_scores_that_float32_cannot_tell_apart_are_settled(k, scale):
    rng = np.random.default_rng(1)
    base = rng.normal(size=20)
    # all within 1e-9 of one another, many of them equal
    y = scale * (base + 1e-9 * rng.normal(size=(60, 20)))[rng.integers(0, 40, size=60)]
    x = base + rng.normal(size=(30, 20)) * np.r_[np.full(15, 1e-9), np.ones(15)][:, None]
    offset = scale * -0.5 * (y / scale) @ base
    target = torch.from_numpy(rng.permutation(60)[:30])
    found = neighbours(x, y, None, offset, target, k)
    scores = x @ y.T + offset
    in_row, in_column = naive(scores, target.numpy(), tolerance=scale * 1e-13)
    assert found.rank_in_row.tolist() == in_row
    assert found.rank_in_column.tolist() == in_column
    np.testing.assert_allclose(
        found.candidate_scores, -np.sort(-scores, axis=1)[:, :k], rtol=0, atol=scale * 1e-13
    )
    np.testing.assert_allclose(
        found.source_scores, -np.sort(-scores.T, axis=1)[:, :k], rtol=0, atol=scale * 1e-13
    )


def test_empty_sides():
    none = neighbours(torch.zeros(2, 3), torch.zeros(0, 3), None, None, torch.tensor([-1, -1]), 4)
    assert none.candidates.shape == (2, 0)
    assert none.rank_in_row.tolist() == [0, 0]
    none = neighbours(torch.zeros(0, 3), torch.zeros(2, 3), None, None, torch.zeros(0).long(), 4)
    assert none.sources.shape == (2, 0)


@pytest.mark.wrong_arrays
@pytest.mark.parametrize(
    ("target", "k", "message"),
    [
        ([0, 2], 1, "from 0 to 1"),
        ([0], 1, "2 integers"),
        ([0, 1], 0, "k is 0"),
        ([0.5, 1], 1, "2 int"),
    ],
)
def test_errors(target, k, message):
    with pytest.raises(SaematchError, match=message):
        neighbours(torch.eye(2), torch.eye(2), None, None, torch.tensor(target), k)

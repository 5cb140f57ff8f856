import numpy as np
import pytest
import torch

from saematch import SaematchError
from saematch.assignment import assign, neighbours


def naive(scores: np.ndarray, target: np.ndarray) -> tuple[list[int], list[int]]:
    in_row, in_column = [], []
    for i, j in enumerate(target):
        in_row.append(0 if j < 0 else 1 + int((scores[i] > scores[i, j]).sum()))
        in_column.append(0 if j < 0 else 1 + int((scores[:, j] > scores[i, j]).sum()))
    return in_row, in_column


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("block", [None, 1, 7])
@pytest.mark.parametrize("kind", ["one-to-one", "many-to-one", "random"])
@pytest.mark.parametrize("shape", [(30, 30), (20, 40), (40, 20)])
def test_against_the_whole_matrix(shape, kind, block, dtype):
    n, m = shape
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(n, 6)), rng.normal(size=(m, 6))
    a, b = rng.normal(size=n), rng.normal(size=m)
    scores = x @ y.T + a[:, None] + b
    if kind == "random":
        target = torch.from_numpy(rng.integers(-1, m, size=n))
    else:
        target = assign(x, y, a, b, kind=kind).target
    found = neighbours(x, y, a, b, target, 5, block=block, dtype=dtype)
    in_row, in_column = naive(scores, target.numpy())
    assert found.rank_in_row.tolist() == in_row
    assert found.rank_in_column.tolist() == in_column
    mutual = (scores.argmax(1) == target.numpy()) & (scores.argmax(0)[target] == np.arange(n))
    assert found.mutual.tolist() == (mutual & (target.numpy() >= 0)).tolist()
    order = np.argsort(-scores, axis=1)[:, :5]
    assert found.candidates.tolist() == order.tolist()
    np.testing.assert_allclose(
        found.candidate_scores, np.take_along_axis(scores, order, 1), rtol=1e-4, atol=1e-5
    )
    assert found.best_in_column.tolist() == scores.argmax(0).tolist()


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_equal_vectors_share_a_rank_whatever_the_rounding(dtype):
    vector = torch.randn(1, 333, generator=torch.manual_seed(0), dtype=torch.float64)
    found = neighbours(
        vector.repeat(37, 1), vector.repeat(41, 1), None, None, torch.arange(37), 41, dtype=dtype
    )
    assert found.rank_in_row.unique().tolist() == [1]
    assert found.rank_in_column.unique().tolist() == [1]


def test_equal_candidates_in_order_of_index():
    y = torch.tensor([[1.0], [2.0], [1.0], [2.0]])
    found = neighbours(torch.ones(1, 1), y, None, None, torch.tensor([3]), 9)
    assert found.candidates.tolist() == [[1, 3, 0, 2]]
    assert found.best_in_column.tolist() == [0, 0, 0, 0]


def test_empty_sides():
    none = neighbours(torch.zeros(2, 3), torch.zeros(0, 3), None, None, torch.tensor([-1, -1]), 4)
    assert none.candidates.shape == (2, 0)
    assert none.rank_in_row.tolist() == [0, 0]
    none = neighbours(torch.zeros(0, 3), torch.zeros(2, 3), None, None, torch.zeros(0).long(), 4)
    assert none.best_in_column.tolist() == [-1, -1]


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

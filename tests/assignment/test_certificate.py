import numpy as np
import pytest
import torch
from scipy.optimize import linear_sum_assignment, linprog

from saematch.assignment import certificate


def optimum(scores: torch.Tensor) -> torch.Tensor:
    return torch.from_numpy(linear_sum_assignment(scores.numpy(), maximize=True)[1])


def total(scores: torch.Tensor, target: torch.Tensor) -> float:
    return float(scores.gather(1, target[:, None]).sum())


def proven_gap(scores: torch.Tensor, target: torch.Tensor) -> float:
    price = certificate.prices(scores, target)
    return certificate.gap(scores, target, price, certificate.row_duals(scores, price))


def relaxation(scores: np.ndarray) -> float:
    """The optimum of the dual linear program, by scipy: min sum u + sum p, u_i + p_j >= s_ij."""
    n, m = scores.shape
    rows, columns = np.divmod(np.arange(n * m), m)
    pairs = np.zeros((n * m, n + m))
    pairs[np.arange(n * m), rows] = -1
    pairs[np.arange(n * m), n + columns] = -1
    bounds = [(None, None)] * n + [(0, None)] * m
    return linprog(np.ones(n + m), A_ub=pairs, b_ub=-scores.ravel(), bounds=bounds).fun


def dual_value(scores: torch.Tensor, price: torch.Tensor) -> float:
    """No assignment of all rows totals more: the objective of the dual linear program."""
    return float(certificate.row_duals(scores, price).sum() + price.sum())


@pytest.mark.parametrize("shape", [(1, 1), (2, 2), (6, 6), (4, 9), (8, 9)])
@pytest.mark.parametrize("seed", range(3))
def test_dual_value_is_that_of_the_linear_program(shape, seed):
    scores = torch.randn(*shape, generator=torch.manual_seed(seed), dtype=torch.float64)
    target = optimum(scores)
    price = certificate.prices(scores, target)
    assert (price >= 0).all()
    assert dual_value(scores, price) == pytest.approx(relaxation(scores.numpy()))
    assert dual_value(scores, price) == pytest.approx(total(scores, target))


def test_prices_by_hand():
    # both rows like column 0 best; row 0 by 3, row 1 by 1, so the price of column 0 is 1
    scores = torch.tensor([[5.0, 2.0], [4.0, 3.0]], dtype=torch.float64)
    price = certificate.prices(scores, torch.tensor([0, 1]))
    assert price.tolist() == pytest.approx([1.0, 0.0])
    assert certificate.row_duals(scores, price).tolist() == pytest.approx([4.0, 3.0])


@pytest.mark.parametrize(
    "kind", ["gaussian", "wide", "rank one", "line", "integers", "constant", "one huge row"]
)
def test_optimum_has_no_gap(kind):
    generator = torch.manual_seed(1)

    def uniform(*shape):
        return torch.rand(*shape, generator=generator, dtype=torch.float64)

    scores = {
        "gaussian": torch.randn(120, 120, generator=generator, dtype=torch.float64),
        "wide": uniform(60, 120),
        "rank one": uniform(120, 1) * uniform(120),
        "line": -(uniform(120, 1) - uniform(120)).abs(),
        "integers": (5 * uniform(120, 120)).floor(),
        "constant": torch.full((50, 70), -3.0, dtype=torch.float64),
        "one huge row": uniform(90, 90) * torch.ones(90, 1).index_fill(0, torch.tensor(3), 1e9),
    }[kind]
    assert 0 <= proven_gap(scores, optimum(scores)) <= 1e-11 * float(scores.abs().max(1)[0].sum())


@pytest.mark.parametrize("shape", [(40, 40), (40, 60)])
def test_gap_covers_what_was_spoiled(shape):
    generator = torch.manual_seed(2)
    scores = torch.randn(*shape, generator=generator, dtype=torch.float64)
    best = optimum(scores)
    for swaps in (1, 3, 15):
        spoiled = best.clone()
        for _ in range(swaps):
            i, j = torch.randperm(40, generator=generator)[:2].tolist()
            spoiled[[i, j]] = spoiled[[j, i]]
        loss = total(scores, best) - total(scores, spoiled)
        assert loss > 0.1
        assert proven_gap(scores, spoiled) >= loss


def test_gap_covers_a_better_column_left_free():
    scores = torch.tensor([[1.0, 0.0, 4.0], [0.0, 1.0, 0.0]], dtype=torch.float64)
    assert proven_gap(scores, torch.tensor([0, 1])) >= 3
    assert proven_gap(scores, torch.tensor([2, 1])) == pytest.approx(0, abs=1e-14)


def test_any_prices_bound_the_optimum():
    generator = torch.manual_seed(3)
    scores = torch.randn(20, 30, generator=generator, dtype=torch.float64)
    best = total(scores, optimum(scores))
    for _ in range(20):
        price = torch.rand(30, generator=generator, dtype=torch.float64)
        assert dual_value(scores, price) >= best

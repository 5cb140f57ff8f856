"""The solver of small problems against the engine."""

import pytest
import torch

from saematch import assign


def problem(n: int, m: int, width: int = 6, seed: int = 0):
    g = torch.Generator().manual_seed(seed)
    parts = [torch.randn(*shape, generator=g) for shape in ((n, width), (m, width), (n,), (m,))]
    return parts


@pytest.mark.parametrize(("n", "m"), [(60, 60), (40, 90), (90, 40), (1, 3), (3, 1), (0, 4)])
def test_agrees_with_the_engine_and_proves_it(whole_matrix, n, m):
    x, y, a, b = problem(n, m)
    small = assign(x, y, a, b)
    engine = assign(x, y, a, b, precision="float32")
    assert small.solver == "dense"
    assert engine.solver == "auction"
    assert small.total == pytest.approx(engine.total, rel=1e-12)
    assert torch.equal(small.target, engine.target)
    assert small.optimal
    bound = float(small.row_dual.sum() + small.column_dual.sum())
    assert bound == pytest.approx(small.total + small.gap, rel=1e-9)


def test_a_memory_limit_sends_it_to_the_engine(whole_matrix):
    x, y, *_ = problem(300, 300)
    assert assign(x, y, memory_limit=2_000_000).solver == "auction"


def test_costs_and_duals_send_it_to_the_engine(whole_matrix):
    x, y, *_ = problem(30, 30)
    first = assign(x, y)
    assert assign(x, y, row_cost=0.5).solver == "auction"
    assert assign(x, y, start=first).total == pytest.approx(first.total, rel=1e-12)

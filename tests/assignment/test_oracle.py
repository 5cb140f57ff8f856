import pytest
import torch
from scipy.optimize import linear_sum_assignment

from support import oracle


@pytest.mark.parametrize("shape", [(200, 200), (100, 200), (199, 200)])
@pytest.mark.parametrize("values", [2, 5, 10**6])
def test_optimum_with_many_ties(shape, values):
    scores = torch.randint(-values, values, shape, generator=torch.manual_seed(0)).double()
    target = oracle.solve(scores)
    rows, columns = linear_sum_assignment(scores.numpy(), maximize=True)
    assert target.unique().numel() == shape[0]
    assert scores[torch.arange(shape[0]), target].sum() == scores[rows, columns].sum()

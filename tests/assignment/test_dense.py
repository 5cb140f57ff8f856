import pytest
import torch
from scipy.optimize import linear_sum_assignment

from saematch import SaematchError
from saematch.assignment import dense


@pytest.mark.parametrize("shape", [(200, 200), (100, 200), (199, 200)])
@pytest.mark.parametrize("values", [2, 5, 10**6])
def test_optimum_with_many_ties(shape, values):
    scores = torch.randint(-values, values, shape, generator=torch.manual_seed(0)).double()
    target = dense.solve(scores)
    rows, columns = linear_sum_assignment(scores.numpy(), maximize=True)
    assert target.unique().numel() == shape[0]
    assert scores[torch.arange(shape[0]), target].sum() == scores[rows, columns].sum()


def test_memory_is_that_of_scores_and_square_costs():
    dense.check_memory(10, 20, 8 * (200 + 400))
    with pytest.raises(SaematchError, match=r"4,800 bytes .* 4,799 are allowed"):
        dense.check_memory(10, 20, 8 * (200 + 400) - 1)
    with pytest.raises(SaematchError, match="memory_limit"):
        dense.check_memory(10**7, 10**7, None)

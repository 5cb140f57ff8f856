"""Where sources are read, against what can be worked out by hand."""

import numpy as np
import pytest
import scipy.sparse as sp
import torch

from saematch import SaematchError
from saematch.activations.table import FeatureActivations
from saematch.transport.reading import REACHES, check_reaches, read, read_sparse

F = torch.tensor([[1.0, 0.0], [0.0, 2.0], [3.0, 0.0], [0.0, 4.0]])
EXAMPLE = torch.tensor([0, 0, 0, 1])
HERE = F
PREVIOUS = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 2.0], [0.0, 0.0]])
RECENT = torch.tensor(
    [
        [1.0, 0.0],
        [0.75 / 1.75, 2 / 1.75],
        [(3 + 0.5625) / 2.3125, 1.5 / 2.3125],
        [0.0, 4.0],
    ]
)
SO_FAR = torch.tensor([[1.0, 0.0], [0.5, 1.0], [4 / 3, 2 / 3], [0.0, 4.0]])
ALL = torch.cat([HERE, PREVIOUS, RECENT, SO_FAR], 1)


def test_every_reach_by_hand():
    torch.testing.assert_close(read(F, EXAMPLE, tuple(REACHES)), ALL)
    torch.testing.assert_close(read(F, EXAMPLE, ("so far", "here")), torch.cat([SO_FAR, HERE], 1))


def test_recent_tokens_are_sixteen():
    f = torch.eye(40)
    found = read(f, None, ("recent",))
    assert (found > 0).sum(1).tolist() == [min(i + 1, 16) for i in range(40)]
    torch.testing.assert_close(found.sum(1), torch.ones(40))
    ages = found[30].flip(0)[9:25]
    torch.testing.assert_close(ages[1:] / ages[:-1], torch.full((15,), 0.75))


def test_one_example_where_none_is_said():
    whole = read(F, None, ("previous",))
    assert torch.equal(whole[1:], F[:-1])
    assert not whole[0].any()


def test_sparse_is_the_same():
    table = FeatureActivations(sp.csr_array(F.numpy()), EXAMPLE.numpy().astype(np.int32))
    found = read_sparse(table, tuple(REACHES))
    np.testing.assert_allclose(found.toarray(), ALL.numpy(), rtol=1e-6)
    assert found.dtype == np.float32
    assert read_sparse(table, ("here",)).nnz == 4


def test_no_tokens():
    assert read(F[:0], EXAMPLE[:0], tuple(REACHES)).shape == (0, 8)
    none = FeatureActivations(sp.csr_array((0, 2), dtype=np.float32), np.zeros(0, np.int32))
    assert read_sparse(none, ("here", "previous")).shape == (0, 4)


@pytest.mark.parametrize("reaches", [(), ("here", "here"), ("there",)])
def test_reaches_there_are_not(reaches):
    with pytest.raises(SaematchError, match="any of here, previous, recent, so far, each once"):
        check_reaches(reaches)

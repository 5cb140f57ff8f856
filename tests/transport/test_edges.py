"""Edges carry what the matrix of their weights carries."""

import numpy as np
import pytest
import scipy.sparse as sp
import torch

from saematch.transport.edges import Edges


@pytest.fixture
def matrix():
    g = torch.Generator().manual_seed(0)
    weight = torch.randn(7, 5, generator=g)
    weight[2] = 0  # a source without edges
    return weight, torch.rand(7, 5, generator=g) < 0.4


@pytest.fixture
def edges(matrix):
    return Edges.of(*matrix)


def test_there_and_back(matrix, edges):
    weight, kept = matrix
    sparse = weight * kept
    assert torch.equal(edges.dense(edges.weight, torch.device("cpu")), sparse)
    np.testing.assert_array_equal(edges.by_target(edges.weight).toarray(), sparse.T.numpy())


def test_forward_and_back_are_the_products(matrix, edges):
    weight, kept = matrix
    g = torch.Generator().manual_seed(1)
    X = torch.randn(9, 7, generator=g) * (torch.rand(9, 7, generator=g) < 0.5)
    F, rows = sp.csr_array(X.numpy()), np.array([8, 0, 3, 3])
    torch.testing.assert_close(edges.forward(F, rows), X[rows] @ (weight * kept))
    pull = torch.randn(4, 5, generator=g)
    found = edges.dense(edges.back(F, rows, pull), torch.device("cpu"))
    torch.testing.assert_close(found, (X[rows].T @ pull) * kept)

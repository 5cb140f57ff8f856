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
    weight, kept = matrix
    source, target = kept.nonzero(as_tuple=True)
    order = torch.randperm(len(source), generator=torch.Generator().manual_seed(2))
    source, target = source[order], target[order]
    return Edges.of(source, target, weight[source, target], shape=(7, 5))


def whole(edges, values):
    return edges.dense(values, slice(None), torch.device("cpu"))


def test_there_and_back(matrix, edges):
    weight, kept = matrix
    sparse = weight * kept
    assert torch.equal(whole(edges, edges.weight), sparse)
    some = edges.dense(edges.weight, slice(1, 3), torch.device("cpu"))
    assert torch.equal(some, sparse[:, 1:3])
    np.testing.assert_array_equal(edges.by_target(edges.weight).toarray(), sparse.T.numpy())


def test_forward_and_back_are_the_products(matrix, edges):
    weight, kept = matrix
    g = torch.Generator().manual_seed(1)
    X = torch.randn(9, 7, generator=g) * (torch.rand(9, 7, generator=g) < 0.5)
    F, rows = sp.csr_array(X.numpy()), np.array([8, 0, 3, 3])
    torch.testing.assert_close(edges.forward(F, rows), X[rows] @ (weight * kept))
    pull = torch.randn(4, 5, generator=g)
    found = whole(edges, edges.back(F, rows, pull))
    torch.testing.assert_close(found, (X[rows].T @ pull) * kept)

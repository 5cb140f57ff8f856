"""Least squares from sums, against numpy on the tokens themselves."""

import numpy as np
import pytest
import torch

from saematch import SaematchError
from saematch.evaluation.fits import FOLDS, RIDGES, FitSums
from support.saes import make_sae


def data(tokens: int, noise: float, seed: int = 0):
    g = torch.Generator().manual_seed(seed)
    x = torch.randn(tokens, 8, generator=g) * torch.linspace(0.2, 3, 8) + 2
    W = torch.randn(8, 8, generator=g)
    y = x @ W - 1 + noise * torch.randn(tokens, 8, generator=g)
    return x, y, torch.arange(tokens) // 10


def fitted(x, y, example, chunk: int = 37):
    a, b = make_sae(8, 16), make_sae(8, 16, seed=1)
    moments = FitSums(a, b)
    for rows in torch.arange(len(x)).split(chunk):
        moments.add(x[rows], y[rows], a.encode(x[rows]), b.encode(y[rows]), example[rows])
    return moments.fit(), a, b


def test_with_tokens_enough_it_is_least_squares():
    x, y, example = data(3000, 0.02)
    fit, _, _ = fitted(x, y, example)
    ones = np.concatenate([x.numpy(), np.ones((3000, 1))], 1).astype(np.float64)
    expected = np.linalg.lstsq(ones, y.numpy().astype(np.float64), rcond=None)[0]
    np.testing.assert_allclose(fit.weight, expected[:-1], atol=2e-4)
    np.testing.assert_allclose(fit.bias, expected[-1], atol=2e-3)
    np.testing.assert_allclose(fit.mean, y.mean(0), atol=1e-5)
    torch.testing.assert_close(fit.ahead(x), x @ fit.weight.float() + fit.bias.float())
    assert fit.tokens == 3000


def by_hand(x: np.ndarray, y: np.ndarray, ridge: float) -> tuple[np.ndarray, np.ndarray]:
    """Ridge towards the identity by rows added to the problem."""
    centre, middle = x.mean(0), y.mean(0)
    weight = np.sqrt(ridge * ((x - centre) ** 2).sum(0).mean())
    rows = np.concatenate([x - centre, weight * np.eye(8)])
    wanted = np.concatenate([y - middle, weight * np.eye(8)])
    W = np.linalg.lstsq(rows, wanted, rcond=None)[0]
    return W, middle - centre @ W


def test_the_ridge_is_the_best_on_examples_left_out():
    x, y, example = data(60, 3.0)
    fit, _, _ = fitted(x, y, example)
    tokens, values, fold = x.double().numpy(), y.double().numpy(), example.numpy() % FOLDS
    errors = []
    for ridge in RIDGES:
        error = 0.0
        for left in range(FOLDS):
            W, c = by_hand(tokens[fold != left], values[fold != left], ridge)
            error += ((tokens[fold == left] @ W + c - values[fold == left]) ** 2).sum()
        errors.append(error)
    assert fit.ridge == RIDGES[int(np.argmin(errors))]
    assert np.argmin(errors) > 0  # else any rule that takes the least would do
    W, c = by_hand(tokens, values, fit.ridge)
    np.testing.assert_allclose(fit.weight, W, atol=1e-8)
    np.testing.assert_allclose(fit.bias, c, atol=1e-8)


def test_where_nothing_can_be_learnt_it_leaves_things_as_they_are():
    x = torch.ones(20, 8)
    fit, _, _ = fitted(x, 3 * x, torch.arange(20))
    torch.testing.assert_close(fit.ahead(x), 3 * x)
    torch.testing.assert_close(fit.weight, torch.eye(8, dtype=torch.float64))


def test_typical_activations_are_means_where_active():
    x, y, example = data(200, 0.5)
    fit, a, b = fitted(x, y, example)
    assert fit.activation is not None
    for got, sae, values in zip(fit.activation, (a, b), (x, y), strict=True):
        f = sae.encode(values).double()
        expected = f.sum(0) / (f > 0).sum(0)
        torch.testing.assert_close(got, expected, equal_nan=True)


def test_no_tokens_no_fit():
    a = make_sae(8, 16)
    with pytest.raises(SaematchError, match="no tokens"):
        FitSums(a, a).fit()


def test_of_one_example_the_map_is_held_to_the_identity():
    x, y, _ = data(12, 3.0)
    fit, _, _ = fitted(x, y, torch.zeros(12, dtype=torch.int64))
    # nothing can be left out, so that nothing tells a small ridge from a large one
    assert fit.ridge == max(RIDGES) == 0.1

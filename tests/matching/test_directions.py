"""Tests of directions: what is significant does not depend on how long vectors are."""

import dataclasses

import numpy as np
import pytest
import torch

from saematch import MatchError, match
from saematch.matching.views import View
from support.saes import make_sae, permuted


def stretched(sae, seed=3):
    """`sae` with every decoder row times a factor of its own, from about 1/20 to 20."""
    factor = torch.exp(torch.randn(sae.d_sae, generator=torch.Generator().manual_seed(seed)))
    return dataclasses.replace(sae, W_dec=sae.W_dec * factor[:, None])


def pair(noise=0.6):
    a = make_sae(d_sae=96, seed=4)
    order = torch.randperm(96, generator=torch.Generator().manual_seed(5))
    return a, stretched(permuted(a, order, noise=noise)), order


def test_the_statistic_is_the_mean_cosine_of_the_views():
    a, b, _ = pair()
    found = match(a, b, fold="none", encoder_weight=0.5)
    j = found.target.numpy()

    def cosines(x, y):
        return (x * y[j]).sum(1) / np.linalg.norm(x, axis=1) / np.linalg.norm(y[j], axis=1)

    decoder = cosines(a.W_dec.double().numpy(), b.W_dec.double().numpy())
    encoder = cosines(a.W_enc.T.double().numpy(), b.W_enc.T.double().numpy())
    assert found.verdict.test == "direction"
    expected = (decoder + 0.5 * encoder) / 1.5
    np.testing.assert_allclose(found.statistic.numpy(), expected, rtol=1e-4, atol=1e-6)
    table = found.to_polars()
    np.testing.assert_allclose(table["statistic"].to_numpy(), expected, rtol=1e-4, atol=1e-6)
    assert found.summary()["test"] == "direction"


def test_lengths_change_scores_and_not_what_is_significant():
    a, b, order = pair()
    by_direction, by_score = (match(a, b, fold="none", test=t) for t in ("direction", "score"))
    assert torch.equal(by_direction.target, by_score.target)  # the assignment is as published
    own = by_direction.target == order
    # of the pairs that the assignment gets right nearly all are significant
    assert by_direction.matched[own].float().mean() > 0.95
    assert by_direction.n_matched > 1.3 * by_score.n_matched
    longer = match(a, dataclasses.replace(b, W_dec=7 * b.W_dec), "cosine")
    same = match(a, b, "cosine")
    torch.testing.assert_close(longer.p_value, same.p_value, rtol=1e-3, atol=1e-12)


def test_unrelated_features_are_not_significant_however_long():
    found = [
        match(make_sae(d_sae=256, seed=s), stretched(make_sae(d_sae=256, seed=s + 50)))
        for s in range(5)
    ]
    assert sum(m.n_matched for m in found) <= 1


@pytest.mark.parametrize("method", ["cosine", "feature-flow", "paulo-belrose"])
def test_methods_of_directions_alone_are_tested_alike_either_way(method):
    a, b, _ = pair()
    found = [match(a, b, method, test=test) for test in ("direction", "score")]
    assert torch.equal(found[0].p_value, found[1].p_value)
    assert found[0].verdict.test == "score"
    assert torch.equal(found[0].score.isnan(), found[0].p_value.isnan())


def test_a_bias_has_no_direction():
    a, b, _ = pair()
    plain, biased = match(a, b, fold="none"), match(a, b, fold="none", bias=True)
    same = plain.target == biased.target
    assert same.sum() > 20
    torch.testing.assert_close(plain.statistic[same], biased.statistic[same])
    alone = match(a, b, "weighted", views=(View("encoder-bias"),))
    assert alone.verdict.test == "score"


def test_ranks_candidates_and_sources_are_of_directions_too():
    a, b, _ = pair()
    found = match(a, b, fold="none", candidates=5)

    def unit(rows):
        rows = rows.double().numpy()
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)

    every = (unit(a.W_dec) @ unit(b.W_dec).T + unit(a.W_enc.T) @ unit(b.W_enc.T).T) / 2
    order = np.argsort(-every, axis=1)
    np.testing.assert_array_equal(found.candidates.index.numpy(), order[:, :5])
    np.testing.assert_array_equal(found.sources.index.numpy(), np.argsort(-every.T, axis=1)[:, :5])
    own = every[np.arange(96), found.target.numpy()]
    np.testing.assert_array_equal(
        found.pairs.rank_in_row.numpy(), 1 + (every > own[:, None] + 1e-6).sum(1)
    )
    # scores stay the method's: minus the squared distance
    x, y = (torch.cat([s.W_dec, s.W_enc.T], 1).double().numpy() for s in (a, b))
    distance = ((x[:, None] - y[found.candidates.index.numpy()]) ** 2).sum(2)
    np.testing.assert_allclose(found.candidates.score.numpy(), -distance, rtol=1e-5)
    own = ((x - y[found.target.numpy()]) ** 2).sum(1)
    np.testing.assert_allclose(found.score.numpy(), -own, rtol=1e-5)
    back = found.sources.index.numpy()
    distance = ((y[:, None] - x[back]) ** 2).sum(2)
    np.testing.assert_allclose(found.sources.score.numpy(), -distance, rtol=1e-5)
    assert (np.diff(found.candidates.p_value.numpy(), axis=1) >= 0).all()


def test_a_test_that_there_is_not_is_named():
    a, b, _ = pair()
    with pytest.raises(MatchError, match="test is 'length'; it must be direction or score"):
        match(a, b, test="length")  # pyright: ignore[reportArgumentType]

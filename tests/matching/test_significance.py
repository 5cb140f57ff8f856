import math

import numpy as np
import pytest
import torch

from saematch import MatchError, match
from saematch.matching.significance import Significance, chance
from support.saes import make_sae, permuted

WIDTHS = (16, 16)


def problem(n: int = 24, m: int = 60, seed: int = 0):
    """Rows and columns of two views, of very different norms, scored by squared distance."""
    g = torch.Generator().manual_seed(seed)

    def vectors(count: int) -> torch.Tensor:
        root = torch.linspace(1.5, 0.5, 16)
        decoder = torch.randn(count, 16, generator=g) * root + 0.2
        encoder = decoder + 0.5 * torch.randn(count, 16, generator=g)
        scale = torch.exp(0.7 * torch.randn(count, 1, generator=g))
        return torch.cat([decoder * scale, encoder / scale], 1)

    x, y = vectors(n), vectors(m)
    return 2 * x, y, -x.double().pow(2).sum(1), -y.double().pow(2).sum(1)


def simulated(x, y, row_offset, column_offset, draws: int) -> np.ndarray:
    """Best null scores `(draws, n)`, straight from the definition: independent Gaussians."""
    rng = np.random.default_rng(7)
    parts = [y[:, :16].double().numpy(), y[:, 16:].double().numpy()]
    norms = [np.linalg.norm(part, axis=1, keepdims=True) for part in parts]
    unit = np.concatenate([part / norm for part, norm in zip(parts, norms, strict=True)], 1)
    mean = unit.mean(0)
    root = np.linalg.cholesky(np.cov(unit.T, bias=True) + 1e-9 * np.eye(32))
    best = []
    for _ in range(draws):
        z = mean + rng.normal(size=unit.shape) @ root.T
        views = [z[:, :16], z[:, 16:]]
        views = [
            view / np.linalg.norm(view, axis=1, keepdims=True) * norm
            for view, norm in zip(views, norms, strict=True)
        ]
        scores = x.double().numpy() @ np.concatenate(views, 1).T + column_offset.numpy()
        best.append(scores.max(1) + row_offset.numpy())
    return np.stack(best)


def test_p_values_are_what_a_simulation_of_the_definition_gives():
    task = problem()
    found = chance(*task, WIDTHS, "covariance")
    best = simulated(*task, draws=4000)
    for share in (0.5, 0.1, 0.01):
        p = found.p_value(torch.from_numpy(np.quantile(best, 1 - share, axis=0))).numpy()
        # over all rows it is right; for a single row of 24, in 16 dimensions, to a factor
        assert 0.7 * share < p.mean() < 1.8 * share
        assert share / 4 < p.min()
        assert p.max() < 4 * share + 0.05


def test_p_values_do_not_depend_on_units():
    x, y, row_offset, column_offset = problem()
    scores = -torch.rand(24, 3, generator=torch.Generator().manual_seed(1)).double() * 20
    p = chance(x, y, row_offset, column_offset, WIDTHS, "covariance").p_value(scores)
    scaled = chance(1e4 * x, y, 1e4 * row_offset, 1e4 * column_offset, WIDTHS, "covariance")
    torch.testing.assert_close(scaled.p_value(1e4 * scores), p, rtol=1e-3, atol=1e-6)


def test_p_values_fall_with_the_score_and_reach_far_below_the_number_of_draws():
    found = chance(*problem(), WIDTHS, "covariance")
    low, high = found.score_at(0.99), found.score_at(1e-12)
    steps = torch.linspace(0, 1, 50).double()
    p = found.p_value(low[:, None] + (high - low)[:, None] * steps)
    assert (p.diff(dim=1) <= 0).all()
    assert (p > 0).all()
    assert (p <= 1).all()
    assert float(p[:, -1].max()) < 2e-12
    assert found.p_value(torch.full((24,), math.nan)).isnan().all()


@pytest.mark.parametrize("p", [0.3, 0.05, 0.01, 1e-5])
def test_the_score_at_a_p_value_has_it(p):
    found = chance(*problem(), WIDTHS, "covariance")
    again = found.p_value(found.score_at(p))
    torch.testing.assert_close(again, torch.full_like(again, p), rtol=0.05, atol=0)


def test_null_draws_are_reproducible_and_seeded():
    task = problem()
    one, same, other = (chance(*task, WIDTHS, "covariance", seed) for seed in (0, 0, 1))
    assert torch.equal(one.best, same.best)
    assert torch.equal(one.mean, same.mean)
    assert not torch.equal(one.best, other.best)
    assert len(one.best) == 2048


@pytest.mark.parametrize("null", ["covariance", "rotation"])
@pytest.mark.parametrize("method", ["sae-match", "cosine", "feature-flow"])
def test_strangers_have_uniform_or_conservative_p_values_and_no_matches(method, null):
    p, matched = [], 0
    for seed in range(4):
        a, b = make_sae(d_sae=300, seed=2 * seed), make_sae(d_sae=200, seed=2 * seed + 1)
        found = match(a, b, method, null=null, candidates=1)
        p.append(found.p_value[found.target >= 0])
        matched += found.n_matched
    every = torch.cat(p)
    for q in (0.5, 0.1, 0.02):
        # 800 or 1,200 tests, which depend on one another a little
        assert float((every <= q).double().mean()) <= q + 4 * (q * (1 - q) / 800) ** 0.5
    if method == "feature-flow":
        assert float((every <= 0.5).double().mean()) > 0.4
    assert matched <= 1


@pytest.mark.parametrize("method", ["sae-match", "cosine", "feature-flow"])
def test_of_planted_dictionaries_at_most_two_per_cent_are_false_and_most_is_found(method):
    false, power = [], []
    for seed in range(6):
        a = make_sae(d_in=48, d_sae=256, seed=seed)
        order = torch.randperm(256, generator=torch.Generator().manual_seed(seed))
        b, stranger = permuted(a, order, noise=0.6), make_sae(d_in=48, d_sae=256, seed=seed + 50)
        gone = torch.zeros(256, dtype=torch.bool)
        gone[::2] = True
        b.W_dec[order[gone]] = stranger.W_dec[gone]
        b.W_enc[:, order[gone]] = stranger.W_enc[:, gone]
        found = match(a, b, method)
        false.append(int((found.matched & gone).sum()) / max(1, found.n_matched))
        power.append(float((found.matched & (found.target == order))[~gone].double().mean()))
    assert np.mean(false) <= 0.02
    assert np.mean(power) >= 0.9


@pytest.mark.parametrize(
    ("significance", "kind", "words"),
    [
        (Significance("noise"), "one-to-one", "there are covariance, rotation, none"),  # pyright: ignore[reportArgumentType]
        (Significance(fdr=0.0), "one-to-one", "fdr is 0.0"),
        (Significance(fdr=1.5), "one-to-one", "fdr is 1.5"),
        (Significance("none", partial=True), "one-to-one", "partial needs a null"),
        (Significance(partial=True), "many-to-one", "one-to-one methods"),
    ],
)
def test_what_makes_no_sense_is_refused(significance, kind, words):
    with pytest.raises(MatchError, match=words):
        significance.check(kind)


def test_without_features_there_is_no_chance():
    dead = make_sae(seed=3)
    dead.W_dec.zero_()
    dead = permuted(dead, torch.arange(96))
    found = match(make_sae(), dead)
    assert found.excluded[1]["zero decoder"].all()
    assert found.p_value.isnan().all()
    assert found.n_matched == 0
    assert found.p_cut is None
    assert found.null_histogram().height == 0

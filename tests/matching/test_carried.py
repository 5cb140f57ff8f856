"""Directions carried by a Jacobian: planted dictionaries between which a linear map stands."""

import dataclasses

import numpy as np
import pytest
import scipy.sparse as sp
import torch

from saematch import MatchError, Matching, Site
from saematch.activations import FeatureActivations
from saematch.matching import match
from saematch.matching.evidence import Evidence
from saematch.matching.expected_correlation import expectation, similarities
from saematch.matching.methods import fused
from saematch.matching.views import stack
from saematch.models.jacobian import Jacobian
from saematch.sae.sae import SAE
from support.saes import make_sae

HOOKS = ("blocks.1.hook_resid_post", "blocks.2.hook_resid_post", "blocks.3.hook_resid_post")

ONES = torch.ones(60, dtype=torch.float64)


def at(sae: SAE, hook: str, **weights) -> SAE:
    site = Site(hook, "resid_post", int(hook.split(".")[1]))
    conventions = dataclasses.replace(sae.conventions, site=site)
    return dataclasses.replace(sae, conventions=conventions, **weights)


def a_map(d: int, seed: int, hooks=HOOKS[:2]) -> Jacobian:
    """Far from the identity, and from any rotation."""
    g = torch.Generator().manual_seed(seed)
    left, right = (torch.linalg.qr(torch.randn(d, d, generator=g))[0] for _ in range(2))
    matrix = left * torch.logspace(-0.5, 0.5, d) @ right
    return Jacobian(matrix, *hooks, torch.zeros(d), torch.zeros(d))


def after(sae: SAE, jacobian: Jacobian, order: np.ndarray) -> SAE:
    """The same features behind the map: feature i is `order[i]` there."""
    back = np.argsort(order)
    inverse = torch.linalg.inv(jacobian.matrix)
    return at(
        sae,
        jacobian.target,
        W_dec=(sae.W_dec @ jacobian.matrix.T)[back],
        W_enc=(inverse.T @ sae.W_enc)[:, back],
    )


@pytest.fixture
def world():
    """Two SAEs, the Jacobian between them, and the permutation that was planted."""
    a = at(make_sae(d_in=24, d_sae=60, seed=1), HOOKS[0])
    jacobian = a_map(24, seed=2)
    order = np.random.default_rng(3).permutation(60)
    assert (order[order] != np.arange(60)).any()
    return a, after(a, jacobian, order), jacobian, order


def test_finds_what_a_linear_map_hides(world):
    a, b, jacobian, order = world
    found = match(a, b, "carried", jacobian=jacobian)
    assert (found.target.numpy() == order).all()
    assert found.matched.all()
    torch.testing.assert_close(found.score, ONES)
    assert (match(a, b, "cosine").target.numpy() == order).mean() < 0.2
    many = match(a, b, "carried", kind="many-to-one", jacobian=jacobian)
    assert (many.target.numpy() == order).all()


def test_from_the_later_sae_to_the_earlier(world):
    a, b, jacobian, order = world
    forward = match(a, b, "carried", jacobian=jacobian)
    backward = match(b, a, "carried", jacobian=jacobian)
    assert (backward.target.numpy() == np.argsort(order)).all()
    torch.testing.assert_close(forward.inverse().score, backward.score)
    torch.testing.assert_close(backward.score, ONES)


def test_chains_carry_through_both_maps(world):
    a, b, jacobian, order = world
    second = a_map(24, 5, HOOKS[1:])
    turn = np.random.default_rng(6).permutation(60)
    c = after(b, second, turn)
    first, then = (
        match(*pair, "carried", jacobian=j) for *pair, j in ((a, b, jacobian), (b, c, second))
    )
    both = first.compose(then)
    assert (both.target.numpy() == turn[order]).all()
    torch.testing.assert_close(both.score, ONES, atol=1e-4, rtol=1e-4)
    back = then.inverse().compose(first.inverse())
    torch.testing.assert_close(back.score, ONES, atol=1e-4, rtol=1e-4)


def test_views_carry_what_is_written_forward_and_what_is_read_back(world):
    a, b, jacobian, _ = world
    method = match(a, b, "carried", jacobian=jacobian).method
    x, y, widths = stack(a, b, method.views, Evidence.of(a, b, jacobian=jacobian))
    unit = torch.nn.functional.normalize
    root = 0.5**0.5
    expected = [unit(a.W_dec @ jacobian.matrix.T), unit(a.W_enc.T)]
    torch.testing.assert_close(x, root * torch.cat(expected, 1))
    expected = [unit(b.W_dec), unit(b.W_enc.T @ jacobian.matrix)]
    torch.testing.assert_close(y, root * torch.cat(expected, 1))
    assert widths == (24, 24)


def test_between_seeds_of_one_site_nothing_is_carried(world):
    a, _, _, _ = world
    other = at(make_sae(d_in=24, d_sae=60, seed=9), HOOKS[0])
    plain = match(a, other, "weighted", views="unit-decoder:0.5,unit-encoder:0.5")
    torch.testing.assert_close(match(a, other, "carried").score, plain.score)


def test_unrelated_dictionaries_are_not_matched_whatever_stands_between(world):
    a, b, jacobian, _ = world
    g = torch.Generator().manual_seed(8)
    turn = torch.linalg.qr(torch.randn(24, 24, generator=g))[0]
    turned = dataclasses.replace(b, W_dec=b.W_dec @ turn, W_enc=turn.T @ b.W_enc)
    assert match(a, turned, "carried", jacobian=jacobian).n_matched == 0


def test_fused_learns_which_similarity_to_trust(world):
    a, b, jacobian, order = world
    one, other = _together(60, order)
    plain = match(a, b, "fused", activations=(one, other))
    both = match(a, b, "fused", activations=(one, other), jacobian=jacobian)
    assert (both.target.numpy() == order).mean() == 1.0 > (plain.target.numpy() == order).mean()
    evidence = Evidence.of(a, b, (one, other), jacobian)
    similar = similarities(fused().views, evidence)
    known = expectation(a, b, similar, evidence)
    assert known.slopes[1] > 0.3 > known.slopes[0]
    assert "of weights carried by the model" in both.notes[0]


def test_fused_without_need_of_it_is_as_without_it(world):
    # where nothing stands between, both similarities are one, and matches are the same
    a, _, _, _ = world
    order = np.random.default_rng(3).permutation(60)
    back = np.argsort(order)
    b = at(a, HOOKS[1], W_dec=a.W_dec[back], W_enc=a.W_enc[:, back])
    nothing = Jacobian(torch.eye(24), *HOOKS[:2], torch.zeros(24), torch.zeros(24))
    one, other = _together(60, order)
    plain = match(a, b, "fused", activations=(one, other))
    both = match(a, b, "fused", activations=(one, other), jacobian=nothing)
    torch.testing.assert_close(plain.score, both.score, atol=1e-4, rtol=1e-4, equal_nan=True)


def _together(features: int, order: np.ndarray) -> tuple[FeatureActivations, FeatureActivations]:
    """Activations, so few that they alone say little, of features that fire alike."""
    rng = np.random.default_rng(4)
    rates = rng.uniform(0.02, 0.05, features)
    fires = (rng.random((600, features)) < rates) * rng.uniform(1, 2, (600, features))
    there = np.zeros_like(fires)
    there[:, order] = fires * (rng.random(fires.shape) < 0.2)
    example = np.arange(600, dtype=np.int32) // 50
    return tuple(
        FeatureActivations(sp.csr_array(some.astype(np.float32)), example)
        for some in (fires, there)
    )  # pyright: ignore[reportReturnType]


def test_saved_and_loaded(world, tmp_path):
    a, b, jacobian, _ = world
    found = match(a, b, "carried", jacobian=jacobian)
    found.save(tmp_path / "m.safetensors")
    again = Matching.load(tmp_path / "m.safetensors", a, b, jacobian=jacobian)
    torch.testing.assert_close(again.inverse().score, found.inverse().score)
    jacobian.save(tmp_path / "j.safetensors")
    kept = Jacobian.load(tmp_path / "j.safetensors")
    assert (kept.source, kept.target) == (jacobian.source, jacobian.target)
    assert torch.equal(kept.matrix, jacobian.matrix)


def test_what_is_wrong_is_said(world):
    a, b, jacobian, _ = world
    with pytest.raises(MatchError, match=r"carries directions through the model.*--model"):
        match(a, b, "carried")
    elsewhere = dataclasses.replace(jacobian, target=HOOKS[2])
    with pytest.raises(MatchError, match=f"to {HOOKS[2]}; .* reads {HOOKS[0]}, .* {HOOKS[1]}"):
        match(a, b, "carried", jacobian=elsewhere)
    wide = Jacobian(torch.zeros(24, 12), *HOOKS[:2], torch.zeros(12), torch.zeros(24))
    with pytest.raises(MatchError, match=r"shape \(24, 12\).* must be \(24, 24\)"):
        match(a, b, "carried", jacobian=wide)

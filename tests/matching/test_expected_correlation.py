"""Activations as evidence: views over tokens, Pearson and fused methods, and their null."""

import dataclasses

import numpy as np
import pytest
import scipy.sparse as sp
import torch

from saematch import MatchError
from saematch.activations import FeatureActivations
from saematch.activations.table import joined
from saematch.matching import match
from saematch.matching.evidence import Evidence
from saematch.matching.expected_correlation import (
    Expectation,
    _fitted,
    _kinds,
    _Split,
    expectation,
)
from saematch.matching.methods import fused, resolve
from saematch.matching.problem import SILENT
from saematch.matching.views import View, feature_vectors, parse_views, stack
from support.saes import make_sae

EXAMPLES, LENGTH = 60, 50


def sparse_activations(values: np.ndarray, length: int = LENGTH) -> FeatureActivations:
    example = np.arange(len(values), dtype=np.int32) // length
    return FeatureActivations(sp.csr_array(values.astype(np.float32)), example)


def planted(features: int = 40, noise: float = 0.6, seed: int = 0, frequent: float = 0.15):
    """Two SAEs whose features fire alike under a permutation, weights that half agree with it."""
    rng = np.random.default_rng(seed)
    tokens = EXAMPLES * LENGTH
    rates = rng.uniform(0.01, frequent, features)
    common = (rng.random((tokens, features)) < rates) * rng.uniform(1, 2, (tokens, features))
    order = rng.permutation(features)
    assert (order[order] != np.arange(features)).any()
    there = np.zeros_like(common)
    there[:, order] = common * (rng.random(common.shape) < 0.8)
    a = make_sae(d_in=16, d_sae=features, seed=seed)
    dec = torch.empty_like(a.W_dec)
    enc = torch.empty_like(a.W_enc)
    generator = torch.Generator().manual_seed(seed)
    dec[order] = a.W_dec + noise * torch.randn(a.W_dec.shape, generator=generator)
    enc[:, order] = a.W_enc + noise * torch.randn(a.W_enc.shape, generator=generator)
    b = dataclasses.replace(a, W_dec=dec, W_enc=enc)
    return a, b, sparse_activations(common), sparse_activations(there), order


def dense_pearson(a: FeatureActivations, b: FeatureActivations) -> np.ndarray:
    both = np.corrcoef(a.matrix.toarray().T, b.matrix.toarray().T)
    return np.nan_to_num(both[: a.d_sae, a.d_sae :])


@pytest.mark.filterwarnings("ignore:invalid value")
def test_unit_activations_have_pearson_correlations_for_inner_products():
    a, b, one, other, _ = planted()
    x, y, widths = stack(a, b, (View("activation", normalised=True),), Evidence((one, other)))
    assert widths == (one.n_tokens,)
    np.testing.assert_allclose((x @ y.T).numpy(), dense_pearson(one, other), atol=1e-5)


def test_shrinkage_by_hand():
    a = make_sae(d_in=2, d_sae=2)
    some = sparse_activations(np.array([[1.0, 0.0], [2.0, 0.0], [0.0, 0.0], [3.0, 0.0]]))
    plain, shrunk = (View("decoder", shrinkage=k) for k in (None, 6.0))
    rows = feature_vectors(a, plain)
    # three firings of six more: the root of a third; none: nothing is left
    expected = torch.stack([rows[0] * (3 / 9) ** 0.5, 0 * rows[1]])
    torch.testing.assert_close(feature_vectors(a, shrunk, some), expected)


def test_views_over_activations_are_read_as_they_are_written():
    views = parse_views("unit-activation~10:0.5, decoder, constant~2.5:-1")
    assert views == (
        View("activation", True, 0.5, 10.0),
        View("decoder"),
        View("constant", weight=-1.0, shrinkage=2.5),
    )
    assert ",".join(map(str, views)) == "unit-activation~10:0.5,decoder,constant~2.5:-1"
    with pytest.raises(MatchError, match="'x' of view 'decoder~x'"):
        parse_views("decoder~x")
    with pytest.raises(MatchError, match="number of firings"):
        View("decoder", shrinkage=-1.0)


@pytest.mark.parametrize("method", ["pearson", "fused"])
def test_finds_a_planted_permutation(method):
    a, b, one, other, order = planted()
    found = match(a, b, method, activations=(one, other))
    assert (found.target.numpy() == order).all()
    assert found.matched.float().mean() > 0.9
    back = found.inverse()
    assert (back.target.numpy() == np.argsort(order)).all()
    through = found.compose(back)
    assert (through.target.numpy()[found.matched] == np.arange(a.d_sae)[found.matched]).all()


def test_fused_score_is_the_expected_correlation():
    a, b, one, other, _ = planted()
    found = match(a, b, "fused", kind="many-to-one", activations=(one, other))
    views = fused().views
    known = expectation(a, b, [views], Evidence((one, other)))
    x, y, _ = stack(a, b, views)
    alike = (x @ y.T).double().numpy()
    n = [some.counts() / (some.counts() + known.firings) for some in (one, other)]
    weight = known.trust * np.sqrt(np.outer(*n))
    seen = dense_pearson(one, other)
    expected = (1 - weight) * (known.intercept + known.slopes[0] * alike) + weight * seen
    np.testing.assert_array_equal(found.target.numpy(), expected.argmax(1))
    # but for the intercept, which all pairs share
    np.testing.assert_allclose(found.score.numpy() + known.intercept, expected.max(1), atol=1e-5)
    assert any(note.endswith(str(known)) for note in found.notes)


def test_moments_of_planted_noise_are_found():
    rng = np.random.default_rng(3)
    pairs, noise, spread, line = 20_000, 0.4, 0.04, (-0.3, 1.5)
    alike = rng.uniform(0.2, 0.9, pairs)
    truth = line[0] + line[1] * alike + rng.normal(0, spread**0.5, pairs)
    n_1, n_2 = (rng.integers(1, 100, pairs).astype(float) for _ in range(2))
    r_1, r_2 = (truth + rng.normal(0, np.sqrt(noise / n)) for n in (n_1, n_2))
    seen = (r_1 * n_1 + r_2 * n_2) / (n_1 + n_2)
    halves = _Split(np.stack([r_1, r_2]), np.stack([n_1, n_2]))
    found = _fitted(alike[:, None], _Split(seen[None], (n_1 + n_2)[None]), halves, halves)
    assert found.intercept == pytest.approx(line[0], abs=0.03)
    assert found.slopes[0] == pytest.approx(line[1], abs=0.05)
    assert found.firings == pytest.approx(noise / spread, rel=0.1)
    assert found.trust == pytest.approx(1, abs=0.01)


def test_trust_is_the_share_of_departures_that_kinds_of_text_share():
    rng = np.random.default_rng(5)
    pairs, noise, spread, kindred = 20_000, 0.4, 0.04, 0.02
    truth = 0.4 + rng.normal(0, spread**0.5, pairs)
    kinds = truth + rng.normal(0, kindred**0.5, (2, pairs))
    fired = rng.integers(1, 100, (2, pairs)).astype(float)
    seen = [level + rng.normal(0, np.sqrt(noise / fired)) for level in (kinds, kinds.mean(0))]
    parts = [_Split(some, fired) for some in seen]
    whole = _Split(seen[1].mean(axis=0)[None], fired.sum(axis=0)[None])
    found = _fitted(rng.uniform(0, 1, (pairs, 1)), whole, parts[1], parts[0])
    assert found.trust == pytest.approx(spread / (spread + kindred / 2), abs=0.05)
    shares = found.trust * whole.fired / (whole.fired + found.firings)
    assert found.shares[0] == pytest.approx(shares.mean())


def test_kinds_of_text_are_told_apart_by_what_fires():
    rng = np.random.default_rng(6)
    kind = rng.random(EXAMPLES) < 0.4
    rates = np.where(np.arange(20) % 2, 0.2, 0.02)
    rates = np.stack([rates, rates[::-1]])[kind.astype(int)].repeat(LENGTH, axis=0)
    some = sparse_activations((rng.random(rates.shape) < rates) * 1.0)
    one, other = _kinds((some, some))
    np.testing.assert_array_equal(one, ~other)
    assert (one[::LENGTH] == kind).all() or (other[::LENGTH] == kind).all()


def test_only_generated_text_is_trusted_less():
    a, b, one, other, _ = planted()
    given = expectation(a, b, [fused().views], Evidence((one, other)))
    assert given.trust == 1
    assert "kinds" not in str(given)
    # the second half of the text is of another kind, in which features of B are others
    away = other.matrix.toarray()
    away[len(away) // 2 :] = np.roll(away[len(away) // 2 :], 1, axis=1)
    made = [dataclasses.replace(some, generated=True) for some in (one, sparse_activations(away))]
    found = expectation(a, b, [fused().views], Evidence((made[0], made[1])))
    assert found.trust < 1
    assert f"share {found.trust:.0%} of what they show" in str(found)
    assert made[0].take(slice(100)).generated
    assert joined([made[0], one]).generated


@pytest.mark.parametrize("examples", [1, 2, 3])
def test_kinds_of_few_and_equal_examples(examples: int):
    some = sparse_activations(np.tile([[1.0, 0.0], [0.0, 1.0]], (LENGTH * examples // 2, 1)))
    one, other = _kinds((some, some))
    np.testing.assert_array_equal(one, ~other)


def test_weights_that_foretell_nothing_are_left_out():
    rng = np.random.default_rng(4)
    alike = rng.uniform(0, 1, 500)
    seen = 0.5 - 0.3 * alike + rng.normal(0, 0.01, 500)
    halves = _Split(np.stack([seen, seen]), np.full((2, 500), 50.0))
    found = _fitted(alike[:, None], _Split(seen[None], np.full((1, 500), 100.0)), halves, halves)
    assert (found.intercept, found.slopes) == (0.0, (0.0,))
    views = found.method(fused(), [fused().views]).views
    assert [view.vectors for view in views] == ["activation"]


def test_the_more_activations_the_less_weights_count():
    method = Expectation(-0.2, (1.5,), firings=10.0).method(fused(), [fused().views])
    assert not method.expects
    assert [str(view) for view in method.views] == [
        "unit-decoder:0.75",
        "unit-encoder:0.75",
        "unit-decoder~10:-0.75",
        "unit-encoder~10:-0.75",
        "constant~10:0.2",
        "unit-activation~10",
    ]


def test_what_is_not_trusted_counts_less():
    method = Expectation(-0.2, (1.5,), 10.0, trust=0.5).method(fused(), [fused().views])
    assert [str(view) for view in method.views][2:] == [
        "unit-decoder~10:-0.375",
        "unit-encoder~10:-0.375",
        "constant~10:0.1",
        "unit-activation~10:0.5",
    ]


@pytest.mark.parametrize("method", ["pearson", "fused"])
def test_other_times_match_nothing(method):
    """Activations of unrelated features, with bursts and rare features: all matches are false."""
    rng = np.random.default_rng(5)
    sides = []
    for _ in range(2):
        features, tokens = 300, 4000
        bursts = np.repeat(rng.random((tokens // 50, features)) < 0.3, 50, axis=0)
        rates = rng.choice([0.001, 0.01, 0.1], features)
        fires = bursts & (rng.random((tokens, features)) < rates)
        sides.append(sparse_activations(fires * rng.exponential(1.0, fires.shape)))
    a, b = (make_sae(d_in=24, d_sae=300, seed=seed) for seed in (0, 1))
    found = match(a, b, method, activations=(sides[0], sides[1]))
    assert found.n_matched <= 2


def test_a_coincidence_of_rare_features_is_no_match_of_pearson():
    a, b, one, other, _ = planted()
    values = [some.matrix.toarray() for some in (one, other)]
    for side, feature in zip(values, (3, 9), strict=True):
        side[:, feature] = 0
        side[[100, 2000], feature] = 1.0
    sides = sparse_activations(values[0]), sparse_activations(values[1])
    found = match(a, b, "pearson", activations=sides)
    assert found.target[3] == 9
    assert found.score[3] == pytest.approx(1.0)
    assert found.p_value[3] == 1.0
    assert not found.matched[3]


def test_a_rare_target_is_no_match_of_pearson_either():
    a, b, one, other, _ = planted()
    values = [some.matrix.toarray() for some in (one, other)]
    for side, feature, tokens in zip(values, (3, 9), (range(5), range(4)), strict=True):
        side[:, feature] = 0
        side[[100 + 300 * t for t in tokens], feature] = 1.0
    sides = sparse_activations(values[0]), sparse_activations(values[1])
    found = match(a, b, "pearson", kind="many-to-one", activations=sides)
    assert found.target[3] == 9
    assert found.p_value[3] == 1.0


def test_what_does_not_fit_in_memory_is_said_beforehand(monkeypatch):
    a, b, one, other, _ = planted()
    monkeypatch.setattr("saematch.matching.problem.available_memory", lambda: 1_440_000)
    # 6 x 4 bytes x 3,000 tokens x 40 features are twice that
    with pytest.raises(MatchError, match="at most 1,500 tokens"):
        match(a, b, "pearson", activations=(one, other))


def test_composed_matchings_are_of_the_same_tokens():
    a, b, one, other, _ = planted()
    first = match(a, b, "pearson", activations=(one, other))
    fewer = (other.take(slice(0, 1500)), one.take(slice(0, 1500)))
    second = match(b, a, "pearson", activations=fewer)
    with pytest.raises(MatchError, match="of the same text"):
        first.compose(second)


def test_features_that_never_fire_are_left_out_of_pearson_alone():
    a, b, one, other, _ = planted()
    values = one.matrix.toarray()
    values[:, 7] = 0
    silent = sparse_activations(values)
    found = match(a, b, "pearson", activations=(silent, other))
    assert found.target[7] == -1
    assert found.excluded[0][SILENT].nonzero().flatten().tolist() == [7]
    together = match(a, b, "fused", activations=(silent, other))
    assert together.target[7] >= 0


def test_errors():
    a, b, one, other, _ = planted()
    with pytest.raises(MatchError, match="give the activations of both SAEs"):
        match(a, b, "pearson")
    with pytest.raises(MatchError, match=r"of the same text"):
        match(a, b, "fused", activations=(one, other.take(slice(0, 500))))
    few = make_sae(d_in=16, d_sae=5)
    with pytest.raises(MatchError, match="of 40"):
        match(few, b, "pearson", activations=(one, other), any_site=True)
    with pytest.raises(MatchError, match="give more tokens"):
        match(a, b, "fused", activations=(one.take(slice(0, 40)), other.take(slice(0, 40))))
    with pytest.raises(MatchError, match="made of activations"):
        feature_vectors(a, View("activation"))


def test_weighted_methods_may_hold_activations():
    a, b, one, other, order = planted()
    method = resolve("weighted", views="unit-decoder:1,unit-activation~5:1")
    assert method.needs_activations
    found = match(a, b, method, activations=(one, other))
    assert (found.target.numpy() == order).mean() > 0.9


def test_parts_join_and_take():
    _, _, one, _, _ = planted()
    parts = [one.take(slice(0, 1000)), one.take(slice(1000, None))]
    parts = [FeatureActivations(p.matrix, p.example - p.example[0]) for p in parts]
    again = joined(parts)
    assert again.same_tokens(one)
    np.testing.assert_array_equal(again.matrix.toarray(), one.matrix.toarray())
    with pytest.raises(Exception, match="ascending"):
        FeatureActivations(one.matrix, one.example[::-1])


def test_the_numbers_of_examples_change_nothing():
    # as where some tokens are taken of a store: every other example, say
    a, b, x, y, _ = planted(noise=0.1, frequent=0.4)
    views = parse_views("unit-decoder:0.5,unit-encoder:0.5")
    apart = (
        dataclasses.replace(x, example=2 * x.example + 1),
        dataclasses.replace(y, example=2 * y.example + 1),
    )
    expected = expectation(a, b, [views], Evidence((x, y)))
    assert 1 < expected.firings < 1000  # within the limits, so that halves count
    assert expectation(a, b, [views], Evidence(apart)) == expected

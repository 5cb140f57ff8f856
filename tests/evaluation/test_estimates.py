"""Estimates against what can be worked out by hand, and against a planted truth."""

import dataclasses

import pytest
import torch

from saematch import MatchError, SaematchError, fold, match, rescale
from saematch.evaluation import FeaturePairs, HiddenStates, baselines, carried, partial
from saematch.evaluation.estimates import by_jacobian, of_pairs, transported
from saematch.evaluation.fits import Fit
from saematch.matching.feature_map import FeatureMap
from saematch.models.jacobian import Jacobian
from saematch.sae.folding import Fold
from support.saes import make_sae, permuted
from support.small_model import CYCLE


def pairing(a, b, target, matched=None, mse=None, how: Fold = "none"):
    matched = target >= 0 if matched is None else matched
    pairs = FeatureMap.of(target, b.d_sae, matched)
    mse = torch.zeros(len(target)) if mse is None else mse
    return FeaturePairs(a, b, pairs, mse[pairs.source], how)


@pytest.fixture
def pair():
    return make_sae(seed=0), make_sae(seed=1, layer=2)


@pytest.fixture
def states(pair, inputs):
    return HiddenStates(
        pair[0], pair[1], inputs, inputs.flip(0) * 1.1, torch.zeros(len(inputs), dtype=torch.int64)
    )


def test_baselines_are_what_they_are_called(pair, states):
    a, b = pair
    weight, bias = torch.randn(32, 32), torch.randn(32)
    fit = Fit(torch.arange(32.0), weight, bias, 0.0, 1)
    found = {e.name: e.make(states) for e in baselines(fit)}
    assert torch.equal(found["drop"], states.x_a)
    assert torch.equal(found["encode-decode target"], b.reconstruct(states.x_b))
    assert torch.equal(found["encode-decode source"], a.reconstruct(states.x_a))
    assert torch.equal(found["mean"], torch.arange(32.0).expand(64, 32))
    torch.testing.assert_close(found["least squares"], states.x_a @ weight + bias)


def test_a_jacobian_carries_what_departs_from_the_mean(pair, states):
    J, before, after = torch.randn(32, 32), torch.randn(32), torch.randn(32)
    found = {e.name: e.make(states) for e in by_jacobian(Jacobian(J, "a", "b", before, after))}
    torch.testing.assert_close(found["jacobian"], after + (states.x_a - before) @ J.T)
    # that is A's activations decoded by rows that J has carried
    carried = dataclasses.replace(pair[0], W_dec=pair[0].W_dec @ J.T)
    rest = after + (pair[0].b_dec - before) @ J.T - pair[0].b_dec
    torch.testing.assert_close(
        found["carried decoder"], carried.decode(states.f_a) + rest, atol=1e-3, rtol=1e-4
    )


@pytest.mark.parametrize("activation", ["jumprelu", "relu", "topk", "batchtopk"])
def test_a_planted_permutation_gives_back_what_the_sae_itself_does(activation, inputs):
    a = make_sae(activation=activation)
    scale = torch.linspace(0.5, 3, 96)
    b = rescale(permuted(a, CYCLE), scale)
    if activation == "topk":
        b = dataclasses.replace(b, selection_scale=scale)
    how = "threshold" if activation == "jumprelu" else "decoder-norm"
    # the permutation, found by its own matching: orientation is tested with it
    found = FeaturePairs.of(match(a, b, "sae-match", fold=how))
    assert torch.equal(found.map.targets, CYCLE)
    states = HiddenStates(a, b, inputs, inputs, torch.zeros(len(inputs), dtype=torch.int64))
    itself = a.reconstruct(inputs)
    torch.testing.assert_close(b.reconstruct(inputs), itself, rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(carried(found).make(states), itself, rtol=1e-3, atol=1e-3)
    off = (carried(found, by="none").make(states) - itself).abs().max()
    assert off > 0.1 * itself.abs().max()
    back = dataclasses.replace(found, map=FeatureMap.of(CYCLE.argsort(), 96))
    assert (carried(back).make(states) - itself).abs().max() > 0.1 * itself.abs().max()


def test_features_of_one_target_add_up(pair, states):
    a, b = pair
    target = torch.full((96,), -1)
    target[[3, 5, 8]] = torch.tensor([7, 7, 2])
    ratio = b.threshold[[7, 7, 2]] / a.threshold[[3, 5, 8]]
    f = a.encode(states.x_a)
    by_hand = b.b_dec + (f[:, [3]] * ratio[0] + f[:, [5]] * ratio[1]) * b.W_dec[7]
    by_hand = by_hand + f[:, [8]] * ratio[2] * b.W_dec[2]
    found = carried(pairing(a, b, target, how="threshold")).make(states)
    torch.testing.assert_close(found, by_hand, rtol=1e-4, atol=1e-4)


def test_links_beyond_chance_leave_the_others_out(pair, states):
    a, b = pair
    target, matched = CYCLE.clone(), torch.arange(96) < 20
    found = carried(pairing(a, b, target, matched), "matched").make(states)
    f = a.encode(states.x_a)
    by_hand = f[:, :20] @ b.W_dec[CYCLE[:20]] + b.b_dec
    torch.testing.assert_close(found, by_hand, rtol=1e-4, atol=1e-4)


def test_partial_sends_the_nearest_share_ahead_and_leaves_the_rest(pair, states):
    a, b = pair
    mse = torch.rand(96, generator=torch.Generator().manual_seed(3))
    found = pairing(a, b, CYCLE, mse=mse, how="threshold")
    ratio = b.threshold[CYCLE] / a.threshold
    near = mse <= mse.sort().values[23]
    f = a.encode(states.x_a)
    by_hand = (f * near * ratio) @ b.W_dec[CYCLE] + (f * ~near) @ a.W_dec + b.b_dec
    torch.testing.assert_close(partial(found, 0.25).make(states), by_hand, rtol=1e-4, atol=1e-3)
    whole = carried(found).make(states)
    torch.testing.assert_close(partial(found, 1.0).make(states), whole, rtol=1e-4, atol=1e-3)
    own = a.reconstruct(states.x_a) - a.b_dec + b.b_dec
    torch.testing.assert_close(partial(found, 0.0).make(states), own, rtol=1e-4, atol=1e-3)


def test_with_the_error_a_match_is_a_step_from_where_one_is(pair, states):
    a, b = pair
    found = pairing(a, b, CYCLE, how="threshold")
    ratio = (b.threshold[CYCLE] / a.threshold)[:, None]
    step = states.f_a @ (ratio * b.W_dec[CYCLE] - a.W_dec) + b.b_dec - a.b_dec
    got = carried(found, with_error=True).make(states)
    torch.testing.assert_close(got, states.x_a + step, rtol=1e-4, atol=1e-3)


def test_saes_that_normalise_write_in_the_scale_of_what_was_read(inputs):
    a = make_sae(normalisation="layer_norm")
    b = make_sae(seed=1, normalisation="layer_norm")
    states = HiddenStates(a, b, inputs, inputs, torch.zeros(len(inputs), dtype=torch.int64))
    shift, scale = inputs.mean(-1, keepdim=True), inputs.std(-1, keepdim=True)
    by_hand = (states.f_a @ b.W_dec[CYCLE] + b.b_dec) * scale + shift
    got = carried(pairing(a, b, CYCLE)).make(states)
    torch.testing.assert_close(got, by_hand, rtol=1e-3, atol=1e-2)
    own = (states.f_a @ a.W_dec + b.b_dec) * scale + shift
    got = partial(pairing(a, b, CYCLE), 0.0).make(states)
    torch.testing.assert_close(got, own, rtol=1e-3, atol=1e-2)


def test_a_chain_is_the_product_of_its_steps(pair):
    import numpy as np

    a, b = pair
    first, second = np.array([*range(95, -1, -1)]), CYCLE.numpy()
    second = np.where(second == 4, -1, second)
    ones = np.ones(96, bool)
    some = ones.copy()
    some[10] = False
    steps = [
        FeatureMap.of(torch.from_numpy(target), 96, torch.from_numpy(matched))
        for target, matched in ((first, some), (second, ones))
    ]
    found = FeaturePairs.chained(a, b, steps)
    by_hand = [second[first[i]] for i in range(96)]
    assert found.map.targets.tolist() == by_hand
    lost = [i for i in range(96) if i == 10 or by_hand[i] == -1]
    assert (~found.matched).nonzero()[:, 0].tolist() == lost
    assert found.fold == "threshold"


def test_a_transport_is_anything_that_applies(pair, states):
    class Twice:
        def apply(self, f, example):
            assert example is states.example
            return 2 * f

    alone = 2 * states.f_a @ pair[1].W_dec + pair[1].b_dec
    torch.testing.assert_close(transported(Twice()).make(states), alone)
    torch.testing.assert_close(
        transported(Twice(), with_error=True).make(states), alone + states.error
    )


def test_labels_tell_estimates_apart(pair):
    every = of_pairs(pairing(pair[0], pair[1], CYCLE, how="threshold"), quantiles=(0.25, 0.5))
    labels = [estimate.label for estimate in every]
    assert len(set(labels)) == len(labels)
    assert "partial, q = 0.25" in labels
    assert "match, significant, not rescaled" in labels


def test_shares_are_shares(pair):
    with pytest.raises(SaematchError, match=r"quantile is 1\.5"):
        partial(pairing(pair[0], pair[1], CYCLE), 1.5)


def test_rescaling_by_activation_uses_what_is_given(pair):
    a, b = pair
    typical = torch.arange(1.0, 97), torch.full((96,), 2.0)
    cycle = FeatureMap.of(CYCLE, 96)
    moved = cycle.rescaled(a, b, "activation", typical).apply(torch.arange(1.0, 97))
    torch.testing.assert_close(moved, torch.full((96,), 2.0))
    with pytest.raises(MatchError, match="activation statistics"):
        cycle.rescaled(a, b, "activation")


def test_what_is_carried_and_decoded_is_what_a_pulled_decoder_writes(pair, states):
    a, b = pair
    target = torch.where(torch.arange(96) % 5 == 0, -1, CYCLE // 2)  # two to one, and some to none
    across = FeatureMap.of(target, 96).rescaled(a, b, "threshold")
    both = across.apply(states.f_a) @ b.W_dec, states.f_a @ across.pull(b.W_dec)
    torch.testing.assert_close(*both, rtol=1e-4, atol=1e-3)


def test_folded_or_not_an_sae_carries_the_same(pair, states):
    a, b = pair
    found = carried(pairing(a, b, CYCLE, how="threshold")).make(states)
    one, other = fold(a), fold(b)
    again = HiddenStates(one, other, states.x_a, states.x_b, states.example)
    folded = carried(pairing(one, other, CYCLE)).make(again)
    torch.testing.assert_close(folded, found, rtol=1e-3, atol=1e-3)

"""The laws of maps between features: those of sparse matrices with one entry per row."""

from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from saematch import MatchError
from saematch.matching.feature_map import FeatureMap
from support.saes import make_sae

SIZES = st.integers(1, 7)


@st.composite
def maps(draw, d_sae_a: int | None = None, d_sae_b: int | None = None, one_to_one: bool = False):
    """A map between few features, so that targets are shared and missing often."""
    n = draw(SIZES) if d_sae_a is None else d_sae_a
    m = draw(SIZES) if d_sae_b is None else d_sae_b
    if one_to_one:
        places = draw(st.permutations(range(max(n, m))))[:n]
        target = [j if j < m else -1 for j in places]
    else:
        target = draw(st.lists(st.integers(-1, m - 1), min_size=n, max_size=n))
    matched = draw(st.lists(st.booleans(), min_size=n, max_size=n))
    plain = FeatureMap.of(torch.tensor(target), m, torch.tensor(matched))
    # powers of two: products and inverses of ratios are exact
    powers = draw(st.lists(st.integers(-3, 3), min_size=n, max_size=n))
    ratio = 2.0 ** torch.tensor(powers[: len(plain.source)], dtype=torch.float64)
    return FeatureMap(plain.source, plain.target, ratio, plain.matched, n, m)


@st.composite
def chains(draw, length: int, one_to_one: bool = False):
    """Maps of which each starts where the one before ends."""
    sizes = [draw(SIZES) for _ in range(length + 1)]
    return [draw(maps(n, m, one_to_one)) for n, m in pairwise(sizes)]


def vectors(*shape: int) -> torch.Tensor:
    g = torch.Generator().manual_seed(0)
    return torch.randint(-8, 9, shape, generator=g).double()


def matrix(m: FeatureMap) -> torch.Tensor:
    out = torch.zeros(m.d_sae_a, m.d_sae_b, dtype=torch.float64)
    for i, j, ratio in zip(m.source.tolist(), m.target.tolist(), m.ratio.tolist(), strict=True):
        out[i, j] = ratio
    return out


def same(one: FeatureMap, other: FeatureMap) -> bool:
    pairs = [
        sorted(zip(*(x.tolist() for x in (m.source, m.target, m.ratio, m.matched)), strict=True))
        for m in (one, other)
    ]
    sizes = [(m.d_sae_a, m.d_sae_b) for m in (one, other)]
    return pairs[0] == pairs[1] and sizes[0] == sizes[1]


@given(maps())
def test_a_map_is_its_matrix(m):
    f, W_dec = vectors(3, 2, m.d_sae_a), vectors(m.d_sae_b, 4)
    assert torch.equal(m.apply(f), f @ matrix(m))
    assert torch.equal(m.pull(W_dec), matrix(m) @ W_dec)
    # transposition: to move activations is to pull the decoder back
    assert torch.equal(m.apply(f) @ W_dec, f @ m.pull(W_dec))


@given(chains(2))
def test_to_apply_a_chain_is_to_apply_its_maps(chain):
    first, second = chain
    f, W_dec = vectors(5, first.d_sae_a), vectors(second.d_sae_b, 3)
    both = first.then(second)
    assert torch.equal(both.apply(f), second.apply(first.apply(f)))
    assert torch.equal(both.pull(W_dec), first.pull(second.pull(W_dec)))
    assert torch.equal(matrix(both), matrix(first) @ matrix(second))
    # a pair of a chain is significant where each of its links is
    assert same(both.only("matched"), first.only("matched").then(second.only("matched")))


@given(chains(3))
def test_chains_are_associative(chain):
    first, second, third = chain
    assert same(first.then(second).then(third), first.then(second.then(third)))


@given(maps())
def test_the_identity_changes_nothing(m):
    assert same(FeatureMap.identity(m.d_sae_a).then(m), m)
    assert same(m.then(FeatureMap.identity(m.d_sae_b)), m)
    f = vectors(2, m.d_sae_a)
    assert torch.equal(FeatureMap.identity(m.d_sae_a).apply(f), f)


@given(maps(one_to_one=True))
def test_an_inverse_undoes_a_map_where_it_goes(m):
    back = m.inverse()
    assert same(back.inverse(), m)
    there = m.then(back)
    assert there.targets[m.source].tolist() == m.source.tolist()
    assert (there.ratio == 1).all()
    f = vectors(4, m.d_sae_a)
    kept = torch.zeros(m.d_sae_a, dtype=torch.bool)
    kept[m.source] = True
    assert torch.equal(back.apply(m.apply(f)), torch.where(kept, f, 0))


@given(chains(2, one_to_one=True))
def test_the_inverse_of_a_chain_is_the_chain_of_inverses_backwards(chain):
    first, second = chain
    assert same(first.then(second).inverse(), second.inverse().then(first.inverse()))


@given(maps())
def test_targets_make_the_map_again(m):
    again = FeatureMap.of(m.targets, m.d_sae_b)
    assert again.source.tolist() == m.source.tolist()
    assert again.target.tolist() == m.target.tolist()


def test_what_has_no_inverse_and_what_does_not_follow():
    shared = FeatureMap.of(torch.tensor([1, 1, -1]), 2)
    with pytest.raises(MatchError, match="many-to-one map has no inverse"):
        shared.inverse()
    with pytest.raises(MatchError, match="ends at 2 features, the next starts from 3"):
        shared.then(shared)
    with pytest.raises(MatchError, match=r"f is \(2,\); expected a tensor with 3 activations"):
        shared.apply(torch.ones(2))


def test_ratios_are_those_of_the_scales_and_telescope():
    a, b, c = (make_sae(seed=seed, d_sae=8) for seed in range(3))
    ab, bc = (FeatureMap.of(torch.arange(8).roll(shift), 8) for shift in (1, 3))
    for by in ("threshold", "decoder-norm"):
        steps = ab.rescaled(a, b, by).then(bc.rescaled(b, c, by))
        torch.testing.assert_close(steps.ratio, ab.then(bc).rescaled(a, c, by).ratio)
    scaled = ab.rescaled(a, b, "threshold")
    assert a.threshold is not None
    assert b.threshold is not None
    torch.testing.assert_close(scaled.ratio, b.threshold[ab.target] / a.threshold)


def test_a_pair_without_a_usable_scale_keeps_its_ratio():
    a, b = make_sae(seed=1, d_sae=8), make_sae(seed=2, d_sae=8)
    assert a.threshold is not None
    a.threshold[2] = 0.0
    ratio = FeatureMap.identity(8).rescaled(a, b, "threshold").ratio
    assert ratio[2] == 1
    assert (ratio[[0, 1, 3]] != 1).all()

"""Matchings obey the laws of the maps they give, whatever was matched."""

from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from saematch import SAE, match
from saematch.matching.matching import Matching
from support.saes import make_sae, permuted

METHODS = ("sae-match", "cosine", "feature-flow")


@st.composite
def layers(draw, length: int) -> list[SAE]:
    """SAEs of which each has some of the features of the one before, in another order."""
    found = [make_sae(d_in=24, d_sae=draw(st.integers(12, 20)), seed=draw(st.integers(0, 99)))]
    for step in range(1, length):
        last = found[-1]
        order = torch.tensor(draw(st.permutations(range(last.d_sae))))
        moved = permuted(last, order, noise=draw(st.sampled_from([0.05, 0.3, 1.0])), seed=step)
        assert moved.threshold is not None
        kept = slice(draw(st.integers(0, 4)), None)
        parts = {name: getattr(moved, name)[kept] for name in ("W_dec", "b_enc", "threshold")}
        found.append(replace(moved, W_enc=moved.W_enc[:, kept], **parts))
    return found


def chain(saes: list[SAE], method: str = "sae-match") -> list[Matching]:
    """Matchings of neighbours, of which some pairs count as matched, as after any test."""
    found = []
    for a, b in pairwise(saes):
        m = match(a, b, method, null="none")
        kept = torch.rand(a.d_sae, generator=torch.Generator().manual_seed(b.d_sae)) < 0.7
        found.append(replace(m, pairs=replace(m.pairs, matched=m.matched & kept)))
    return found


def pairs(m: Matching) -> list[int]:
    """The target of each matched feature, -1 for the others."""
    return torch.where(m.matched, m.target, -1).tolist()


examples = settings(max_examples=15)


@pytest.mark.parametrize("method", METHODS)
@examples
@given(saes=layers(3))
def test_a_composed_matching_follows_both_links(method, saes):
    first, second = chain(saes, method)
    both = first.compose(second)
    through = [second_target(second, j) for j in pairs(first)]
    assert both.target.tolist() == through
    assert pairs(both) == through
    assert both.map(by="none").targets.tolist() == through
    maps = first.map(by="none").then(second.map(by="none"))
    f = torch.rand(3, saes[0].d_sae)
    torch.testing.assert_close(both.map(by="none").apply(f), maps.apply(f))


def second_target(m: Matching, j: int) -> int:
    return -1 if j < 0 or not m.matched[j] else int(m.target[j])


@pytest.mark.parametrize("method", METHODS)
@examples
@given(saes=layers(4))
def test_composition_is_associative(method, saes):
    first, second, third = chain(saes, method)
    one, other = first.compose(second).compose(third), first.compose(second.compose(third))
    assert pairs(one) == pairs(other)
    torch.testing.assert_close(one.score, other.score, equal_nan=True)


@examples
@given(saes=layers(2))
def test_the_inverse_of_an_inverse_is_the_matching(saes):
    (there,) = chain(saes)
    again = there.inverse().inverse()
    assert again.target.tolist() == there.target.tolist()
    assert again.matched.tolist() == there.matched.tolist()
    torch.testing.assert_close(again.score, there.score, equal_nan=True)
    assert again.gap == there.gap
    back = there.inverse().map(by="none").targets
    assert back.tolist() == there.map(by="none").inverse().targets.tolist()


@examples
@given(saes=layers(2))
def test_there_and_back_is_where_it_began(saes):
    (there,) = chain(saes)
    both = there.compose(there.inverse())
    here = torch.arange(saes[0].d_sae)
    assert both.target.tolist() == torch.where(there.matched, here, -1).tolist()
    # rescaled by thresholds, an activation comes back as it was
    f = torch.rand(2, saes[0].d_sae)
    returned = there.inverse().map().apply(there.map().apply(f))
    torch.testing.assert_close(returned, torch.where(there.matched, f, 0))


@examples
@given(saes=layers(3))
def test_the_inverse_of_a_composition_is_the_composition_of_inverses(saes):
    first, second = chain(saes)
    one = first.compose(second).inverse()
    other = second.inverse().compose(first.inverse())
    assert pairs(one) == pairs(other)

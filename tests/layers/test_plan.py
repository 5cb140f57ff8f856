"""Which SAEs make a flow, which pairs are matched, and what is refused."""

from dataclasses import replace

import pytest

from saematch import MatchError
from saematch.layers.plan import checked, planned, planned_modules, remarks
from saematch.sae.sae import Site
from support import by_hand
from support.saes import make_sae


def sae(kind: str, layer: int, d_in: int = 8, name: str | None = None):
    return make_sae(d_in=d_in, d_sae=12, kind=kind, layer=layer, name=name)


def residual(n: int):
    return by_hand.layers({f"r{i}": 2 for i in range(n)}, {})


def test_pairs_up_to_a_reach_by_target():
    layers = residual(4)
    assert planned(layers) == [("r0", "r1"), ("r1", "r2"), ("r2", "r3")]
    assert planned(layers, 2) == [
        ("r0", "r1"),
        ("r0", "r2"),
        ("r1", "r2"),
        ("r1", "r3"),
        ("r2", "r3"),
    ]
    assert len(planned(layers, None)) == 6
    assert set(planned(layers, 9)) == set(planned(layers, None))
    with pytest.raises(MatchError, match="reach is 0"):
        planned(layers, 0)


def test_modules_go_to_the_residual_sae_that_follows():
    sites = {
        "m1": Site("", "mlp_out", 1),
        "a2": Site("", "attn_out", 2),
        "m2": Site("", "mlp_out", 2),
        "m9": Site("", "mlp_out", 9),
    }
    sizes = {"r0": 2, "m1": 2, "r1": 2, "a2": 2, "m2": 2, "r2": 2, "m9": 2}
    places = {f"r{i}": Site("", "resid_post", i) for i in range(3)}
    layers = by_hand.layers(sizes, {}, {**sites, **places})
    assert planned(layers) == [("r0", "r1"), ("r1", "r2")]
    assert planned_modules(layers) == [("m1", "r1"), ("m2", "r2"), ("a2", "r2")]
    assert remarks(layers) == ["no SAE of the residual stream on both sides of m9: left out"]


def test_what_a_user_should_know_is_said():
    layers = residual(3)
    assert remarks(layers) == []
    sites = {**layers.sites, "r2": Site("", "resid_post", 5)}
    assert remarks(replace(layers, sites=sites)) == [
        "r1 and r2 are 4 layers apart, and neighbours here"
    ]
    assert "stand in the order" in remarks(replace(layers, sites={**sites, "r1": None}))[0]


@pytest.mark.parametrize(
    ("others", "words"),
    [
        ([("resid_post", 2, 8), ("resid_post", 0, 8)], "both read blocks.0.hook_resid_post"),
        ([("resid_pre", 1, 8)], "both read blocks.1.hook_resid_pre"),
        ([("resid_post", 1, 9)], "reads 8 and writes 8 dimensions, .* reads 9"),
        ([("attn_z", 1, 8), ("resid_post", 1, 8)], "sits on attn_z"),
        ([("mlp_out", 1, 8)], "needs two SAEs of one stream"),
        ([], "needs two SAEs of one stream"),
    ],
)
def test_saes_that_make_no_flow_are_refused(others, words):
    saes = [sae("resid_post", 0), *(sae(kind, n, d, f"x/{kind}{n}{d}") for kind, n, d in others)]
    with pytest.raises(MatchError, match=words):
        list(checked(saes))


def test_saes_are_checked_as_they_come():
    given = iter([sae("resid_post", 0), sae("resid_post", 0), sae("resid_post", 1)])
    with pytest.raises(MatchError, match="both read"):
        list(checked(given))
    assert len(list(given)) == 1  # the third was never asked for


@pytest.mark.parametrize(
    "sites",
    [
        [("resid_pre", 0), ("resid_post", 0), ("mlp_out", 0), ("attn_out", 0), ("resid_mid", 0)],
        [("mlp_in", 0), ("mlp_in", 1)],
    ],
)
def test_saes_that_make_a_flow_come_through(sites):
    saes = [sae(*site) for site in sites]
    assert list(checked(saes)) == saes

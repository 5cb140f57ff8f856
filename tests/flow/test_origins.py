"""Origins by hand: translated, processed, newborn, unexplained."""

import by_hand
import pytest

from saematch import MatchError
from saematch.flow.origins import Cutoffs, modules_of, origin_shares, origins
from saematch.sae import Site

STRONG, WEAK = 1e-7, 0.5
SITES = {
    "mlp": Site("", "mlp_out", 1),
    "attn": Site("", "attn_out", 1),
    "early": Site("", "mlp_out", 0),
}


@pytest.fixture
def made():
    """Residual r0 and r1; five features of r1, the last of them excluded."""
    sizes = {"early": 2, "r0": 4, "attn": 3, "mlp": 3, "r1": 6}
    pairs = {
        ("r0", "r1"): by_hand.pair(4, 6, {2: (0, STRONG), 3: (1, 1e-6), 0: (2, WEAK)}),
        ("mlp", "r1"): by_hand.pair(3, 6, {0: (1, STRONG), 1: (3, WEAK)}),
        ("attn", "r1"): by_hand.pair(3, 6, {2: (2, STRONG), 0: (0, WEAK)}),
    }
    layers = by_hand.layers(sizes, pairs, SITES)
    sites = {**layers.sites, "r0": Site("", "resid_post", 0), "r1": Site("", "resid_post", 1)}
    layers = type(layers)(layers.names, sites, layers.features, layers.excluded, pairs)
    layers.excluded["r1"][5] = True
    return layers


def test_modules_lie_between_two_layers(made):
    assert modules_of(made) == {"r1": {"M": ["mlp"], "A": ["attn"]}}


def test_classes_by_p_value(made):
    frame = origins(made)
    assert frame["feature"].to_list() == [0, 1, 2, 3, 4]
    assert frame["origin"].to_list() == [
        "translated",
        "processed",
        "newborn",
        "unexplained",
        "unexplained",
    ]
    row = frame.row(1, named=True)
    assert (row["site_R"], row["source_R"], row["p_R"]) == ("r0", 3, 1e-6)
    assert row["s_R"] == pytest.approx(0.6)  # by hand: -log10 p / 10
    assert (row["site_M"], row["source_M"], row["source_A"]) == ("mlp", 0, None)
    assert frame["s_R"].to_list()[4] is None


def test_classes_by_fixed_cutoffs(made):
    # cosines with the stream before: 0.7, 0.6, 0.03
    assert origins(made, Cutoffs(0.65, 0.15))["origin"].to_list()[:3] == [
        "translated",
        "newborn",
        "newborn",
    ]
    # and with modules 0.03 (attention), 0.7, 0.7
    assert origins(made, Cutoffs(0.5, 0.02))["origin"].to_list()[:4] == [
        "processed",
        "processed",
        "newborn",
        "newborn",
    ]
    with pytest.raises(MatchError, match="a cut-off is 5"):
        Cutoffs(module=5)


def test_shares_of_a_layer(made):
    shares = {row[1]: row[2:4] for row in origin_shares(origins(made)).rows()}
    assert shares == {
        "translated": (1, 0.2),
        "processed": (1, 0.2),
        "newborn": (1, 0.2),
        "unexplained": (2, 0.4),
    }


def test_a_layer_without_modules_has_no_origins():
    pair = by_hand.pair(2, 2, {0: (0, STRONG)})
    frame = origins(by_hand.layers({"a": 2, "b": 2}, {("a", "b"): pair}))
    assert frame.is_empty()
    assert origin_shares(frame).is_empty()

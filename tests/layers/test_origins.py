"""Origins by hand: translated, processed, newborn, unexplained."""

import dataclasses

import numpy as np
import polars as pl
import pytest

from saematch import MatchError
from saematch.layers.analysis import summarise
from saematch.layers.composition import composition
from saematch.layers.origins import Cutoffs, modules_of, origin_shares, origins
from saematch.layers.splits import splits
from saematch.numerics.ranked import Ranked
from saematch.sae.sae import Site
from support import by_hand

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


def test_fixed_cutoffs_take_the_largest_cosine_among_the_sources(made):
    # the method's best source of feature 0 is not the nearest by decoder
    pair = made.pairs["r0", "r1"]
    assert pair.sources.shape[1] == 1
    second = np.full((6, 1), np.nan)
    second[0] = 0.9
    sources = Ranked(
        np.hstack([pair.sources.index, np.where(np.isnan(second), -1, 1)]),
        np.hstack([pair.sources.score, second]),
        {name: np.hstack([values, second]) for name, values in pair.sources.more.items()},
    )
    made.pairs["r0", "r1"] = dataclasses.replace(pair, sources=sources)
    row = origins(made, Cutoffs(0.8, 0.02)).row(0, named=True)
    assert (row["s_R"], row["source_R"], row["origin"]) == (0.9, 1, "processed")
    assert origins(made).row(0, named=True)["source_R"] == 2


def test_without_p_values_there_are_no_origins_but_by_cutoffs(made):
    for pair in made.pairs.values():
        for values in (pair.p_value, pair.candidates.p_value, pair.sources.p_value):
            values[:] = np.nan
    assert origins(made).is_empty()
    assert origins(made, Cutoffs(0.5, 0.02))["origin"].to_list()[:2] == ["processed", "processed"]
    tables = {
        "spans": pl.DataFrame(schema={"mode": pl.String}),
        "composition": composition(made),
        "splits": splits(made),
        "edges": pl.DataFrame(),
        "communities": pl.DataFrame(),
        "origins": origins(made),
    }
    assert "no p-values, so no origins" in summarise(made, tables, None)["notes"][-1]
    assert "p-values" not in str(summarise(made, tables, Cutoffs())["notes"])


def test_excluded_features_are_no_tests(made):
    # one of six tests may pass at 0.01 / 6
    made.pairs["r0", "r1"].sources.p_value[:, 0] = np.nan
    made.pairs["r0", "r1"].sources.p_value[0, 0] = 0.004
    assert origins(made)["origin"][0] == "unexplained"
    made.excluded["r1"][2:] = True
    assert origins(made)["origin"][0] == "translated"


def test_of_sources_at_the_floor_the_nearest_by_cosine_counts(made):
    made.pairs["mlp2", "r1"] = by_hand.pair(3, 6, {2: (1, STRONG)})
    made.sites["mlp2"] = Site("", "mlp_out", 1)
    made.features["mlp2"] = 3
    layers = dataclasses.replace(made, names=("early", "r0", "attn", "mlp", "mlp2", "r1"))
    layers.pairs["mlp2", "r1"].sources.more["decoder_cosine"][:] += 0.1
    row = origins(layers).row(1, named=True)
    assert (row["site_M"], row["source_M"]) == ("mlp2", 2)


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

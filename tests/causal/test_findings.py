"""Shares, areas and ratios with their intervals, and what weights foretell, by hand."""

import numpy as np
import polars as pl
import pytest
import scipy.sparse as sp
import torch

import saematch
from saematch.activations.table import FeatureActivations
from saematch.causal.average import average_effects, effect_edges, foretold
from saematch.causal.deactivation import FRAME as REMOVALS
from saematch.causal.findings import (
    THIRDS,
    by_frequency,
    deactivations,
    foretelling,
    quality_curve,
    substitutions,
    together,
    what_foretells,
)
from saematch.causal.joint import FRAME as TRACKS
from saematch.causal.predecessors import assigned, by_correlation, by_cosine, by_effect
from saematch.causal.reading import Reading
from saematch.causal.substitution import FRAME as REPLACEMENTS
from saematch.causal.substitution import RANDOM
from saematch.layers.layers import Layers
from saematch.models.jacobian import Jacobian
from support.saes import make_sae, permuted
from support.small_model import at, examples


def removal(method, after, control=False, **more) -> dict:
    own = {"a": "one", "b": "other", "feature": 3, "before": 2.0, "size": 1.0, "active": 1}
    return {**own, "method": method, "after": after, "control": control, "sources": [1], **more}


def test_success_is_the_share_that_no_longer_fires():
    rows = [removal("cosine", after) for after in (0.0, 0.0, 1.0, 2.0)]
    rows += [removal("cosine", 2.0, control=True), removal("cosine", 0.0, control=True, active=0)]
    found = deactivations(pl.DataFrame(rows, REMOVALS)).to_dicts()
    assert [row["success"] for row in found] == [0.5, 0.5]
    assert [row["change"] for row in found] == [(1 + 1 + 0.5 + 0) / 4, 0.5]
    assert [row["active"] for row in found] == [1, 0.5]
    # Wilson's interval of two in four
    assert found[0]["success_low"] == pytest.approx(0.150, abs=1e-3)
    assert found[0]["success_high"] == pytest.approx(0.850, abs=1e-3)
    assert found[0]["change_low"] < found[0]["change"] < found[0]["change_high"]
    by_step = deactivations(pl.DataFrame(rows, REMOVALS), by=["b"])
    assert by_step["b"].to_list() == ["other", "other"]


def partner(source, substituted, p_value, score=0.0, method="cosine", cosine=0.9) -> dict:
    own = {"a": "one", "b": "other", "target": 0, "removed": 2.0, "trajectory": 0.5}
    values = {"p_value": p_value, "score": score, "cosine": cosine}
    return {**own, "source": source, "method": method, "substituted": substituted, **values}


SCHEMA = {**REPLACEMENTS, **dict.fromkeys(("p_value", "score", "correlation"), pl.Float64)}


def test_quality_against_coverage_begins_with_the_most_certain():
    # equivalences 0.5, 1, -0.5 and none: the p-value decides first, then the score
    rows = [
        partner(0, 1.0, 0.01, score=1.0),
        partner(1, 0.0, 0.01, score=2.0),
        partner(2, 4.0, 0.5),
        partner(3, None, None),
    ]
    curve = quality_curve(pl.DataFrame(rows, SCHEMA))
    assert curve[:, 0].tolist() == [0.25, 0.5, 0.75, 1]
    assert curve[:, 1] == pytest.approx([1, 1.5 / 2, 1 / 3, 0.25])


def test_substitutions_tell_quality_coverage_and_what_is_alike_and_different():
    rows = [partner(0, 0.0, 0.01), partner(1, 4.0, 0.02), partner(2, None, None, cosine=None)]
    rows += [partner(k, 2.0, None, method=RANDOM, cosine=0.1) for k in range(3)]
    found = {row["method"]: row for row in substitutions(pl.DataFrame(rows, SCHEMA)).to_dicts()}
    cosine, random = found["cosine"], found[RANDOM]
    assert cosine["coverage"] == pytest.approx(2 / 3)
    assert cosine["equivalence"] == pytest.approx((1 - 0.5) / 2)
    assert cosine["ausqc"] == pytest.approx((1 + 0.25 + 0.5 / 3) / 3)
    assert cosine["ausqc_low"] <= cosine["ausqc"] <= cosine["ausqc_high"]
    assert (cosine["alike"], cosine["alike_different"]) == (2, 0.5)
    assert (random["equivalence"], random["ausqc"], random["alike"]) == (0, None, 0)


def test_what_goes_with_equivalence_is_ranked_by_method():
    rows = [partner(k, float(k), k / 10, score=-k, cosine=0.9 - k / 10) for k in range(4)]
    rows = [row | {"frequency": 0.1 * k, "correlation": None} for k, row in enumerate(rows)]
    rows += [partner(k, 1.0, None, method=RANDOM) for k in range(4)]
    found = {r["method"]: r for r in what_foretells(pl.DataFrame(rows, SCHEMA)).to_dicts()}
    cosine = found["cosine"]
    assert [cosine[name] for name in ("cosine", "p_value", "score")] == pytest.approx([1, -1, 1])
    assert (cosine["frequency"], cosine["correlation"]) == (pytest.approx(-1), None)
    assert (found[RANDOM]["partners"], found[RANDOM]["p_value"]) == (4, None)


def test_thirds_are_of_sources_whatever_the_methods():
    rows = [
        partner(k, 1.0, 0.1, method=method) | {"frequency": 0.1 * (9 - k)}
        for k in range(9)
        for method in ("cosine", RANDOM)
    ]
    found = by_frequency(pl.DataFrame(rows, SCHEMA))
    words = dict(found.select("source", "often").iter_rows())
    assert [words[k] for k in range(9)] == [THIRDS[2]] * 3 + [THIRDS[1]] * 3 + [THIRDS[0]] * 3
    assert len(found) == len(rows)
    alike = pl.DataFrame(rows, SCHEMA).with_columns(frequency=0.1)
    thirds = [
        by_frequency(alike.sample(fraction=1, shuffle=True, seed=seed)).sort("source", "method")
        for seed in range(4)
    ]
    assert all(some["often"].equals(thirds[0]["often"]) for some in thirds)


def test_one_feature_has_no_interval():
    (row,) = substitutions(pl.DataFrame([partner(0, 1.0, 0.1)], SCHEMA)).to_dicts()
    assert (row["equivalence"], row["equivalence_low"]) == (0.5, None)


def test_tracks_are_compared_by_ratios_of_sums():
    row = {"track": 0, "start": "one", "together": 2.0, "alone": 4.0, "largest": 1.0}
    row |= {"control_together": 1.0, "control_alone": 3.0, "control_largest": 2.0}
    found = together(pl.DataFrame([row] * 3, TRACKS))
    ratios = {(r["to"], r["control"]): r["ratio"] for r in found.to_dicts()}
    assert ratios == {
        ("alone", False): 0.5,
        ("largest", False): 2,
        ("alone", True): pytest.approx(1 / 3),
        ("largest", True): 0.5,
        ("control together", False): 2,
    }


@pytest.fixture(scope="module")
def pair():
    one = make_sae(16, 24, layer=0)
    order = torch.arange(24).roll(5)
    return one, permuted(one, order, noise=0.01), order


def test_average_effects_are_decoder_jacobian_and_encoder(pair):
    one, other, _ = pair
    matrix = torch.randn(16, 16, generator=torch.Generator().manual_seed(3))
    none = torch.zeros(16)
    carried = Jacobian(matrix, "here", "there", none, none)
    i, j = 5, 7
    by_hand = float(other.W_enc[:, j] @ (matrix @ one.W_dec[i]))
    assert float(average_effects(one, other, carried)[i, j]) == pytest.approx(by_hand, rel=1e-4)
    assert float(average_effects(one, other, None)[i, j]) == pytest.approx(
        float(other.W_enc[:, j] @ one.W_dec[i]), rel=1e-4
    )


def test_effects_say_of_a_removal_what_its_size_makes_of_them(pair):
    one, other, _ = pair
    effects = average_effects(one, other, None)
    rows = [
        removal("best active", 0.0, feature=j, sources=[i], size=size, pre_before=3.0, pre_after=1)
        for i, j, size in ((2, 3, 0.5), (4, 9, 2.0), (6, 1, 1.5))
    ]
    rows += [removal("cosine", 0.0, sources=[1, 2]), removal("cosine", 0.0, active=0)]
    found = foretold(
        pl.DataFrame(rows, REMOVALS), {"one": one, "other": other}, lambda a, b: effects
    )
    assert len(found) == 3
    for row in found.to_dicts():
        activation = row["size"] / float(one.W_dec[row["source"]].norm())
        expected = activation * float(effects[row["source"], row["feature"]])
        assert row["foretold"] == pytest.approx(expected, rel=1e-4)
        assert row["change"] == 2
    many = found.with_columns(pre_after=pl.col("pre_before") - 2 * pl.col("foretold"))
    (told,) = foretelling(many).to_dicts()
    assert told["removals"] == 3
    assert told["effect"] == pytest.approx(1)


def test_predecessors_are_found_where_they_were_planted(pair, tmp_path):
    one, other, order = pair
    nearest = by_cosine(one, other)[:, 0]
    assert (nearest == order.argsort().numpy()).all()
    saes = [at(one, 0), at(other, 1)]
    run = saematch.flow(saes, out=tmp_path / "run", method="cosine")
    layers = Layers.of(run)
    (key,) = layers.pairs
    assert (assigned(layers.pairs[key])[:, 0] == nearest).all()
    effects = torch.zeros(24, 24)
    effects[torch.from_numpy(nearest), torch.arange(24)] = 1.0
    effects[0] = 2.0  # strong, but it hardly ever varies
    spread = np.ones(24)
    spread[0] = 0.1
    found = by_effect(effects, spread)[:, 0]
    assert (found[nearest != 0] == nearest[nearest != 0]).all()
    edges = effect_edges(("a", "b"), one, other, effects, layers.pairs[key])
    assert edges.select("source", "target").is_unique().all()
    joined = {*zip(edges["source"], edges["target"], strict=True)}
    assert {*zip(nearest.tolist(), range(24), strict=True)} <= joined
    row = edges.filter(source=int(nearest[4]), target=4).to_dicts()[0]
    assert row["effect"] == (2 if nearest[4] == 0 else 1)


def test_correlations_are_those_of_numpy():
    random = np.random.default_rng(0)
    dense = [random.random((40, width)) * (random.random((40, width)) < 0.5) for width in (6, 4)]
    dense[1][:, 2] = 3 * dense[0][:, 5]
    example = np.zeros(40, dtype=np.int32)
    active = {
        name: FeatureActivations(sp.csr_array(values.astype(np.float32)), example)
        for name, values in zip("ab", dense, strict=True)
    }
    reading = Reading(examples(1), active, example, np.arange(40))
    full = np.corrcoef(dense[0].T, dense[1].T)[:6, 6:]
    assert (by_correlation(reading, "a", "b", 2) == np.argsort(-full, axis=0)[:2].T).all()
    assert by_correlation(reading, "a", "b", 1)[2, 0] == 5

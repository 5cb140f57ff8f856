"""A run read as layers: the order of depth, and the tables as arrays."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from saematch import RunError, match
from saematch.layers import Layers
from saematch.layers.layers import depth, read_pair
from saematch.runs.run import Run
from saematch.sae.sae import Site
from support.saes import make_sae

KINDS = [("resid_post", 1), ("mlp_out", 1), ("resid_pre", 0), ("attn_out", 1), ("resid_post", 0)]
ORDER = ["resid_pre_0", "resid_post_0", "attn_out_1", "mlp_out_1", "resid_post_1"]


@pytest.fixture(scope="module")
def saes():
    made = [
        make_sae(d_in=8, d_sae=12 + i, seed=i, kind=kind, layer=layer)
        for i, (kind, layer) in enumerate(KINDS)
    ]
    W_dec = made[4].W_dec.clone()
    W_dec[3] = 0
    made[4] = replace(made[4], W_dec=W_dec)
    return made


@pytest.fixture
def run(tmp_path, saes):
    run = Run.create(tmp_path, "flow", {}, saes)
    run.add_pair("resid_pre_0", "resid_post_0", match(saes[2], saes[4], "cosine", candidates=3))
    return run


def test_saes_stand_in_order_of_depth(run):
    layers = Layers.of(run.path)
    assert list(layers.names) == ORDER
    assert layers.chain == ("resid_pre_0", "resid_post_0", "resid_post_1")
    assert layers.adjacent() == [("resid_pre_0", "resid_post_0"), ("resid_post_0", "resid_post_1")]
    assert layers.streams["mlp_out"] == ("mlp_out_1",)
    assert layers.sites["attn_out_1"] == Site("blocks.1.hook_attn_out", "attn_out", 1)
    assert layers.features == dict(zip(ORDER, (14, 16, 15, 13, 12), strict=True))
    assert layers.excluded["resid_post_0"].nonzero()[0].tolist() == [3]
    assert list(layers.pairs) == [("resid_pre_0", "resid_post_0")]
    assert ("resid_post_0", "resid_post_1") not in layers.pairs
    with pytest.raises(KeyError):
        layers.pairs["resid_post_0", "resid_post_1"]
    with pytest.raises(RunError, match="has no pair"):
        read_pair(run, "resid_post_0", "resid_post_1")


def test_saes_without_a_site_stay_as_they_were_given(tmp_path, saes):
    lost = replace(saes[3], conventions=replace(saes[3].conventions, site=None, source="x/lost"))
    layers = Layers.of(Run.create(tmp_path, "flow", {}, [saes[0], lost, saes[2]]))
    assert list(layers.names) == ["resid_post_1", "x_lost", "resid_pre_0"]
    assert layers.chain == layers.names


def test_a_pair_holds_what_the_matching_found(run, saes):
    found = match(saes[2], saes[4], "cosine", candidates=3)
    pair = Layers.of(run).pairs["resid_pre_0", "resid_post_0"]
    assert pair.target.tolist() == found.target.tolist()
    assert pair.matched.tolist() == found.matched.tolist()
    np.testing.assert_array_equal(pair.score, found.score.numpy())
    np.testing.assert_array_equal(pair.cosine, found.measures["decoder_cosine"].float().numpy())
    assert pair.candidates.index.tolist() == found.candidates.index.tolist()
    np.testing.assert_array_equal(pair.candidates.score, found.candidates.score.numpy())
    np.testing.assert_array_equal(pair.p_value, found.p_value.numpy())
    np.testing.assert_array_equal(pair.candidates.p_value, found.candidates.p_value.numpy())
    assert pair.sources.index.tolist() == found.sources.index.tolist()
    np.testing.assert_array_equal(pair.sources.p_value, found.sources.p_value.numpy())
    # the method's score is the decoder's cosine
    np.testing.assert_allclose(pair.sources.more["decoder_cosine"], pair.sources.score, atol=1e-6)


def test_p_values_and_missing_entries(run):
    place = run.path / "pairs" / "resid_pre_0--resid_post_0.parquet"
    table = pl.read_parquet(place).with_columns(
        pl.when(pl.col("feature") != 2).then("target").alias("target"),
        pl.when(pl.col("feature") != 2).then(pl.col("feature") / 100).alias("p_value"),
        matched=pl.col("feature") > 4,
    )
    table.write_parquet(place)
    place = run.path / "candidates" / "resid_pre_0--resid_post_0.parquet"
    candidates = pl.read_parquet(place).filter(
        (pl.col("feature") != 5) | (pl.col("rank") == 1), pl.col("feature") != 2
    )
    candidates.with_columns(p_value=pl.col("rank") / 10).write_parquet(place)
    sources = pl.DataFrame(
        {"feature": [0, 0, 15], "rank": [1, 2, 1], "source": [7, 8, 9], "score": [0.5, 0.4, 0.3]}
    ).with_columns(p_value=pl.lit(0.25), decoder_cosine=pl.col("score") / 2)
    sources.write_parquet(run.path / "sources" / "resid_pre_0--resid_post_0.parquet")

    pair = Layers.of(run).pairs["resid_pre_0", "resid_post_0"]
    assert pair.target[2] == -1
    assert np.isnan(pair.p_value[2])
    assert pair.p_value[7] == pytest.approx(0.07)
    assert pair.partner[:5].tolist() == [-1] * 5
    assert pair.partner[5:].tolist() == pair.target[5:].tolist()
    assert pair.candidates.index[2].tolist() == [-1] * 3
    assert pair.candidates.index[5, 1:].tolist() == [-1, -1]
    assert pair.candidates.p_value[4].tolist() == pytest.approx([0.1, 0.2, 0.3])
    assert np.isnan(pair.candidates.score[5, 1:]).all()
    assert pair.sources.shape == (16, 2)
    assert pair.sources.index[0].tolist() == [7, 8]
    assert pair.sources.index[15].tolist() == [9, -1]
    assert pair.sources.score[15, 0] == 0.3
    assert np.isnan(pair.sources.p_value[1]).all()
    assert pair.sources.p_value[0, 1] == 0.25
    assert pair.sources.more["decoder_cosine"][0].tolist() == [0.25, 0.2]


def test_without_a_null(tmp_path, saes):
    run = Run.create(tmp_path, "flow", {}, saes)
    run.add_pair("resid_pre_0", "resid_post_0", match(saes[2], saes[4], "cosine", null="none"))
    pair = Layers.of(run).pairs["resid_pre_0", "resid_post_0"]
    for values in (pair.p_value, pair.candidates.p_value, pair.sources.p_value):
        assert np.isnan(values).all()
    assert pair.matched.all()
    assert pair.target.dtype == pair.candidates.index.dtype == np.int64


def test_features_that_only_folding_leaves_out_are_excluded_too(tmp_path, saes):
    first, second = (replace(saes[i], threshold=saes[i].threshold.clone()) for i in (4, 0))
    first.threshold[5], second.threshold[[2, 7]] = 0, -1
    run = Run.create(tmp_path, "flow", {}, [first, second])
    a, b = run.names
    run.add_pair(a, b, match(first, second, "sae-match", fold="threshold", null="none"))
    excluded = Layers.of(run).excluded
    assert excluded["resid_post_0"].nonzero()[0].tolist() == [3, 5]
    assert excluded["resid_post_1"].nonzero()[0].tolist() == [2, 7]


def test_excluded_features_do_not_count_for_the_cut(tmp_path, saes):
    layers = Layers.of(Run.create(tmp_path, "flow", {}, saes))
    p_values = np.full(16, 0.5)
    p_values[3], p_values[0] = np.nan, 0.01 / 15
    assert layers.cut("resid_post_0", p_values) == pytest.approx(0.01 / 15)
    p_values[0] = 0.011 / 15
    assert layers.cut("resid_post_0", p_values) == 0


def test_the_false_discovery_rate_is_the_runs(tmp_path, saes):
    assert Layers.of(Run.create(tmp_path / "a", "flow", {"fdr": 0.2}, saes)).fdr == 0.2
    assert Layers.of(Run.create(tmp_path / "b", "flow", {}, saes)).fdr == 0.01


def test_the_way_through_a_block():
    kinds = ["resid_pre", "attn_z", "attn_out", "resid_mid", "mlp_in", "mlp_out", "resid_post"]
    found = [depth(Site("", kind, layer)) for layer in range(2) for kind in kinds]  # pyright: ignore[reportArgumentType]
    assert None not in found
    assert found == sorted(found)  # pyright: ignore[reportArgumentType]
    assert depth(Site("layer_3", "other", 3)) is None
    assert depth(None) is None

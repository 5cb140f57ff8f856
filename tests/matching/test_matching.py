import dataclasses
from xml.etree import ElementTree

import numpy as np
import polars as pl
import pytest
import torch
from scipy.optimize import linear_sum_assignment

from saematch import MatchError, Method, View, fold, match, rescale
from saematch.assignment.filtering import Filter
from support.saes import make_sae, permuted

METHODS = ("sae-match", "cosine", "feature-flow", "paulo-belrose")


def shuffle(n: int, seed: int = 3) -> torch.Tensor:
    order = torch.randperm(n, generator=torch.Generator().manual_seed(seed))
    assert not torch.equal(order, order.argsort())  # its own inverse would hide a wrong way round
    return order


@pytest.mark.parametrize("method", METHODS)
def test_a_planted_permutation_is_found_the_right_way_round(method):
    a = make_sae()
    order = shuffle(a.d_sae)
    found = match(a, permuted(a, order, noise=0.2), method)
    assert torch.equal(found.target, order)
    assert found.mutual.all()
    assert found.relative_gap is not None
    assert found.relative_gap < 1e-9


def test_folding_finds_what_rescaled_thresholds_hide():
    """Units differ from feature to feature: only folded parameters can be compared."""
    a = make_sae(d_sae=200)
    order = shuffle(200)
    scale = torch.logspace(-1.5, 1.5, 200)[shuffle(200, seed=4)]
    b = rescale(permuted(a, order, noise=1.5), scale)

    def found(**options) -> float:
        return float((match(a, b, **options).target == order).float().mean())

    assert found(fold="threshold") > found(fold="none") + 0.08
    assert found(fold="threshold", terms="decoder") > found(fold="none", terms="decoder") + 0.15
    assert found(fold="threshold") > 0.95


@pytest.mark.parametrize("terms", ["encoder", "decoder", "both"])
@pytest.mark.parametrize("how", ["threshold", "decoder-norm", "none"])
def test_sae_match_has_the_least_squared_distance(terms, how):
    a, b = make_sae(seed=1), make_sae(seed=2)
    found = match(a, b, fold=how, terms=terms, bias=True, encoder_weight=0.5, bias_weight=2.0)
    fa, fb = fold(a, how), fold(b, how)
    cost = np.zeros((96, 96))
    pairs = {"decoder": (1.0, fa.W_dec, fb.W_dec), "encoder": (0.5, fa.W_enc.T, fb.W_enc.T)}
    for weight, x, y in [v for k, v in pairs.items() if terms in (k, "both")]:
        cost += weight * ((x[:, None] - y[None]).double() ** 2).sum(2).numpy()
    cost += 2.0 * (fa.b_enc[:, None] - fb.b_enc).double().numpy() ** 2
    rows, columns = linear_sum_assignment(cost)
    assert found.assignment is not None
    assert -found.assignment.total == pytest.approx(cost[rows, columns].sum(), rel=1e-6)
    assert -found.score.sum() == pytest.approx(cost[rows, columns].sum(), rel=1e-6)


def test_feature_flow_takes_the_best_cosine_and_keeps_top_k():
    a, b = make_sae(seed=1), make_sae(seed=2, d_sae=64)
    found = match(a, b, "feature-flow", top_k=7)
    cosine = torch.cosine_similarity(a.W_dec[:, None], b.W_dec[None], dim=2)
    assert torch.equal(found.target, cosine.argmax(1))
    assert torch.equal(found.candidates.index, cosine.topk(7).indices)
    assert (found.pairs.rank_in_row == 1).all()


def test_how_many_candidates_are_kept():
    a, b = make_sae(seed=1), make_sae(seed=2)
    assert match(a, b).candidates.shape == (96, 5)
    assert match(a, b, candidates=8).candidates.shape == (96, 8)
    assert match(a, b, "feature-flow", top_k=3).candidates.shape == (96, 3)
    with pytest.raises(MatchError, match="less than top_k"):
        match(a, b, "feature-flow", top_k=3, candidates=2)


def test_paulo_belrose_needs_both_sides_and_both_cosines():
    a = make_sae(d_sae=40)
    order = torch.arange(40).roll(1)
    b = permuted(a, order, noise=0.05)
    W_enc, W_dec = b.W_enc.clone(), b.W_dec.clone()
    # two features whose encoders are exchanged: the two assignments disagree on them
    W_enc[:, [5, 6]] = W_enc[:, [6, 5]]
    # a decoder turned to a cosine of about 0.5 with what it was: right partner, too far
    noise = torch.randn(32, generator=torch.Generator().manual_seed(0))
    W_dec[9] = W_dec[9] + noise * W_dec[9].norm() / noise.norm() * 1.7
    found = match(a, dataclasses.replace(b, W_enc=W_enc, W_dec=W_dec), "paulo-belrose")
    assert torch.equal(found.target, order)
    orphans = (~found.matched).nonzero().flatten().tolist()
    assert orphans == [6, 7, 10]
    assert 0.3 < found.measures["decoder_cosine"][10] < 0.7
    turned = dataclasses.replace(b, W_dec=W_dec)
    assert match(a, turned, "paulo-belrose", cutoff=0.2, null="none").matched.all()
    # the turned one is no better than chance among 40 features in 32 dimensions
    kept = match(a, turned, "paulo-belrose", cutoff=0.2)
    assert (~kept.matched).nonzero().flatten().tolist() == [10]


def test_weighted_views_are_maximised():
    a, b = make_sae(seed=1), make_sae(seed=2)
    views = (View("decoder", normalised=True), View("encoder", normalised=True, weight=0.3))
    found = match(a, b, Method("mine", views))
    score = sum(
        w * torch.cosine_similarity(x[:, None].double(), y[None].double(), dim=2)
        for w, x, y in ((1.0, a.W_dec, b.W_dec), (0.3, a.W_enc.T, b.W_enc.T))
    )
    rows, columns = linear_sum_assignment(-np.asarray(score))
    best = float(np.asarray(score)[rows, columns].sum())
    assert float(found.score.sum()) == pytest.approx(best, rel=1e-6)


def test_measures_are_those_of_the_pairs():
    a, b = make_sae(seed=1), make_sae(seed=2)
    found = match(a, b, fold="none")
    i, j = 11, int(found.target[11])
    fa, fb = fold(a), fold(b)
    expected = {
        "decoder_cosine": torch.cosine_similarity(a.W_dec[i], b.W_dec[j], dim=0),
        "encoder_cosine": torch.cosine_similarity(a.W_enc[:, i], b.W_enc[:, j], dim=0),
        "decoder_mse": (a.W_dec[i] - b.W_dec[j]).pow(2).mean(),
        "encoder_mse_folded": (fa.W_enc[:, i] - fb.W_enc[:, j]).pow(2).mean(),
        "decoder_mse_folded": (fa.W_dec[i] - fb.W_dec[j]).pow(2).mean(),
        "encoder_bias_mse_folded": (fa.b_enc[i] - fb.b_enc[j]).pow(2),
    }
    for name, value in expected.items():
        torch.testing.assert_close(found.measures[name][i], value, msg=name)
    assert found.measures.identity is not None
    expected_identity = torch.cosine_similarity(a.W_dec, b.W_dec, dim=1).median()
    assert found.measures.identity["decoder_cosine"] == pytest.approx(
        float(expected_identity), abs=1e-6
    )


def test_ranks_count_the_better_ones():
    a, b = make_sae(seed=1), make_sae(seed=2)
    found = match(a, b, "cosine")
    cosine = torch.cosine_similarity(a.W_dec[:, None].double(), b.W_dec[None].double(), dim=2)
    own = cosine.gather(1, found.target[:, None])
    assert torch.equal(found.pairs.rank_in_row, 1 + (cosine > own + 1e-12).sum(1))
    columns = cosine[:, found.target]
    assert torch.equal(found.pairs.rank_in_column, 1 + (columns > own.squeeze(1) + 1e-12).sum(0))
    assert not found.mutual.all()


def test_transport_carries_activations_with_their_units(inputs):
    a = make_sae()
    order = shuffle(96)
    b = rescale(permuted(a, order), torch.rand(96) * 5 + 0.1)
    found = match(a, b)
    torch.testing.assert_close(
        found.map().apply(a.encode(inputs)), b.encode(inputs), rtol=1e-4, atol=1e-4
    )
    plain = found.map(by="none").apply(a.encode(inputs))
    torch.testing.assert_close(plain[:, order], a.encode(inputs))
    unfolded = match(a, b, "cosine")
    torch.testing.assert_close(
        unfolded.map().apply(a.encode(inputs)), b.encode(inputs), rtol=1e-4, atol=1e-4
    )


def test_transport_adds_up_where_features_share_a_target():
    a = make_sae(activation="relu", d_sae=3, d_in=4)
    W_dec = torch.tensor([[1.0, 0, 0, 0], [0.9, 0.1, 0, 0], [0, 0, 0, 1]])
    a = dataclasses.replace(a, W_dec=W_dec)
    b = dataclasses.replace(
        make_sae(activation="relu", d_sae=2, d_in=4), W_dec=torch.eye(4)[[3, 0]]
    )
    found = match(a, b, "feature-flow", null="none")
    assert found.map(by="none").apply(torch.tensor([1.0, 2.0, 4.0])).tolist() == [4.0, 3.0]


@pytest.mark.wrong_arrays
@pytest.mark.parametrize(
    ("f", "message"),
    [
        (torch.zeros(4, 97), r"f is \(4, 97\); expected a tensor with 96 activations"),
        (torch.zeros(4, 95), r"f is \(4, 95\)"),
        (np.zeros(96), "f is ndarray"),
    ],
)
def test_transport_refuses_what_is_not_activations_of_a(f, message):
    with pytest.raises(MatchError, match=message):
        match(make_sae(), make_sae(seed=2)).map().apply(f)


def test_unequal_widths_leave_features_without_a_partner():
    a = make_sae(d_sae=96)
    b = permuted(a, shuffle(96))
    half = dataclasses.replace(
        b, W_enc=b.W_enc[:, :50], W_dec=b.W_dec[:50], b_enc=b.b_enc[:50],
        threshold=None if b.threshold is None else b.threshold[:50],
    )  # fmt: skip
    there = match(a, half)
    assert there.n_matched == 50
    order = shuffle(96)
    assert all(int(there.target[i]) == int(order[i]) for i in range(96) if order[i] < 50)
    assert there.measures.identity is None
    back = there.inverse()
    assert torch.equal(there.target[back.target], torch.arange(50))


def test_excluded_features_take_no_part():
    a, order = make_sae(), shuffle(96)
    b = permuted(a, order)
    W_dec = a.W_dec.clone()
    W_dec[[7, 8]] = 0
    threshold = b.threshold.clone() if b.threshold is not None else torch.zeros(96)
    threshold[order[20]] = 0.0
    found = match(dataclasses.replace(a, W_dec=W_dec), dataclasses.replace(b, threshold=threshold))
    left_out = {7, 8}
    assert set((found.target < 0).nonzero().flatten().tolist()) >= left_out
    assert int(order[20]) not in found.target.tolist()
    frame = found.to_polars()
    assert frame.filter(pl.col("excluded") == "zero decoder")["feature"].to_list() == [7, 8]
    assert any("2 zero decoder" in note for note in found.notes)
    assert any("1 threshold <= 0" in note for note in found.notes)
    assert int((found.target >= 0).sum()) == 94
    # the one whose own partner was left out takes a stranger, which is no match
    assert found.target[20] >= 0
    assert not found.matched[20]
    assert found.n_matched == 93


def test_inverse_and_composition():
    a = make_sae(seed=1)
    first, second = shuffle(96, seed=5), shuffle(96, seed=6)
    b = permuted(a, first, noise=0.1)
    c = permuted(b, second, noise=0.1)
    ab, bc = match(a, b), match(b, c)
    assert torch.equal(ab.inverse().target, first.argsort())
    assert torch.equal(ab.compose(bc).target, second[first])
    torch.testing.assert_close(ab.inverse().score[first], ab.score)
    assert ab.inverse().relative_gap == pytest.approx(ab.relative_gap or 0.0, abs=1e-12)
    assert ab.compose(bc).gap is None
    with pytest.raises(MatchError, match=r"ends at .* the other starts at"):
        bc.compose(bc)
    with pytest.raises(MatchError, match="many-to-one map has no inverse"):
        match(a, make_sae(seed=9, d_sae=20), "feature-flow", null="none").inverse()


def test_frames_hold_the_matching():
    a, b = make_sae(seed=1), make_sae(seed=2)
    found = match(a, b, candidates=3)
    frame = found.to_polars()
    assert frame["target"].to_list() == found.target.tolist()
    assert frame["score"].to_list() == found.score.tolist()
    assert set(found.measures) < set(frame.columns)
    candidates = found.candidates.to_polars("target")
    assert candidates.height == 3 * 96
    best = candidates.filter(pl.col("rank") == 1)
    assert best["target"].to_list() == found.candidates.index[:, 0].tolist()
    assert candidates.filter(pl.col("feature") == 4)["statistic"].is_sorted(descending=True)


def test_summary_and_reprs_tell_the_figures():
    a, b = make_sae(seed=1, name="x/<b>one"), make_sae(seed=2)
    found = match(a, b, null="none")
    figures = found.summary()
    cosine = found.measures["decoder_cosine"]
    assert figures["cosine_ge_0.3"] == pytest.approx(float((cosine >= 0.3).float().mean()))
    assert figures["median_decoder_mse"] == pytest.approx(
        float(found.measures["decoder_mse"].median())
    )
    assert "96 of 96 features" in repr(found)
    assert "folded by threshold" in repr(found)
    shown = found._repr_html_()
    assert "&lt;b&gt;one" in shown
    assert "<b>one" not in shown
    assert "Every assigned pair counts as matched" in shown


def test_a_notebook_shows_what_is_significant_and_how_alike_it_is():
    a = make_sae(seed=1)
    found = match(a, permuted(a, shuffle(96), noise=0.3))
    root = ElementTree.fromstring(f"<div>{found._repr_html_()}</div>")
    cells = {"".join(row[0].itertext()): row[1].text for row in root.iter("tr") if row[0].text}
    assert cells["matched"] == f"{found.n_matched} of 96 features ({found.n_matched / 96:.1%})"
    cosine = found.summary()["median_decoder_cosine"]
    assert cells["median decoder cosine"] == f"{cosine:.3g}"
    sentence = "".join(root.find("p").itertext())
    assert sentence.startswith(f"Matched: p ≤ {found.p_cut:.2g}, a false discovery rate of 0.01.")
    counted = [int(mark.text.split(": ")[1]) for mark in root.iter("title")]
    assert sum(counted) == found.n_matched
    composed = found.compose(found.inverse())._repr_html_()
    assert "Every pair that was given counts as matched" in composed


def test_identity_share_shows_a_shared_order():
    a = make_sae()
    assert match(a, permuted(a, torch.arange(96), noise=0.5)).identity_share == 1.0
    assert match(a, permuted(a, shuffle(96))).identity_share < 0.1


def test_what_cannot_be_compared_is_refused():
    a = make_sae()
    with pytest.raises(MatchError, match="not vectors of one space"):
        match(a, make_sae(d_in=16))
    with pytest.raises(MatchError, match=r"residual stream .* mlp_out .*any_site"):
        match(a, make_sae(kind="mlp_out"))
    assert (match(a, make_sae(kind="mlp_out"), any_site=True).target >= 0).all()
    assert (match(a, make_sae(kind="resid_pre")).target >= 0).all()


def test_notes_say_what_folding_cannot_do():
    topk = match(make_sae(activation="topk"), make_sae(seed=2))
    assert topk.fold == "decoder-norm"
    assert any("not both have a threshold per feature" in note for note in topk.notes)
    scalar = dataclasses.replace(make_sae(), threshold=torch.full((96,), 0.5))
    other = dataclasses.replace(make_sae(seed=2), threshold=torch.full((96,), 2.0))
    found = match(scalar, other, fold="threshold", terms="decoder")
    assert any("cannot change a matching by a single term" in note for note in found.notes)
    assert torch.equal(found.target, match(scalar, other, fold="none", terms="decoder").target)
    assert not match(make_sae(), make_sae(seed=2)).notes


def test_folding_by_activation_needs_and_uses_the_scales():
    a = make_sae(activation="relu")
    order = shuffle(96)
    typical = torch.rand(96) + 0.5
    scale = torch.logspace(-1, 1, 96)
    b = rescale(permuted(a, order, noise=1.0), scale)
    # f_b = f_a / scale, so that is how its typical activation changes
    there = typical[order.argsort()] / scale
    found = match(a, b, fold="activation", typical_activation=(typical, there))
    assert (found.target == order).float().mean() > 0.95
    with pytest.raises(ValueError, match="needs the mean activation of every feature"):
        match(a, b, fold="activation")


def half_gone(noise: float = 0.5):
    """An SAE, another of which half the features are its own, and their places in it or -1."""
    a, stranger = make_sae(d_in=48), make_sae(d_in=48, seed=9)
    order = shuffle(96)
    b = permuted(a, order, noise=noise)
    gone = torch.arange(96) % 2 == 0
    b.W_dec[order[gone]] = stranger.W_dec[gone]
    b.W_enc[:, order[gone]] = stranger.W_enc[:, gone]
    return a, b, torch.where(gone, -1, order)


@pytest.mark.parametrize("method", ["sae-match", "cosine"])
def test_partial_matching_leaves_features_alone_that_have_no_partner(method):
    a, b, truth = half_gone()
    whole, part = match(a, b, method), match(a, b, method, partial=True)
    assert (whole.target >= 0).all()
    assert torch.equal(part.target[truth >= 0], truth[truth >= 0])
    assert int((part.target >= 0).sum()) <= 48 + 5
    assert torch.equal(part.matched, truth >= 0)
    assert torch.equal(whole.matched, truth >= 0)
    assert part.relative_gap is not None
    assert part.relative_gap < 1e-9
    # a feature that was left alone counts among the tests
    assert part.p_cut == pytest.approx(whole.p_cut)


def test_sources_are_the_best_features_of_a_for_each_of_b():
    a, b = make_sae(seed=1), make_sae(seed=2, d_sae=70)
    W_dec = b.W_dec.clone()
    W_dec[7] = 0
    b = dataclasses.replace(b, W_dec=W_dec)
    found = match(a, b, "cosine", candidates=4)
    cosine = torch.cosine_similarity(a.W_dec[:, None].double(), b.W_dec[None].double(), dim=2)
    best = cosine.T.topk(4)
    used = torch.arange(70) != 7
    assert torch.equal(found.sources.index[used], best.indices[used])
    torch.testing.assert_close(found.sources.score[used], best.values[used])
    assert found.sources.index[7].tolist() == [-1] * 4
    assert found.sources.p_value[7].isnan().all()
    # the same as asking the other way round, but for the draws of the null
    back = match(b, a, "cosine", candidates=4)
    assert torch.equal(back.candidates.index[used], found.sources.index[used])
    torch.testing.assert_close(
        back.candidates.p_value[used].log10(), found.sources.p_value[used].log10(),
        rtol=0.2, atol=0.3,
    )  # fmt: skip
    frame = found.sources.to_polars("source")
    assert frame.columns == [
        "feature",
        "rank",
        "source",
        "score",
        "statistic",
        "p_value",
        "decoder_cosine",
    ]
    assert frame.height == 4 * 69
    assert frame["decoder_cosine"].to_list() == pytest.approx(frame["score"].to_list(), abs=1e-6)
    assert frame.filter(feature=5)["source"].to_list() == best.indices[5].tolist()


def test_without_a_null_there_are_no_p_values():
    a, b, _ = half_gone()
    found = match(a, b, null="none")
    assert found.p_value.isnan().all()
    assert found.matched.all()
    figures = found.summary()
    assert (figures["null"], figures["fdr"], figures["p_cut"]) == ("none", None, None)
    assert found.to_polars()["p_value"].null_count() == 96
    assert found.null_histogram().height == 0


@pytest.mark.parametrize(("test", "noise"), [("score", 0.8), ("direction", 1.4)])
def test_p_values_decide_what_is_matched(test, noise):
    a, b, _ = half_gone(noise=noise)
    found = match(a, b, test=test)
    assert found.p_cut is not None
    assert torch.equal(found.matched, found.p_value <= found.p_cut)
    assert found.p_cut <= 0.01 * found.n_matched / 96
    stricter = match(a, b, fdr=1e-4, test=test)
    assert 0 < stricter.n_matched < found.n_matched
    assert torch.equal(stricter.p_value, found.p_value)
    own = found.candidates.index == found.target[:, None]
    torch.testing.assert_close(
        found.candidates.p_value[own], found.p_value[own.any(1)], rtol=1e-9, atol=0
    )


def test_the_inverse_has_the_same_pairs_and_matches():
    a, b, truth = half_gone()
    found = match(a, b)
    back = found.inverse()
    assert torch.equal(back.target[found.target], torch.arange(96))
    assert torch.equal(back.matched[found.target], found.matched)
    assert back.n_matched == 48
    assert back.gap == found.gap
    chained = found.compose(back)
    assert torch.equal(chained.target, torch.where(truth >= 0, torch.arange(96), -1))
    assert torch.equal(chained.matched, truth >= 0)


def test_the_histogram_counts_every_score():
    a, b, _ = half_gone()
    found = match(a, b, "cosine")
    frame = found.null_histogram()
    assert frame["observed"].sum() == 96
    assert frame["null"].sum() == pytest.approx(96)
    assert (frame["low"][1:] == frame["high"][:-1]).all()
    assert frame["low"][0] <= float(found.score.min())
    assert frame["high"][-1] >= float(found.score.max())
    middle = frame.row(40, named=True)
    inside = (found.score >= middle["low"]) & (found.score < middle["high"])
    assert middle["observed"] == int(inside.sum())
    # matches lie above what chance gives
    null = (frame["low"] * frame["null"]).sum() / 96
    assert float(found.score[found.matched].min()) > null


@pytest.mark.parametrize(
    ("method", "precision"),
    [("cosine", "bfloat16"), ("feature-flow", "bfloat16"), ("sae-match", "float32")],
)
def test_scores_are_made_once(method, precision, monkeypatch):
    monkeypatch.setattr("saematch.numerics.hardware.fastest", lambda _: precision)
    monkeypatch.setattr("saematch.assignment.auction.plan.WORTH_FILTERING", 0)
    a = make_sae(d_in=8, d_sae=600)  # larger than what is solved without a filter
    scored, product, fill = [], Filter.product, Filter.fill

    def counted(self, rows):
        scored.append(len(self.left[rows]))
        return product(self, rows)

    def filled(self, rows, *into):
        scored.append(len(self.left[rows]))
        fill(self, rows, *into)

    monkeypatch.setattr(Filter, "product", counted)
    monkeypatch.setattr(Filter, "fill", filled)
    match(a, permuted(a, shuffle(600), noise=0.2), method)
    assert sum(scored) == 600

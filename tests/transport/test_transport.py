"""Sparse transports recover planted maps and gates, and keep to their number of edges."""

import dataclasses

import numpy as np
import polars as pl
import pytest
import scipy.sparse as sp
import torch

from saematch import SAE, Conventions, SaematchError
from saematch.activations.table import FeatureActivations
from saematch.transport import Schedule, SparseTransport, fit_transport, fit_transports
from saematch.transport.reading import REACHES
from saematch.transport.sparse import threshold

D, A, B = 24, 30, 20
QUICK = Schedule(between=5, final=20, batch=500, rate=0.02, final_rate=0.02, widest=8)
SHORT = Schedule(between=1, exchanges=1, final=2, batch=200)
HERE = ("here",)


def sae(d_sae: int, seed: int, activation: str = "jumprelu", name: str = "planted") -> SAE:
    g = torch.Generator().manual_seed(seed)
    W_dec = torch.linalg.qr(torch.randn(max(d_sae, D), D, generator=g))[0][:d_sae]
    W_dec = W_dec / W_dec.norm(dim=1, keepdim=True)
    return SAE(
        W_enc=torch.randn(D, d_sae, generator=g) / D**0.5,
        W_dec=W_dec,
        b_enc=torch.zeros(d_sae),
        b_dec=torch.randn(D, generator=g),
        threshold=torch.full((d_sae,), 1.0) if activation == "jumprelu" else None,
        conventions=Conventions(
            activation=activation,  # pyright: ignore[reportArgumentType]
            k=4 if activation == "topk" else None,
            source=name,
        ),
    )


def table(f: torch.Tensor) -> FeatureActivations:
    return FeatureActivations(sp.csr_array(f.numpy()), np.zeros(len(f), dtype=np.int32))


def sources(tokens: int = 3000, seed: int = 0, share: float = 0.3) -> torch.Tensor:
    g = torch.Generator().manual_seed(seed)
    size = 0.8 + 0.4 * torch.rand(tokens, A, generator=g)
    return size * (torch.rand(tokens, A, generator=g) < share)


def planted(activation: str = "jumprelu"):
    """Two SAEs, and a true map: feature 0 of B is an AND, 1 an OR, the others read two each.

    B's encoder reads what its decoder writes, and A's features write what the map says, and noise
    as large as half of it: virtual weights point the right way but are far from the map.
    """
    g = torch.Generator().manual_seed(3)
    W = torch.zeros(B, A)
    bias = torch.zeros(B)
    W[0, [0, 1]], bias[0] = 0.9, -0.3  # either alone gives about 0.6, both 1.5
    W[1, [2, 3]], bias[1] = 1.5, 0.1  # either alone gives about 1.6
    for j in range(2, B):
        W[j, torch.randperm(A - 4, generator=g)[:2] + 4] = 1.2 + torch.rand(2, generator=g)
    a, b = sae(A, 1, name="a"), sae(B, 2, activation, name="b")
    b = dataclasses.replace(b, W_enc=b.W_dec.T.clone(), b_enc=-b.W_dec @ b.b_dec)
    W_dec = W.T @ b.W_dec + 0.4 * torch.randn(A, D, generator=g)
    a = dataclasses.replace(a, W_dec=W_dec, b_dec=b.b_dec)
    truth = SparseTransport(
        a=a,
        b=b,
        k=2,
        reaches=HERE,
        weight=sp.csr_array(W.numpy()),
        bias=bias,
        drive=sp.csr_array(W.numpy()),
        source_size=torch.ones(A),
        with_error=False,
        tokens=0,
        loss=0.0,
    )
    return truth, W


@pytest.fixture(scope="module")
def recovered():
    truth, W = planted()
    f = sources()
    found = fit_transport(
        truth.a, truth.b, table(f), truth.estimate(f), k=2, reaches=HERE, schedule=QUICK
    )
    return truth, W, found


def test_planted_edges_are_recovered(recovered):
    _, W, found = recovered
    edges = set(zip(*found.weight.tocoo().coords, strict=True))
    planted_edges = {(int(j), int(i)) for j, i in W.nonzero()}
    assert len(edges & planted_edges) >= 0.95 * len(planted_edges)
    assert found.n_edges <= 2 * B


def test_planted_activations_are_recovered_on_other_tokens(recovered):
    truth, _, found = recovered
    f = sources(seed=9)
    true, got = truth.apply(f), found.apply(f)
    assert (true - got).square().sum() < 0.05 * (true - true.mean(0)).square().sum()


def test_and_and_or_differ_in_weights_and_threshold(recovered):
    _, _, found = recovered
    edges = found.edges()
    both = edges.filter(edges["target"] == 0)
    either = edges.filter(edges["target"] == 1)
    assert sorted(both["source"]) == [0, 1]
    assert sorted(either["source"]) == [2, 3]
    assert both["sufficient"].to_list() == [False, False]
    assert either["sufficient"].to_list() == [True, True]
    alone = torch.zeros(3, A)
    alone[0, 0] = alone[1, 1] = 1.0
    alone[2, [0, 1]] = 1.0
    assert (found.apply(alone)[:, 0] > 0).tolist() == [False, False, True]


def test_shares_of_a_target_sum_to_one(recovered):
    edges = recovered[2].edges()
    sums = edges.group_by("target").agg(pl.col("share").sum())
    assert np.allclose(sums["share"].to_numpy(), 1, atol=1e-5)


def test_the_fit_beats_edges_drawn_by_chance(recovered):
    truth, _, found = recovered
    f = sources(seed=11)
    x = truth.estimate(f)
    g = np.random.default_rng(0)
    weight = found.weight.toarray()
    shuffled = np.stack([row[g.permutation(A)] for row in weight])
    chance = dataclasses.replace(found, weight=sp.csr_array(shuffled))
    assert (found.estimate(f) - x).square().mean() < 0.2 * (chance.estimate(f) - x).square().mean()


@pytest.mark.parametrize("activation", ["relu", "topk"])
def test_other_activations_are_fitted_and_applied(activation):
    truth, _ = planted(activation)
    f = sources(share=0.1)
    x = truth.estimate(f)
    found = fit_transports(truth.a, truth.b, table(f), x, ks=(8, 2), reaches=HERE, schedule=QUICK)
    start = truth.b.reconstruct(truth.a.decode(f))
    assert (found[8].estimate(f) - x).square().mean() < 0.2 * (start - x).square().mean()
    assert (np.diff(found[8].weight.indptr) <= 8).all()
    assert (np.diff(found[2].weight.indptr) <= 2).all()
    if activation == "topk":
        assert ((found[8].apply(f) > 0).sum(1) <= 4).all()
        assert found[8].threshold is None
        assert found[8].edges()["sufficient"].null_count() == found[8].n_edges


def test_what_is_carried_along_is_not_fitted_again():
    truth, _ = planted()
    f = sources()
    error = torch.randn(len(f), D, generator=torch.Generator().manual_seed(5))
    x = truth.estimate(f) + error
    given = {"k": 2, "schedule": SHORT, "seed": 4}
    with_it = fit_transport(truth.a, truth.b, table(f), x, error=error, **given)
    plain = fit_transport(truth.a, truth.b, table(f), x - error, **given)
    assert with_it.with_error
    assert not plain.with_error
    assert torch.allclose(with_it.bias, plain.bias, atol=1e-2)
    assert torch.equal(with_it.estimate(f, error), with_it.estimate(f) + error)


def test_same_seed_same_map():
    truth, _ = planted()
    f = sources(600)
    first, second = (
        fit_transport(truth.a, truth.b, table(f), truth.estimate(f), k=3, schedule=SHORT, seed=7)
        for _ in range(2)
    )
    assert np.array_equal(first.weight.toarray(), second.weight.toarray())
    assert torch.equal(first.bias, second.bias)


def test_features_that_never_fire_or_are_excluded_do_no_harm():
    truth, _ = planted()
    f = sources(600)
    f[:, 7] = 0  # never active
    W_enc = truth.b.W_enc.clone()
    W_enc[:, 5] = float("nan")
    W_dec = truth.a.W_dec.clone()
    W_dec[6] = 0
    a = dataclasses.replace(truth.a, W_dec=W_dec, exclusions={})
    b = dataclasses.replace(truth.b, W_enc=W_enc, exclusions={})
    x = truth.estimate(f)
    found = fit_transport(a, b, table(f), x, k=4, reaches=HERE, schedule=SHORT)
    weight = found.weight.toarray()
    assert np.isfinite(weight).all()
    assert not weight[5].any()
    assert not weight[:, 6].any()
    assert found.estimate(f).isfinite().all()
    assert found.source_size[7].isnan()
    edges = found.edges()
    assert (
        edges.filter(edges["source"] == 7)["sufficient"].null_count() == (weight[:, 7] != 0).sum()
    )


def test_edges_from_earlier_tokens_are_recovered():
    """Features of B that read a source here, one on the token before, one lately, one so far."""
    truth, _ = planted()
    g = torch.Generator().manual_seed(6)
    f = sources(8000)
    example = torch.arange(100).repeat_interleave(80)
    W = torch.zeros(4 * A, B)
    for j in range(B):
        at = torch.randperm(A, generator=g)[:4] + torch.tensor([0, A, 2 * A, 3 * A])
        W[at, j] = torch.tensor([1.5, 1.4, 3.0, 5.0])  # means vary less
    true = dataclasses.replace(
        truth,
        reaches=tuple(REACHES),
        weight=sp.csr_array(W.T.numpy()),
        bias=torch.full((B,), -0.5),
    )
    x = true.estimate(f, example=example)
    activations = FeatureActivations(table(f).matrix, example.numpy().astype(np.int32))
    found = fit_transport(truth.a, truth.b, activations, x, k=4, schedule=QUICK)
    edges = set(found.edges().select("source", "reach", "target").iter_rows())
    wanted = {(int(s) % A, tuple(REACHES)[int(s) // A], int(j)) for s, j in W.nonzero()}
    assert len(edges & wanted) >= 0.9 * len(wanted)
    alone = fit_transport(truth.a, truth.b, activations, x, k=4, reaches=HERE, schedule=QUICK)
    assert found.loss < 0.2 * alone.loss


def test_blocks_of_targets_make_no_difference(monkeypatch):
    truth, _ = planted()
    f = sources(600)
    given = {"k": 3, "reaches": HERE, "schedule": SHORT, "seed": 7}
    found = []
    for block in (2**20, 7 * A):
        monkeypatch.setattr("saematch.transport.fitting.BLOCK", block)
        found.append(fit_transport(truth.a, truth.b, table(f), truth.estimate(f), **given))
    assert found[0].n_edges == found[1].n_edges > 0
    np.testing.assert_allclose(found[0].weight.toarray(), found[1].weight.toarray(), atol=1e-5)


def test_examples_do_not_read_one_another(recovered):
    truth, _, _ = recovered
    W = sp.csr_array(np.tile(truth.weight.toarray(), 2))
    both = dataclasses.replace(truth, reaches=("here", "previous"), weight=W)
    f = sources(12)
    apart = both.apply(f, example=torch.arange(12))
    assert torch.equal(apart, both.apply(f[:, None])[:, 0])
    assert torch.allclose(apart, truth.apply(f), atol=1e-5)
    assert not torch.allclose(both.apply(f), apart, atol=0.1)
    halves = both.apply(f, example=torch.arange(12) // 6)
    assert torch.allclose(halves, both.apply(f.view(2, 6, A)).view(12, B))


class Weighed:
    """A loss that counts one dimension of the hidden state alone, and notes what it was asked."""

    def __init__(self, x, dimension):
        self.x, self.dimension, self.asked = x, dimension, []

    def batches(self, tokens, random):
        return np.array_split(random.permutation(len(self.x)), len(self.x) // tokens)

    def slope(self, rows, x_hat):
        self.asked.append(len(rows))
        error = torch.zeros_like(x_hat)
        error[:, self.dimension] = (x_hat - self.x[rows])[:, self.dimension]
        return float(error.square().sum()), 2 * error


def test_the_finish_is_fitted_by_what_comes_downstream():
    truth, _ = planted()
    f = sources(1500)
    x = truth.estimate(f) + torch.randn(1500, D, generator=torch.Generator().manual_seed(8))
    loss = Weighed(x, dimension=5)
    given = {"k": 1, "reaches": HERE, "schedule": QUICK}
    plain = fit_transport(truth.a, truth.b, table(f), x, **given)
    weighed = fit_transport(truth.a, truth.b, table(f), x, downstream=loss, **given)
    errors = [(t.estimate(f) - x)[:, 5].square().mean() for t in (weighed, plain)]
    assert errors[0] < 0.95 * errors[1]
    assert weighed.loss > plain.loss
    assert loss.asked == [500] * 3 * QUICK.final


def test_applied_to_any_leading_shape(recovered):
    found = recovered[2]
    f = sources(12)
    assert torch.allclose(found.apply(f.view(3, 4, A)).view(12, B), found.apply(f))
    assert found.apply(f[:1]).shape == (1, B)


@pytest.mark.wrong_arrays
def test_errors_name_what_is_wrong(recovered):
    truth, _, found = recovered
    f = sources(50)
    x = truth.estimate(f)
    a, b = truth.a, truth.b
    with pytest.raises(SaematchError, match=r"expected \(tokens, 30\)"):
        found.apply(f[:, :-1])
    with pytest.raises(SaematchError, match=r"example has shape \(49,\); expected \(50,\)"):
        found.apply(f, example=torch.zeros(49))
    with pytest.raises(SaematchError, match="reaches has 'there'"):
        fit_transport(a, b, table(f), x, reaches=("there",))  # pyright: ignore[reportArgumentType]
    with pytest.raises(SaematchError, match="activations_a is a Tensor; give FeatureActivations"):
        fit_transport(a, b, f, x)  # pyright: ignore[reportArgumentType]
    with pytest.raises(SaematchError, match="activations_a has 20 features"):
        fit_transport(a, b, table(f[:, :B]), x)
    with pytest.raises(SaematchError, match="target has shape"):
        fit_transport(a, b, table(f), x[1:])
    with pytest.raises(SaematchError, match="error has shape"):
        fit_transport(a, b, table(f), x, error=x[:, 1:])
    with pytest.raises(SaematchError, match="each must be 1 or more"):
        fit_transport(a, b, table(f), x, k=0)
    with pytest.raises(SaematchError, match="no tokens"):
        fit_transport(a, b, table(f[:0]), x[:0])
    normalised = dataclasses.replace(
        b, conventions=dataclasses.replace(b.conventions, normalisation="layer_norm")
    )
    with pytest.raises(SaematchError, match="normalises each token"):
        fit_transport(a, normalised, table(f), x)
    wider = dataclasses.replace(
        a, W_dec=torch.randn(A, D + 1), b_dec=torch.zeros(D + 1), exclusions={}
    )
    with pytest.raises(SaematchError, match="writes 25 dimensions"):
        fit_transport(wider, b, table(f), x)


def test_edges_to_an_sae_that_is_stored_in_bfloat16():
    a, b = sae(12, 0), sae(12, 1).to(dtype=torch.bfloat16)
    f = sources(300)
    f = torch.nn.functional.pad(f, (0, 12 - f.shape[1]))
    x = torch.randn(300, D)
    found = fit_transport(a, b, table(f), x, k=2, reaches=HERE, schedule=SHORT)
    edges = found.edges().filter(pl.col("sufficient").is_not_null())
    assert len(edges)
    for source, target, weight, enough in edges.select(
        "source", "target", "weight", "sufficient"
    ).iter_rows():
        alone = found.bias[target] + weight * found.source_size[source]
        limit = threshold(b)
        assert limit is not None
        assert enough == bool(alone > limit[target].float())

"""Errors and correlations of matched features, against numpy written from their definitions."""

from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest
import torch

from saematch.layers.layers import Layers
from saematch.reproduction import measures
from saematch.reproduction.measures import correlations, folded_errors
from support.saes import make_sae
from support.sparse_case import activations, dense_of


class Targets:
    """A run that holds nothing but targets; names are those of its SAEs."""

    def __init__(self, targets):
        self.targets = targets
        self.names = sorted({name for pair in targets for name in pair})

    def has_pair(self, a, b):
        return (a, b) in self.targets

    def pair(self, a, b):
        values = [None if t < 0 else int(t) for t in self.targets[a, b]]
        return pl.DataFrame({"target": pl.Series(values, dtype=pl.Int64)})

    def sae(self, name):
        return SimpleNamespace(checksum=name, site=None)


class Store:
    def __init__(self, dense):
        self.dense = dense

    def named(self, checksum, hook=None):
        return checksum

    def sae(self, name):
        return SimpleNamespace(d_sae=self.dense[name].shape[1])

    def activations(self, name):
        return activations(self.dense[name])


@pytest.fixture
def world():
    dense = {"a": dense_of(300, 12, 1), "b": dense_of(300, 12, 2), "c": dense_of(300, 9, 3)}
    dense["b"][:, 4] = 2 * dense["a"][:, 7]  # a's 7 lives on as b's 4
    dense["a"][:, 2] = 0
    dense["a"][:5, 2] = 1  # too few tokens to be counted
    rng = np.random.default_rng(0)
    first = rng.permutation(12)
    first[np.flatnonzero(first == 4)[0]], first[7] = first[7], 4
    first[0] = -1
    second = np.where(np.arange(12) < 9, rng.permutation(12) % 9, -1)
    return dense, first, second


def mean_of(dense, target, a="a", b="b"):
    x, y = dense[a].astype(float), dense[b].astype(float)
    found = []
    for i in range(x.shape[1]):
        if (x[:, i] > 0).sum() < 10:
            continue
        j = target[i]
        flat = j < 0 or x[:, i].std() == 0 or y[:, j].std() == 0
        found.append(0.0 if flat else np.corrcoef(x[:, i], y[:, j])[0, 1])
    return np.array(found)


def test_correlations_are_those_of_numpy(world):
    dense, first, second = world
    runs = {"one": Targets({("a", "b"): first}), "two": Targets({("a", "b"): second})}
    table = correlations([("a", "b")], dict(reversed(runs.items())), Store(dense), against="one")
    by = {row["method"]: row for row in table.iter_rows(named=True)}
    one, two = mean_of(dense, first), mean_of(dense, second)
    assert by["one"]["mean"] == pytest.approx(one.mean(), abs=1e-6)
    assert by["one"]["features"] == len(one) < 11  # without the rare one and the dead one
    assert by["two"]["mean"] == pytest.approx(two.mean(), abs=1e-6)
    assert by["two"]["gain"] == pytest.approx((two - one).mean(), abs=1e-6)
    assert by["one"]["gain"] == 0
    assert by["one"]["half"] == pytest.approx((one >= 0.5).mean())
    assert by["one"]["low"] < by["one"]["mean"] < by["one"]["high"]
    x, y = dense["a"], dense["b"]
    best = [
        max(np.corrcoef(x[:, i], y[:, j])[0, 1] for j in range(12) if y[:, j].std() > 0)
        for i in range(12)
        if (x[:, i] > 0).sum() >= 10
    ]
    assert by["best possible"]["mean"] == pytest.approx(np.mean(best), abs=1e-6)
    shares = [
        ((x[:, i] > 0) & (y[:, first[i]] > 0)).sum() / (x[:, i] > 0).sum() if first[i] >= 0 else 0
        for i in range(12)
        if (x[:, i] > 0).sum() >= 10
    ]
    assert by["one"]["together"] == pytest.approx(np.mean(shares))


def test_blocks_do_not_change_correlations(world, monkeypatch):
    dense, first, _ = world
    runs = {"one": Targets({("a", "b"): first})}
    whole = correlations([("a", "b")], runs, Store(dense))
    monkeypatch.setattr(measures, "BLOCK", 30)  # two features of A at a time
    assert correlations([("a", "b")], runs, Store(dense)).equals(whole)


def test_a_chain_goes_through_every_layer(world, monkeypatch):
    dense, first, second = world
    direct = np.full(12, -1)
    run = Targets({("a", "b"): first, ("b", "c"): second, ("a", "c"): direct})
    from saematch.matching.feature_map import FeatureMap

    def step(a, b):
        return FeatureMap.of(torch.as_tensor(run.targets[a, b]), dense[b].shape[1])

    path = SimpleNamespace(chain=("a", "b", "c"), map=step)
    monkeypatch.setattr(Layers, "of", lambda _: path)
    table = correlations([("a", "c")], {"direct": run}, Store(dense), chained=run)
    by = {row["method"]: row for row in table.iter_rows(named=True)}
    through = np.where(first >= 0, second[first], -1)
    assert by["chained"]["mean"] == pytest.approx(mean_of(dense, through, b="c").mean(), abs=1e-6)
    assert by["chained"]["skipped"] == 2
    assert by["direct"]["mean"] == 0


def test_errors_are_measured_in_one_fold_whatever_matched():
    a, b = (make_sae(6, 10, seed=seed) for seed in (1, 2))
    target = np.random.default_rng(0).permutation(10)
    runs = {"run": Targets({("a", "b"): target})}
    table = folded_errors([("a", "b")], runs, lambda name: {"a": a, "b": b}[name])
    theta_a, theta_b = a.threshold[:, None], b.threshold[:, None]
    decoder = (theta_a * a.W_dec - (theta_b * b.W_dec)[target]).pow(2).mean(1)
    encoder = (a.W_enc.T / theta_a - (b.W_enc.T / theta_b)[target]).pow(2).mean(1)
    identity = (theta_a * a.W_dec - theta_b * b.W_dec).pow(2).mean(1)
    by = {(row["method"], row["term"]): row for row in table.iter_rows(named=True)}
    assert by["run", "decoder"]["mean"] == pytest.approx(float(decoder.mean()), rel=1e-5)
    assert by["run", "encoder"]["median"] == pytest.approx(float(encoder.quantile(0.5)), rel=1e-5)
    assert by["identity", "decoder"]["mean"] == pytest.approx(float(identity.mean()), rel=1e-5)

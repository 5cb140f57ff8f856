"""Gates that were planted are found; those of chance and of copies are not called certain."""

import numpy as np
import polars as pl
import pytest
import scipy.sparse as sp

from saematch.activations import FeatureActivations
from saematch.errors import SaematchError
from saematch.layers.coactivation import relate
from saematch.layers.gates import GateRule, find_gates

TOKENS, LENGTH = 20_000, 100


def activations(on: list[np.ndarray]) -> FeatureActivations:
    """Features that are 1 where they are on."""
    example = (np.arange(TOKENS) // LENGTH).astype(np.int32)
    return FeatureActivations(sp.csr_array(np.stack(on, 1).astype(np.float32)), example)


@pytest.fixture(scope="module")
def planted():
    """Upstream 0, 1, 2, 3 at random, 4 and 5 copies of each other, 6 and 7 on one token each."""
    rng = np.random.default_rng(0)
    up = [rng.random(TOKENS) < p for p in (0.05, 0.06, 0.01, 0.02, 0.03)]
    up += [up[4], *np.zeros((2, TOKENS), bool)]
    common = rng.random(TOKENS) < 0.3
    up[6][np.flatnonzero(common)[3]] = up[7][np.flatnonzero(common)[90]] = True
    once = np.zeros(TOKENS, bool)
    # where both 0 and 2 happen to be on, and nothing else
    alone = up[0] & up[2] & ~(up[1] | up[3] | up[4])
    once[np.flatnonzero(alone)[0]] = True
    down = [up[0] & up[1], up[2] | up[3], up[4], once, common, np.zeros(TOKENS, bool)]
    return activations(up), activations(down)


def gates(found: pl.DataFrame, rule: str) -> set[tuple]:
    return set(found.filter(pl.col(rule)).select("kind", "feature", "first", "second").rows())


def test_only_planted_gates_are_certain(planted):
    found = find_gates(*planted)
    assert gates(found, "certain") == {("and", 0, 0, 1), ("or", 1, 2, 3)}
    # the published rule finds them too, and with them the copies, both ways, a feature that fired
    # once, and two inputs that fired once
    assert gates(found, "paper") == gates(found, "certain") | {
        *(("and", 2, 4, 5), ("or", 2, 4, 5), ("and", 3, 0, 2), ("or", 4, 6, 7)),
    }


def test_the_evidence_is_that_of_the_tokens(planted):
    up, down = (x.matrix.toarray() > 0 for x in planted)
    row = find_gates(*planted).row(0, named=True)
    x, y, j = up[:, 0], up[:, 1], down[:, 0]
    assert (row["kind"], row["feature"], row["inputs"]) == ("and", 0, 2)
    assert row["active"] == row["active_both"] == (x & y).sum() == j.sum()
    assert (row["active_first"], row["active_second"]) == (x.sum(), y.sum())
    assert row["share_first"] == row["joint"] == 1
    assert row["lift_second"] == pytest.approx(1 / y.mean())
    assert row["alone"] == pytest.approx(max(j.sum() / x.sum(), j.sum() / y.sum()))
    assert row["examples"] == len(np.unique(planted[0].example[j]))
    # Wilson's interval of n of n
    z = 1.959964
    assert row["low_first"] == pytest.approx(j.sum() / (j.sum() + z**2), rel=1e-6)


def test_a_noisy_gate_passes_one_rule_only():
    """Three in a hundred of the gate's tokens come without one input: necessity 0.97."""
    rng = np.random.default_rng(1)
    x, y = rng.random((2, TOKENS)) < 0.2
    j = (x & y) | (x & (rng.random(TOKENS) < 0.03 * 0.2))
    found = find_gates(activations([x, y]), activations([j]))
    assert gates(found, "certain") == {("and", 0, 0, 1)}
    assert not found["paper"].any()


def test_chance_gates_of_rare_features():
    """Features that fire two to four times at random, with no relation at all."""
    rng = np.random.default_rng(2)
    tokens = [rng.choice(TOKENS, n, replace=False) for n in rng.integers(2, 5, 300)]
    rare = np.zeros((300, TOKENS), bool)
    for i, at in enumerate(tokens):
        rare[i, at] = True
    common = rng.random((20, TOKENS)) < 0.3
    found = find_gates(activations([*common]), activations([*rare]))
    assert len(gates(found, "paper")) > 20
    assert gates(found, "certain") == set()


def test_bursts_within_one_text_are_no_gate(planted):
    """An AND that is seen on many tokens, of two examples only."""
    up, _ = planted
    x, y = (up.matrix[:, [i]].toarray()[:, 0] > 0 for i in (0, 1))
    x[:200] = y[:200] = False
    x[:150] = y[50:200] = True
    down = activations([x & y & (np.arange(TOKENS) < 200), np.zeros(TOKENS, bool)])
    lone = activations([x & (np.arange(TOKENS) < 200), y & (np.arange(TOKENS) < 200)])
    assert find_gates(lone, down, GateRule(examples=2))["certain"].any()
    assert not find_gates(lone, down)["certain"].any()


def test_parts_and_blocks_change_nothing(planted):
    class Parts:
        def __init__(self, whole: FeatureActivations) -> None:
            self.whole, self.d_sae = whole, whole.d_sae

        def shards(self):
            for first in range(0, TOKENS, 4_050):  # in the middle of an example
                yield self.whole.take(slice(first, first + 4_050))

    once = find_gates(*planted)
    cut = find_gates(Parts(planted[0]), Parts(planted[1]), memory=100)
    assert cut.equals(once)


def test_rules_out_of_range_are_refused():
    with pytest.raises(SaematchError, match="between 0 and 1"):
        GateRule(cutoff=1.0)


def test_relate_gives_every_table(planted):
    found = relate(*planted, statistics=["pearson", "jaccard"], k=2, cutoffs=[0.5])
    assert {*found.tables} == {"targets", "sources", "passing", "gates"}
    best = found.tables["targets"].filter(statistic="pearson", rank=1, feature=4)
    assert best.select("target", "value").row(0) == (2, pytest.approx(1.0))
    # 4 and 5 go on whole; 3 makes up two thirds of what 1 does; 0 and 1 are far from their gate
    passing = found.tables["passing"].filter(statistic="jaccard")
    assert passing["passing_forward"].to_list() == [3 / 8]
    assert found.summary["and_gates_certain"] == found.summary["or_gates_certain"] == 1
    assert found.summary["and_gates_paper"] == 3
    assert "gates" not in relate(*planted, statistics=["cosine"], gates=None).tables

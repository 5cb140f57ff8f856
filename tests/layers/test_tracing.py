"""A feature's way: followed over a gap, to its ends, and found by several names."""

from dataclasses import replace

import polars as pl
import pytest
import torch

from saematch import RunError, match
from saematch.layers import trace
from saematch.layers.layers import Layers
from saematch.layers.tracing import _next, find
from saematch.runs.run import Run
from support import by_hand
from support.saes import make_sae, permuted

N = 48
# order[l][i]: where feature i of layer l is in layer l + 1
ORDERS = [torch.randperm(N, generator=torch.Generator().manual_seed(i)) for i in range(3)]
LOST, DEAD = 7, 5  # of layer 0: what layer 1 does not have; and a dead feature


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Four layers of one dictionary, shuffled; one feature is missing in layer 1 alone."""
    saes = [make_sae(d_in=32, d_sae=N, layer=0)]
    W_dec = saes[0].W_dec.clone()
    W_dec[DEAD] = 0
    for layer, order in enumerate(ORDERS, start=1):
        site = make_sae(d_in=32, d_sae=N, layer=layer).conventions
        saes.append(replace(permuted(saes[-1], order, noise=0.05), conventions=site))
    saes[0] = replace(saes[0], W_dec=W_dec)
    unrelated = make_sae(d_in=32, d_sae=N, seed=9)
    place = ORDERS[0][LOST]
    weights = {"W_enc": saes[1].W_enc.clone(), "W_dec": saes[1].W_dec.clone()}
    weights["W_enc"][:, place] = unrelated.W_enc[:, 0]
    weights["W_dec"][place] = unrelated.W_dec[0]
    saes[1] = replace(saes[1], **weights)
    run = Run.create(tmp_path_factory.mktemp("run"), "flow", {}, saes)
    for i, j in ((0, 1), (1, 2), (2, 3), (0, 2)):
        run.add_pair(run.names[i], run.names[j], match(saes[i], saes[j], "cosine", candidates=3))
    return run


def way(feature, start=0, end=3):
    """Where feature i of layer `start` is in each later layer."""
    found = []
    for layer in range(start, end):
        feature = int(ORDERS[layer][feature])
        found.append((f"resid_post_{layer + 1}", feature))
    return found


def test_the_whole_way_from_either_end_and_from_the_middle(run):
    for feature in (0, 1, 30):
        nodes = [("resid_post_0", feature), *way(feature)]
        for place, (site, index) in enumerate(nodes):
            found = trace(run, site, index)
            forward = [(s.link.site, s.link.feature) for s in found.forward]
            backward = [(s.link.site, s.link.feature) for s in found.backward]
            assert forward == nodes[place + 1 :]
            assert backward == nodes[:place][::-1]
            assert all(s.link.kind == "match" for s in (*found.forward, *found.backward))
            assert (found.before, found.after) == ((), ())


def test_links_are_those_of_the_tables(run):
    step = trace(run, "resid_post_0", 0, alternatives=2).forward[0]
    row = run.pair("resid_post_0", "resid_post_1").row(0, named=True)
    assert step.link.feature == row["target"]
    assert step.link.score == pytest.approx(row["score"])
    assert step.link.cosine == pytest.approx(row["decoder_cosine"])
    assert step.link.p_value == pytest.approx(row["p_value"])
    assert step.link.rank == 1
    expected = run.candidates("resid_post_0", "resid_post_1").filter(
        pl.col("feature") == 0, pl.col("rank") > 1
    )
    assert [link.feature for link in step.alternatives] == expected["target"].to_list()
    assert [link.kind for link in step.alternatives] == ["candidate"] * 2


def test_a_gap_is_skipped_and_said(run):
    found = trace(run, "resid_post_0", LOST)
    target = way(LOST)
    assert [(s.link.site, s.link.feature) for s in found.forward] == target[1:]
    assert found.forward[0].skipped == ("resid_post_1",)
    assert found.forward[1].skipped == ()
    back = trace(run, *target[2])
    assert [(s.link.site, s.link.feature) for s in back.backward] == [
        target[1],
        ("resid_post_0", LOST),
    ]


def test_where_a_way_ends_the_nearest_are_given(run):
    stranger = int(ORDERS[0][LOST])
    found = trace(run, "resid_post_1", stranger, alternatives=2)
    assert (found.forward, found.backward) == ((), ())
    for links in (found.before, found.after):
        assert len(links) == 2 or (len(links) == 3 and links[2].kind == "target")
        assert "match" not in {link.kind for link in links}
        assert all(link.p_value is not None and link.p_value > 0.01 for link in links)
    assert {link.site for link in found.before} == {"resid_post_0"}
    assert {link.site for link in found.after} == {"resid_post_2"}


def test_a_target_that_another_feature_has_is_said_to_be_taken():
    pair = by_hand.pair(3, 3, {0: (1, 1e-12), 1: [(1, 1e-6), (2, 0.3)], 2: (0, 0.5)})
    # one to one: feature 1 gets its second choice
    pair.target[1], pair.matched[1], pair.p_value[1] = 2, False, 0.3
    made = by_hand.layers({"a": 3, "b": 3}, {("a", "b"): pair})
    cuts = {("a", "b"): 0.01}
    step, best = _next(made, cuts, "a", 1, True, 1)
    assert step is None
    assert [(link.feature, link.kind, link.taken) for link in best] == [
        (1, "candidate", 0),
        (2, "target", None),  # it is shown though it is not among the best
    ]
    assert _next(made, cuts, "a", 2, True, 1)[1][0].taken is None  # by chance
    # and backward: the source of b's feature 2 that is significant leads elsewhere
    pair.sources.index[2, 0], pair.sources.p_value[2, 0], pair.target[1] = 0, 1e-5, -1
    assert _next(made, cuts, "b", 2, False, 1)[1][0].taken == 1


@pytest.mark.parametrize(
    ("name", "feature"),
    [
        ("resid_post_2", 17),
        ("resid_post_2/17", None),
        ("resid_post_2#17", None),
        ("resid_post_2 #17", None),
        ("2", 17),
        ("2_17", None),
    ],
)
def test_names_of_a_feature(run, name, feature):
    assert find(Layers.of(run), name, feature) == ("resid_post_2", 17)


@pytest.mark.parametrize(
    ("name", "feature", "words"),
    [
        ("resid", 1, "no SAE 'resid'; it has resid_post_0, resid_post_1,"),
        ("9", 1, "at layer 9; it has resid_post_0"),
        ("9_1", None, "at layer 9; it has resid_post_0"),
        ("resid_post_1", None, "which feature of resid_post_1. It has 0 to 47"),
        ("resid_post_1", 48, "no feature 48; it has 0 to 47"),
        ("1", -1, "no feature -1; it has 0 to 47"),
        ("resid_post_0", DEAD, "feature 5 of resid_post_0 takes part in no matching: it is zero"),
    ],
)
def test_what_is_not_there(run, name, feature, words):
    with pytest.raises(RunError, match=words):
        trace(run, name, feature)


def test_layer_numbers_that_mean_several_saes(tmp_path):
    kinds = [("resid_pre", 0), ("resid_post", 0), ("mlp_out", 1)]
    saes = [
        make_sae(d_in=8, d_sae=4, seed=i, kind=kind, layer=layer)
        for i, (kind, layer) in enumerate(kinds)
    ]
    layers = Layers.of(Run.create(tmp_path / "a", "flow", {}, saes))
    assert find(layers, "0", 1) == ("resid_post_0", 1)
    with pytest.raises(RunError, match="residual stream at layer 1"):
        find(layers, "1", 1)
    seed = make_sae(d_in=8, d_sae=4, seed=5, layer=0, name="x/resid_post_0_seed")
    layers = Layers.of(Run.create(tmp_path / "b", "flow", {}, [saes[1], seed]))
    with pytest.raises(RunError, match="name one: resid_post_0, resid_post_0_seed"):
        find(layers, "0", 1)


def test_contexts_communities_and_other_streams(run, tmp_path, monkeypatch):
    texts = pl.DataFrame(
        {
            "feature": [0],
            "contexts": [
                [
                    {"before": "a", "token": t, "after": "c", "activation": 1.0, "source": "s"}
                    for t in ("x", "y", "z")
                ]
            ],
        }
    )
    monkeypatch.setattr(Run, "contexts", lambda run, name: texts if name[-1] == "0" else None)
    again = Run.open(run.path)
    table = pl.DataFrame(
        {
            "community": [0, 1],
            "label": ["other", "words"],
            "members": [
                [{"site": "resid_post_0", "feature": 1}],
                [{"site": "resid_post_0", "feature": 0}],
            ],
        }
    )
    again.add("flow", {"communities": table}, {})
    monkeypatch.setattr(again, "table", lambda section, name: table)
    found = trace(again, "resid_post_0", 0, contexts=2)
    assert [context.token for context in found.contexts] == ["x", "y"]
    assert found.forward[0].contexts == ()
    assert found.community == (1, "words")
    assert trace(run, "resid_post_0", 0).community is None

    residual = make_sae(d_in=32, d_sae=N, layer=1)
    writer = replace(
        permuted(residual, ORDERS[0], noise=0.05),
        conventions=make_sae(kind="mlp_out", layer=1).conventions,
    )
    other = Run.create(tmp_path, "flow", {}, [residual, writer])
    other.add_pair("mlp_out_1", "resid_post_1", match(writer, residual, "cosine", any_site=True))
    modules = trace(other, "resid_post_1", 3).modules
    assert [(m.site, m.feature, m.kind) for m in modules] == [
        ("mlp_out_1", int(ORDERS[0][3]), "match")
    ]
    found = trace(other, "mlp_out_1", int(ORDERS[0][3]))
    assert found.modules[0].feature == 3
    assert found.other_streams == ()
    # without a match, what is nearest there
    apart = replace(make_sae(d_in=32, d_sae=N, seed=9), conventions=writer.conventions)
    strange = Run.create(tmp_path / "strange", "flow", {}, [residual, apart])
    made = match(apart, residual, "cosine", any_site=True)
    strange.add_pair("mlp_out_1", "resid_post_1", made)
    found = trace(strange, "mlp_out_1", 0, alternatives=1)
    assert found.modules == ()
    assert found.other_streams[0][0].site == "resid_post_1"
    assert found.other_streams[0][0].feature == int(made.candidates.index[0, 0])

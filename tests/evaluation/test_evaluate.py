"""Whole evaluations: planted matchings on a small model, and runs that are taken up again."""

import contextlib
import json
import os
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
import torch

from saematch import Run, RunError, SaematchError, match, rescale
from saematch.evaluation import (
    EvaluationOptions,
    FeaturePairs,
    carried,
    evaluable,
    evaluate_matchings,
)
from saematch.evaluation.per_example import SplicedPair
from saematch.evaluation.run_evaluation import evaluate_run
from saematch.evaluation.run_pairs import chain
from saematch.evaluation.splice import batches
from saematch.layers.layers import Layers
from support.saes import make_sae, permuted
from support.small_model import CYCLE, SmallModel, at, examples

TEXTS = {"one": examples(10, seed=1), "other": examples(8, seed=2)}
FIT = ("apart", examples(30, seed=3))
FEW = EvaluationOptions(quantiles=(0.5,), resamples=20)


@pytest.fixture(scope="module")
def saes():
    """One dictionary, turned and rescaled from layer to layer."""
    first = make_sae()
    found = [at(first, 0)]
    for layer in (1, 2):
        scale = torch.linspace(0.5, 2, 96).roll(layer)
        found.append(at(rescale(permuted(found[-1], CYCLE), scale), layer))
    return found


@pytest.fixture(scope="module")
def still(saes):
    """Of a model whose blocks add nothing: what is planted is all there is."""
    return evaluate_matchings(match(saes[0], saes[2]), SmallModel(still=True), TEXTS, FIT, FEW)


def figure(table: pl.DataFrame, estimate: str, metric: str = "delta-loss", **settings) -> float:
    found = table.filter(pl.col("estimate") == estimate, pl.col("metric") == metric, **settings)
    assert len(found) == 1
    return found["value"][0]


def test_a_planted_permutation_costs_what_the_sae_itself_costs(still):
    for texts in TEXTS:
        table = still.filter(texts=texts)
        target = figure(table, "encode-decode target")
        got = figure(table, "match", links="assigned", carry="threshold")
        assert abs(target) > 0.1
        assert got == pytest.approx(target, abs=1e-5)
        assert figure(table, "encode-decode source") == pytest.approx(target, abs=1e-5)
        assert figure(table, "match", links="assigned", carry="none") != pytest.approx(
            target, abs=0.01
        )
        assert figure(table, "drop") == pytest.approx(0, abs=1e-6)
        assert figure(table, "match + error", links="assigned") == pytest.approx(0, abs=1e-5)
        assert figure(table, "least squares") == pytest.approx(0, abs=1e-4)
        scores = [
            figure(table, "match", m, links="assigned") for m in ("P(j|i)", "P(i|j)", "Jaccard")
        ]
        assert scores == [1, 1, 1]
        assert figure(table, "identity", "Jaccard") < 0.5
    assert still["skipped"].unique().to_list() == [2.0]


def test_figures_are_those_of_the_tokens(saes):
    model, few = SmallModel(), TEXTS["one"]
    found = match(saes[0], saes[1])
    table = evaluate_matchings(found, model, {"one": few}, FIT, FEW)
    a, b = "blocks.0.hook_resid_post", "blocks.1.hook_resid_post"
    fit = SplicedPair(model, saes[0], saes[1]).fit(FIT[1])
    x_b, x_hats, more, tokens = (
        [],
        {"match": [], "least squares": []},
        {"match": 0.0, "least squares": 0.0},
        0,
    )
    for ids in few:
        ids = torch.from_numpy(ids)[None]
        states = model.run(ids, [a, b])
        plain = model.losses(ids)[0, 1:].sum()
        f = found.map().apply(saes[0].encode(states[a][0, 1:]))
        every = {"match": saes[1].decode(f), "least squares": fit.ahead(states[a][0, 1:])}
        for name, x_hat in every.items():
            whole = torch.cat([states[b][:, :1], x_hat[None].float()], 1)
            new = model.losses(ids, replace={b: lambda there, _, w=whole: w})[0, 1:].sum()
            more[name] += float(new - plain)
            x_hats[name].append(x_hat)
        x_b.append(states[b][0, 1:])
        tokens += ids.shape[1] - 2
    x = torch.cat(x_b)
    for name, settings in (
        ("match", {"links": "matched", "carry": "threshold"}),
        ("least squares", {}),
    ):
        assert figure(table, name, **settings) == pytest.approx(more[name] / tokens, rel=1e-4)
        error = torch.cat(x_hats[name]) - x
        explained = 1 - error.pow(2).sum() / (x - x.mean(0)).pow(2).sum()
        assert figure(table, name, "explained variance", **settings) == pytest.approx(
            float(explained), rel=1e-4
        )
    row = table.filter(estimate="drop", metric="delta-loss").row(0, named=True)
    assert (row["examples"], row["tokens"]) == (10, tokens)
    assert row["low"] < row["value"] < row["high"]
    less = figure(table, "match", "delta-loss less drop's", links="assigned", carry="none")
    both = [figure(table, "match", links="assigned", carry="none"), figure(table, "drop")]
    assert less == pytest.approx(both[0] - both[1])
    # the map has learnt more than leaving things as they are
    assert figure(table, "least squares", "explained variance") > figure(
        table, "drop", "explained variance"
    )


def test_what_depends_on_the_target_alone_is_run_once(saes, tmp_path):
    run = made(saes, tmp_path, [(0, 2), (1, 2)])
    model = SmallModel()
    evaluate_run(run, model, {"one": TEXTS["one"]}, FIT, FEW, load=loader(saes))
    first = model.passes
    model = SmallModel()
    evaluate_run(
        run,
        model,
        {"x": TEXTS["other"]},
        FIT,
        replace(FEW, seed=1),
        load=loader(saes),
        overwrite=True,
        pairs=[(run.names[0], run.names[2])],
    )
    # plain, mean and the target's own reconstruction of the second pair are those of the first
    assert first == 2 * model.passes - 3


def made(saes, path, pairs, method: str = "sae-match") -> Run:
    run = Run.create(path / "run", "flow", {"fdr": 0.01, "method": method}, saes)
    for i, j in pairs:
        run.add_pair(run.names[i], run.names[j], match(saes[i], saes[j], method))
    return run


def loader(saes):
    known = {sae.conventions.source: sae for sae in saes}
    return known.__getitem__


def test_a_run_gives_what_its_matchings_give_and_chains_beside(saes, tmp_path):
    run = made(saes, tmp_path, [(0, 1), (1, 2), (0, 2)])
    model = SmallModel()
    table = evaluate_run(run, model, TEXTS, FIT, FEW, load=loader(saes), batch_tokens=50)
    assert table.select("a", "b").unique().height == 3
    for i, j in ((0, 1), (0, 2)):
        direct = evaluate_matchings(match(saes[i], saes[j]), model, TEXTS, FIT, FEW)
        mine = table.filter(pl.col("estimate") != "composed", a=run.names[i], b=run.names[j])
        assert mine["value"].to_list() == pytest.approx(direct["value"].to_list(), abs=1e-4)
        assert mine["method"].unique().to_list() == ["sae-match"]
        assert mine["find"].unique().to_list() == ["threshold"]
    far = table.filter(b=run.names[2], a=run.names[0], texts="one")
    for metric in ("delta-loss", "Jaccard"):
        one = far.filter(estimate="composed", links="assigned", metric=metric)["value"]
        other = pl.col("carry").is_null() | (pl.col("carry") == "threshold")
        same = far.filter(other, estimate="match", links="assigned", metric=metric)["value"]
        # of one planted dictionary chain and direct matching are the same permutation
        assert one.to_list() == pytest.approx(same.to_list(), abs=1e-5)
    assert table.filter(estimate="composed")["skipped"].unique().to_list() == [2.0]


def test_what_is_there_is_not_made_again(saes, tmp_path):
    run = made(saes, tmp_path, [(0, 1), (1, 2)])
    load = loader(saes)
    begun = []

    def evaluated(texts, options=FEW, **more):
        begun.clear()
        return evaluate_run(
            Run.open(run.path),
            SmallModel(),
            texts,
            FIT,
            options,
            load=load,
            begun=lambda pair, name: begun.append((*pair, name)),
            **more,
        )

    one = {"one": TEXTS["one"]}
    first = evaluated(one)
    assert [name for *_, name in begun] == [None, "one"] * 2
    both = evaluated(TEXTS)
    assert [name for *_, name in begun] == [None, "other"] * 2
    assert both.filter(texts="one").equals(first)
    again = evaluated(TEXTS)
    assert begun == []
    assert again.equals(both)
    assert Run.open(run.path).table("evaluation", "values").equals(both)
    entry = json.loads((run.path / "run.json").read_text())["evaluation"]
    assert set(entry["texts"]) == {"one", "other"}
    assert entry["options"]["quantiles"] == [0.5]
    with pytest.raises(RunError, match="resamples is 20 there, 21 here"):
        evaluated(TEXTS, replace(FEW, resamples=21))
    with pytest.raises(RunError, match="one has other examples there"):
        evaluated({"one": TEXTS["other"]})
    fresh = evaluated(one, replace(FEW, resamples=21), overwrite=True)
    assert len(fresh) == len(first)
    entry = json.loads((run.path / "run.json").read_text())["evaluation"]
    assert set(entry["texts"]) == {"one"}


def test_transports_are_added_to_what_is_there(saes, tmp_path):
    run = made(saes, tmp_path, [(0, 1), (1, 2)])
    load = loader(saes)
    first = evaluate_run(run, SmallModel(), TEXTS, FIT, FEW, load=load)
    few = replace(FEW, transports=(4,))
    pair = run.pairs[:1]
    table = evaluate_run(run, SmallModel(), TEXTS, FIT, few, load=load, pairs=pair)
    is_new = pl.col("estimate").str.starts_with("transport")
    key = ["a", "b", "texts", "estimate", "links", "carry", "q", "metric"]
    assert table.filter(~is_new).sort(key).equals(first.sort(key))
    added = table.filter(is_new)
    assert added.select("a", "b").unique().rows() == pair
    assert set(added["texts"]) == set(TEXTS)
    there = run.section("evaluation")
    assert there is not None
    assert there.options["transports"] == [4]
    assert set(run.table("evaluation", "transports")["k"]) == {4}
    both = evaluate_run(run, SmallModel(), TEXTS, FIT, few, load=load)
    assert both.filter(is_new).select("a", "b").unique().height == 2
    assert run.table("evaluation", "transports").select("a", "b").unique().height == 2
    begun = []
    again = evaluate_run(
        run, SmallModel(), TEXTS, FIT, few, load=load, begun=lambda *call: begun.append(call)
    )
    assert not begun
    assert again.equals(both)
    asked = r"transports is \[4\] there, \[\] here; ask for its transports to add to it, or"
    with pytest.raises(RunError, match=asked):
        evaluate_run(run, SmallModel(), TEXTS, FIT, FEW, load=load)


@pytest.mark.parametrize("last", ["transports", "values"])
def test_transports_that_a_killed_call_left_half_written_are_made_again(
    saes, tmp_path, monkeypatch, last
):
    run = made(saes, tmp_path, [(0, 1)])
    load, one = loader(saes), {"one": TEXTS["one"]}
    few = replace(FEW, transports=(4,))
    first = evaluate_run(run, SmallModel(), one, FIT, FEW, load=load)
    write = Run.write

    def killed(self, place, table):
        write(self, place, table)
        if place.endswith(f"{last}.parquet"):
            raise KeyboardInterrupt

    monkeypatch.setattr(Run, "write", killed)
    with pytest.raises(KeyboardInterrupt):
        evaluate_run(run, SmallModel(), one, FIT, few, load=load)
    monkeypatch.undo()
    run = Run.open(run.path)
    there = run.section("evaluation")
    assert there is not None
    assert there.options["transports"] == []
    others = replace(FEW, transports=(8,))
    table = evaluate_run(run, SmallModel(), one, FIT, others, load=load)
    assert set(run.table("evaluation", "transports")["k"]) == {8}
    is_new = pl.col("estimate").str.starts_with("transport")
    assert set(table.filter(is_new)["estimate"]) == {"transport, k = 8", "transport + error, k = 8"}
    assert table.filter(~is_new).height == first.height


@pytest.mark.parametrize("event", range(1, 9))
def test_figures_of_old_texts_never_pass_for_those_of_new_ones(saes, tmp_path, monkeypatch, event):
    """Stopped before any file appears: the same call with other texts is right, or refused."""
    run, load = made(saes, tmp_path, [(0, 1)]), loader(saes)
    run.finish()
    replace_file, written = os.replace, []

    def stop(source, target):
        written.append(target)
        if len(written) == event:
            raise KeyboardInterrupt
        replace_file(source, target)

    model = SmallModel()
    monkeypatch.setattr(os, "replace", stop)
    with contextlib.suppress(KeyboardInterrupt):
        evaluate_run(Run.open(run.path), model, TEXTS, FIT, FEW, load=load)
    monkeypatch.undo()
    assert len(written) >= min(event, 5)
    texts = {"one": TEXTS["one"], "other": examples(8, seed=9)}
    right = evaluate_matchings(match(saes[0], saes[1]), model, texts, FIT, FEW)
    there = Run.open(run.path).section("evaluation")
    told = {} if there is None else there.texts
    if "other" in told and event > 4:  # its values are there too
        with pytest.raises(RunError, match="other has other examples there"):
            evaluate_run(Run.open(run.path), model, texts, FIT, FEW, load=load)
        evaluate_run(Run.open(run.path), model, texts, FIT, FEW, load=load, overwrite=True)
    else:
        evaluate_run(Run.open(run.path), model, texts, FIT, FEW, load=load)
    there = Run.open(run.path)
    table = there.table("evaluation", "values")
    section = there.section("evaluation")
    assert section is not None
    assert set(section.texts) == set(texts)
    for name in texts:
        assert figure(table, "model", "loss", texts=name) == pytest.approx(
            figure(right, "model", "loss", texts=name), abs=1e-6
        )


def test_a_pair_gets_the_chain_that_came_after_it(saes, tmp_path):
    run = made(saes, tmp_path, [(0, 2)])
    a, _, c = run.names
    load = loader(saes)
    first = evaluate_run(run, SmallModel(), TEXTS, FIT, FEW, load=load)
    assert first.filter(estimate="composed").is_empty()
    for i, j in ((0, 1), (1, 2)):
        run.add_pair(run.names[i], run.names[j], match(saes[i], saes[j]))
    one = {"one": TEXTS["one"]}
    again = evaluate_run(run, SmallModel(), one, FIT, FEW, load=load)
    far = again.filter(a=a, b=c)
    chained = far.filter(estimate="composed")
    assert set(chained["texts"]) == {"one"}
    assert len(far.filter(estimate="drop", metric="delta-loss")) == 2  # one a text set, as before
    before = first.filter(texts="other")
    assert far.filter(texts="other").equals(before)
    begun = []
    evaluate_run(
        run, SmallModel(), one, FIT, FEW, load=load, begun=lambda pair, name: begun.append(pair)
    )
    assert begun == []


def test_a_chain_gets_the_matching_that_came_after_it(saes, tmp_path):
    run = made(saes, tmp_path, [(0, 1), (1, 2)])
    one, load = {"one": TEXTS["one"]}, loader(saes)
    first = evaluate_run(run, SmallModel(), one, FIT, FEW, load=load, reach=2)
    far = {"a": run.names[0], "b": run.names[2]}
    assert first.filter(estimate="match", **far).is_empty()
    run.add_pair(far["a"], far["b"], match(saes[0], saes[2]))
    again = evaluate_run(run, SmallModel(), one, FIT, FEW, load=load, reach=2)
    assert set(again.filter(**far)["estimate"]) >= {"match", "composed"}


def test_saes_of_one_name_keep_their_own_losses(tmp_path):
    found = [at(make_sae(seed=seed), layer) for seed, layer in ((0, 0), (1, 1), (2, 1))]
    sources = ["/d/layer_0/sae", "/d/seed1/layer_1/sae", "/d/seed2/layer_1/sae"]
    saes = [
        replace(sae, conventions=replace(sae.conventions, source=source))
        for sae, source in zip(found, sources, strict=True)
    ]
    assert saes[1].name == saes[2].name
    run = made(saes, tmp_path, [(0, 1), (0, 2)])
    one = {"one": TEXTS["one"]}
    table = evaluate_run(run, SmallModel(), one, FIT, FEW, load=loader(saes))
    own = [figure(table, "encode-decode target", b=run.names[place]) for place in (1, 2)]
    for place, got in zip((1, 2), own, strict=True):
        alone = evaluate_matchings(match(saes[0], saes[place]), SmallModel(), one, FIT, FEW)
        assert got == pytest.approx(figure(alone, "encode-decode target"), abs=1e-6)
    assert abs(own[0] - own[1]) > 1e-3


@pytest.mark.parametrize("dtypes", [("bfloat16", "float32"), ("bfloat16", "bfloat16")])
def test_what_saes_are_stored_in_does_not_round_hidden_states(saes, tmp_path, dtypes):
    stored = [
        sae.to(dtype=getattr(torch, kind)) for sae, kind in zip(saes[:2], dtypes, strict=True)
    ]
    read = [sae.to(dtype=torch.float32) for sae in stored]
    one = {"one": TEXTS["one"]}
    few = replace(FEW, transports=(4,))
    run = made(stored, tmp_path, [(0, 1)])
    table = evaluate_run(run, SmallModel(), one, FIT, few, load=loader(stored))
    found = match(*stored)
    direct = evaluate_matchings(found, SmallModel(), one, FIT, FEW)
    # the same weights held in float32: matches are those of the stored ones
    same = evaluate_matchings(replace(found, a=read[0], b=read[1]), SmallModel(), one, FIT, FEW)
    assert direct["value"].to_list() == pytest.approx(same["value"].to_list(), nan_ok=True)
    mine = table.filter(~pl.col("estimate").str.starts_with("transport"))
    assert mine["value"].to_list() == pytest.approx(direct["value"].to_list(), abs=1e-5)
    assert {"transport, k = 4", "transport + error, k = 4"} <= set(table["estimate"])


def test_true_hidden_states_are_those_of_the_model(saes):
    model = SmallModel()
    a, b = (sae.to(dtype=torch.bfloat16) for sae in saes[:2])
    ((batch,),) = [list(batches(TEXTS["one"]))]
    states = SplicedPair(model, a, b).hidden_states(batch)
    there = model.run(batch.ids, ["blocks.1.hook_resid_post"])["blocks.1.hook_resid_post"]
    assert torch.equal(states.x_b, there[batch.counted])


def test_what_the_model_was_opened_in_is_part_of_an_evaluation(saes, tmp_path):
    run = made(saes, tmp_path, [(0, 1)])
    one, load = {"one": TEXTS["one"]}, loader(saes)
    evaluate_run(run, SmallModel(), one, FIT, FEW, load=load)
    with pytest.raises(RunError, match="dtype is None there, bfloat16 here"):
        evaluate_run(run, SmallModel(), TEXTS, FIT, FEW, load=load, dtype="bfloat16")


def test_ways_of_rescaling_that_come_to_the_same_are_one(saes):
    ways = replace(FEW, carry=("auto", "threshold", "none", "none"))
    table = evaluate_matchings(match(saes[0], saes[1]), SmallModel(), TEXTS, FIT, ways)
    got = table.filter(estimate="match", links="assigned", metric="delta-loss", texts="one")
    assert got["carry"].to_list() == ["threshold", "none"]


def test_an_evaluation_outlives_a_pair_that_is_added(saes, tmp_path):
    run = made(saes, tmp_path, [(0, 1)])
    evaluate_run(run, SmallModel(), {"one": TEXTS["one"]}, FIT, FEW, load=loader(saes))
    run.add_pair(run.names[1], run.names[2], match(saes[1], saes[2]))
    assert set(run.table("evaluation", "values")["b"]) == {run.names[1]}
    (run.path / "evaluation" / "values.parquet").unlink()
    assert run.section("evaluation") is None
    with pytest.raises(RunError, match="no evaluation table"):
        run.table("evaluation", "values")


def test_other_weights_are_refused(saes, tmp_path):
    run = made(saes, tmp_path, [(0, 1)])
    other = {sae.conventions.source: replace(sae, b_dec=sae.b_dec + 1) for sae in saes}
    with pytest.raises(RunError, match="other weights"):
        evaluate_run(run, SmallModel(), TEXTS, FIT, FEW, load=other.__getitem__)


def test_pairs_go_forward_in_one_stream_nearest_first(saes, tmp_path):
    more = [*saes, at(make_sae(seed=7), 1, "mlp_out")]
    run = made(more, tmp_path, [(0, 1), (1, 2), (2, 0)])
    run.add_pair(run.names[3], run.names[1], match(more[3], more[1], "feature-flow", any_site=True))
    a, b, c, _ = run.names
    assert evaluable(run) == [(a, b), (b, c)]
    assert evaluable(run, 2) == [(a, b), (b, c), (a, c)]
    assert evaluable(run, 0.5) == []
    assert chain(Layers.of(run), a, c) == [a, b, c]
    assert chain(Layers.of(run), a, b) == []
    with pytest.raises(RunError, match="no chain that joins"):
        evaluate_run(run, SmallModel(), TEXTS, FIT, FEW, load=loader(more), pairs=[(c, b)])
    with pytest.raises(SaematchError, match="forward only"):
        evaluate_matchings(match(saes[1], saes[0]), SmallModel(), TEXTS, FIT, FEW)


@pytest.mark.parametrize("activation", ["relu", "topk"])
def test_saes_without_thresholds_are_carried_by_decoder_norm(activation):
    a = at(make_sae(activation=activation), 0)
    b = at(permuted(a, CYCLE), 1)
    b = at(rescale(b, torch.linspace(0.5, 2, 96)), 1)
    table = evaluate_matchings(match(a, b), SmallModel(still=True), TEXTS, FIT, FEW)
    got = table.filter(estimate="match", links="assigned", metric="delta-loss", texts="one")
    assert set(got["carry"]) == {"decoder-norm", "none"}
    own = figure(table, "encode-decode target", texts="one")
    assert got.filter(carry="decoder-norm")["value"][0] == pytest.approx(own, abs=1e-4)
    assert got.filter(carry="none")["value"][0] != pytest.approx(own, abs=1e-2)


def test_an_estimate_of_ones_own(saes):
    found = match(saes[0], saes[1])
    links = carried(FeaturePairs.of(found), name="mine")
    table = evaluate_matchings(found, SmallModel(), TEXTS, FIT, FEW, more=lambda a, b, fit: [links])
    mine = figure(table, "mine", texts="one")
    assert mine == figure(table, "match", texts="one", links="assigned", carry="threshold")


def test_what_cannot_be_evaluated_is_said(saes):
    found = match(saes[0], saes[1])
    model = SmallModel()
    with pytest.raises(SaematchError, match="fit is 'third'"):
        evaluate_matchings(found, model, TEXTS, "third")
    with pytest.raises(SaematchError, match="a text set at least"):
        evaluate_matchings(found, model, {})
    with pytest.raises(SaematchError, match="carry is 'norm'"):
        EvaluationOptions(carry=("norm",))
    with pytest.raises(SaematchError, match=r"quantiles has 2"):
        EvaluationOptions(quantiles=(2,))
    nowhere = replace(saes[0], conventions=replace(saes[0].conventions, site=None))
    with pytest.raises(SaematchError, match="where it sits"):
        SplicedPair(model, nowhere, saes[1])
    with pytest.raises(SaematchError, match="reads 16 dimensions, but blocks"):
        SplicedPair(model, at(make_sae(16), 1), at(make_sae(16), 2)).fit(FIT[1])
    skip = replace(saes[0], W_skip=torch.zeros(32, 32))
    with pytest.raises(SaematchError, match="transcoder"):
        SplicedPair(model, skip, saes[1])


def test_an_interval_is_of_examples_not_of_tokens(saes):
    found = match(saes[0], saes[1])
    same = {"one": [TEXTS["one"][0]] * 5}
    table = evaluate_matchings(found, SmallModel(), same, FIT, FEW)
    drop = table.filter(estimate="drop", metric="delta-loss").row(0, named=True)
    np.testing.assert_allclose([drop["low"], drop["high"]], drop["value"])

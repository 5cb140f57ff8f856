"""`saematch.capture`, `relate` and `evaluate` from Python, on the shipped model."""

import gc
import re

import numpy as np
import pytest
from polars.testing import assert_frame_equal
from typer.testing import CliRunner

import saematch
from saematch import Run
from saematch.activations import ActivationStore
from saematch.cli import app
from saematch.errors import RunError, SaematchError
from saematch.models import open_model

pytest.importorskip("transformers")
NAMES = ("saematch:resid_post_3", "saematch:resid_post_4")
FEW = {"examples": 4, "length": 40}
SMALL = {"fit_examples": 4, "resamples": 20, "quantiles": (0.5,)}


def command(*arguments):
    done = CliRunner().invoke(app, [*map(str, arguments), "-q"])
    assert done.exit_code == 0, done.exception or done.output


@pytest.fixture(scope="module")
def model():
    return open_model("saematch:model")


@pytest.fixture(scope="module")
def store(model):
    return saematch.capture([saematch.load(name) for name in NAMES], model, "saematch:prose", **FEW)


def test_a_store_is_that_of_the_command(store, tmp_path):
    given = ("--text", "saematch:prose", "--examples", 4, "--length", 40)
    command("capture", *NAMES, "--model", "saematch:model", *given, "-o", tmp_path / "acts")
    theirs = ActivationStore.open(tmp_path / "acts")
    assert store.names == theirs.names
    assert store.record.texts == theirs.record.texts
    assert store.record.model == theirs.record.model
    for name in store.names:
        ours, other = store.activations(name), theirs.activations(name)
        assert (ours.matrix != other.matrix).nnz == 0


def test_matching_takes_a_store_its_folder_and_what_is_in_it(store):
    both = store.activations("resid_post_3"), store.activations("resid_post_4")
    found = saematch.match(*NAMES, activations=store)
    assert found.method.name == "fused"
    for given in (store.path, both):
        assert_frame_equal(saematch.match(*NAMES, activations=given).to_polars(), found.to_polars())
    run = saematch.flow(NAMES, activations=store, tokens=100)
    assert run.record.options["activations"]["tokens"] == 100
    some = saematch.match(*NAMES, activations=store, tokens=100)
    assert_frame_equal(run.pair(*run.names), some.to_polars())


def test_a_store_without_a_place_is_gone_when_nobody_has_it(model):
    store = saematch.capture(NAMES[0], model, "saematch:code", examples=1, length=10)
    path = store.path
    assert path.is_dir()
    del store
    gc.collect()
    assert not path.parent.exists()


def test_what_a_workflow_notes_is_logged(model, caplog):
    with caplog.at_level("INFO", logger="saematch"):
        saematch.capture(NAMES[0], model, "saematch:code", examples=2, length=10)
    assert re.search(r"2 examples, about .* on disk", caplog.text)
    assert any(record.levelname == "WARNING" for record in caplog.records)


def test_relations_are_those_of_the_command(store, tmp_path):
    told = []
    run = saematch.flow(NAMES, "feature-flow")
    assert saematch.relate(run, store, top_k=3, progress=told.append) is run
    assert [str(step) for step in told] == [
        "relating 0 of 1: resid_post_3 → resid_post_4",
        "relating 1 of 1",
    ]
    command("flow", *NAMES, "--method", "feature-flow", "-o", tmp_path / "run")
    command("relate", tmp_path / "run", "--activations", store.path, "--top-k", 3)
    theirs = Run.open(tmp_path / "run")
    assert run.tables("relations") == theirs.tables("relations")
    for name in run.tables("relations"):
        assert_frame_equal(run.table("relations", name), theirs.table("relations", name))
    with pytest.raises(RunError, match="holds relations with other top_k"):
        saematch.relate(theirs.path, store)


def test_an_evaluation_is_that_of_the_command(model, tmp_path):
    run = saematch.flow(NAMES, "feature-flow", null="none")
    told = []
    found = saematch.evaluate(run, model, "saematch:prose", **FEW, **SMALL, progress=told.append)
    assert found is run
    assert [step.done for step in told] == [0, 0, 1]
    assert "resid_post_3 → resid_post_4 on saematch:prose" in str(told[1])
    command("flow", *NAMES, "--method", "feature-flow", "--null", "none", "-o", tmp_path / "run")
    given = ("--examples", 4, "--length", 40, "--fit-examples", 4, "--resamples", 20)
    texts = ("--model", "saematch:model", "--text", "saematch:prose", "--quantiles", "0.5")
    command("evaluate", tmp_path / "run", *texts, *given)
    theirs = Run.open(tmp_path / "run")
    assert_frame_equal(run.table("evaluation", "values"), theirs.table("evaluation", "values"))
    with pytest.raises(RunError, match=r"pair a--b: .* has no SAE 'a'"):
        saematch.evaluate(run, model, "saematch:prose", pairs=["a--b"])


def test_saes_in_memory_are_evaluated_if_they_are_given_again(model):
    import dataclasses

    saes = []
    for name in NAMES:
        sae = saematch.load(name)
        known = dataclasses.replace(sae.conventions, source="")
        saes.append(dataclasses.replace(sae, conventions=known))
    run = saematch.flow(saes, "feature-flow", null="none")
    assert run.names == ["resid_post_3", "resid_post_4"]
    given = {**FEW, **SMALL, "text": "saematch:prose"}
    with pytest.raises(RunError, match=r"resid_post_3 was given in memory .* give it again"):
        saematch.evaluate(run, model, **given)
    saematch.evaluate(run, model, **given, saes=saes)
    by_name = saematch.flow(NAMES, "feature-flow", null="none")
    saematch.evaluate(by_name, model, **given)
    values = (r.table("evaluation", "values") for r in (run, by_name))
    assert_frame_equal(*values)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"dtype": "int8"}, "dtype is 'int8'; it must be one of float32, bfloat16, float16"),
        ({"text": ["saematch:prose", "saematch:prose"]}, "saematch:prose is given twice"),
        ({"text": "generated", "examples": 0}, "say how many the model is to generate"),
        ({"model": "./nowhere"}, "cannot be opened as a language model"),
    ],
)
def test_errors_are_one_line(options, said, tmp_path):
    given = {"model": "saematch:model", "text": "saematch:prose", "out": tmp_path / "x", **options}
    with pytest.raises(SaematchError, match=said) as raised:
        saematch.capture(NAMES, **given)
    assert "\n" not in str(raised.value)
    assert not (tmp_path / "x").exists()


def test_massive_activations_are_left_out_of_a_store_and_it_says_so(model, tmp_path, caplog):
    given = (NAMES, model, "saematch:prose")
    usual = saematch.capture(*given, **FEW, massive=0, out=tmp_path / "usual")
    assert "massive" not in usual.record.options
    with caplog.at_level("WARNING", "saematch"):
        store = saematch.capture(*given, **FEW, massive=1.05, out=tmp_path / "strict")
    assert store.record.options["massive"] == 1.05
    silent = {
        name: np.diff(store.activations(name).matrix.indptr) == 0 for name in store.names
    }  # no token of these SAEs is silent by itself
    first, second = silent.values()
    assert (first == second).all()
    assert 0 < first.sum() < store.n_tokens == usual.n_tokens
    assert f"{first.sum():,} of {store.n_tokens:,} tokens have massive activations" in caplog.text
    for name in store.names:
        ours, theirs = (s.activations(name).matrix.toarray() for s in (store, usual))
        assert (ours[~first] == theirs[~first]).all()
    with pytest.raises(SaematchError, match="how many times the median norm"):
        saematch.capture(*given, **FEW, massive=0.5, out=store.path, overwrite=True)
    assert ActivationStore.open(store.path).n_tokens == store.n_tokens
    with pytest.raises(RunError, match=r"massive is 1\.05 there, not set here"):
        saematch.capture(*given, **FEW, massive=0, out=tmp_path / "strict")


def test_massive_activations_do_not_count_in_an_evaluation(model, tmp_path):
    run = saematch.flow(NAMES, "feature-flow", null="none", out=tmp_path / "run")
    saematch.evaluate(run, model, "saematch:prose", **FEW, **SMALL, massive=0)
    before = run.table("evaluation", "values")
    assert run.section("evaluation").options["massive"] is None
    with pytest.raises(RunError, match=r"massive is 0 there, 1\.05 here"):
        saematch.evaluate(run, model, "saematch:prose", **FEW, **SMALL, massive=1.05)
    saematch.evaluate(run, model, "saematch:prose", **FEW, **SMALL, massive=1.05, overwrite=True)
    after = run.table("evaluation", "values")
    fewer, every = (t.filter(metric="explained variance")["tokens"][0] for t in (after, before))
    assert 0 < fewer < every


def test_text_sets_may_have_names(model):
    run = saematch.flow(NAMES, "feature-flow", null="none")
    texts = {"novels": "saematch:prose", "programs": "saematch:code"}
    saematch.evaluate(run, model, texts, **FEW, **SMALL)
    assert set(run.table("evaluation", "values")["texts"]) == {"novels", "programs"}
    with pytest.raises(SaematchError, match="given twice"):
        saematch.evaluate(run, model, {"a": "saematch:code", "b": "saematch:code"}, **FEW)


def test_the_jacobian_is_added_to_an_evaluation_and_then_kept_up(model, tmp_path):
    names = ("saematch:resid_pre_0", "saematch:resid_post_0")
    saematch.match(*names, "cosine", null="none", out=tmp_path / "run")
    run = Run.open(tmp_path / "run")
    few = {"examples": 6, "length": 120, "fit_examples": 4, "resamples": 20, "quantiles": ()}
    saematch.evaluate(run, model, "saematch:prose", **few)
    before = run.table("evaluation", "values")
    assert "jacobian" not in before["estimate"]
    saematch.evaluate(run, model, "saematch:prose", jacobian=True, **few)
    after = run.table("evaluation", "values")
    added = {"jacobian", "carried decoder"}
    assert_frame_equal(after.filter(~after["estimate"].is_in(added)), before)
    # the embedding is not the stream after block 0, and the model says what becomes of it
    loss = after.filter(metric="delta-loss")
    cost = dict(loss.select("estimate", "value").iter_rows())
    assert cost["jacobian"] < 0.5 * cost["drop"]
    assert cost["carried decoder"] < 0.5 * cost["match"]
    saematch.evaluate(run, model, ["saematch:prose", "saematch:code"], **few)
    code = run.table("evaluation", "values").filter(texts="saematch:code")
    assert added <= {*code["estimate"]}

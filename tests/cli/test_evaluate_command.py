"""`saematch evaluate` on the shipped model: what it prints, and what a second call does."""

import polars as pl
import pytest
from typer.testing import CliRunner

import saematch
from saematch.cli import app
from saematch.runs import Run

pytest.importorskip("transformers")
TEXTS = ("--text", "saematch:prose", "--text", "saematch:code")
SMALL = ("--examples", "4", "--length", "20", "--fit-examples", "8", "--resamples", "30")
MODEL = ("--model", "saematch:model", *SMALL, "--quantiles", "0.5")


def called(*arguments):
    return CliRunner().invoke(app, ["evaluate", *map(str, arguments)])


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    saes = [saematch.load(f"saematch:resid_post_{layer}") for layer in (2, 3, 4)]
    made = Run.create(tmp_path_factory.mktemp("run"), "flow", {}, saes)
    for i, j in ((0, 1), (1, 2)):
        found = saematch.match(saes[i], saes[j], "feature-flow", null="none")
        made.add_pair(made.names[i], made.names[j], found)
    return made


@pytest.fixture(scope="module")
def done(run):
    found = called(run.path, *MODEL, *TEXTS, "--reach", 2)
    assert found.exit_code == 0, found.output
    return found


def test_it_prints_a_table_for_each_text_set_and_where_the_files_are(run, done):
    for said in (
        "saematch:prose: 4 examples, 72 predictions",
        "saematch:code: 4 examples, 72 predictions",
        "resid_post_2 → resid_post_3",
        "partial, q = 0.5",
        "Delta-loss by distance",
        "Matching scores",
        "fitted on 152 tokens of saematch:prose",
        f"Written to {run.path}",
    ):
        assert said in done.output, said


def test_the_table_holds_every_pair_and_text_set(run, done):
    table = Run.open(run.path).evaluation_table("values")
    assert table.select("a", "b", "texts").unique().height == 6
    chained = table.filter(estimate="composed")
    assert set(zip(chained["a"], chained["b"], strict=True)) == {("resid_post_2", "resid_post_4")}
    drop = table.filter(estimate="drop", metric="delta-loss", skipped=1)
    own = table.filter(estimate="encode-decode target", metric="delta-loss", skipped=1)
    assert (drop["value"] > own["value"]).all()
    assert (table.filter(metric="loss")["value"].is_between(2, 7)).all()


def test_the_same_call_again_computes_nothing(run, done, monkeypatch):
    before = Run.open(run.path).evaluation_table("values")
    monkeypatch.setattr("saematch.evaluation.evaluate.Tally", None)
    again = called(run.path, *MODEL, *TEXTS, "--reach", 2)
    assert again.exit_code == 0, again.output
    assert again.stdout == done.stdout
    assert Run.open(run.path).evaluation_table("values").equals(before)


def test_examples_to_fit_on_are_none_of_those_reported_on(run, done):
    from saematch.activations.model import open_model
    from saematch.cli.evaluate import _texts

    language = open_model("saematch:model")
    texts, (name, fitted) = _texts(
        language, ["saematch:prose"], "saematch:prose", 100, 200, 1024, 0
    )
    assert name == "saematch:prose"
    assert len(texts[name]) == 100
    assert len(fitted) == 20
    seen = {ids.tobytes() for ids in texts[name]}
    assert not seen & {ids.tobytes() for ids in fitted}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ((*MODEL, *TEXTS, "--pairs", "resid_post_2--resid_post_9"), "no SAE 'resid_post_9'"),
        ((*MODEL, *TEXTS, "--quantiles", "half"), "--quantiles is 'half'"),
        ((*MODEL, *TEXTS, *TEXTS), "given twice"),
        ((*MODEL, *TEXTS, "--examples", "120"), "no examples left to fit on"),
        ((*MODEL, *TEXTS, "--dtype", "int8"), "--dtype is 'int8'"),
        ((*MODEL, *TEXTS, "--seed", "1"), "seed is 0 there, 1 here"),
    ],
)
def test_what_cannot_be_done_is_said(run, done, options, said):
    found = called(run.path, *options)
    assert found.exit_code != 0
    assert said in str(found.exception)


def test_quiet_prints_the_run_directory_alone(run, done):
    found = called(run.path, *MODEL, *TEXTS, "--reach", 2, "--quiet")
    assert found.stdout.strip() == str(run.path)


def test_figures_are_drawn_from_it(run, done, tmp_path):
    pytest.importorskip("plotly")
    found = CliRunner().invoke(
        app, ["plot", str(run.path), "-o", str(tmp_path), "--only", "carried"]
    )
    assert found.exit_code == 0, found.output
    assert (tmp_path / "carried.html").stat().st_size > 10_000


def test_figures_of_the_shipped_model_are_near_those_of_its_card(run, done):
    """Delta-loss of an SAE's own reconstruction: 0.09 to 0.10 on code, on all held-out text."""
    table = Run.open(run.path).evaluation_table("values")
    own = table.filter(estimate="encode-decode target", metric="delta-loss", texts="saematch:code")
    assert own.filter(pl.col("skipped") == 1)["value"].is_between(0, 0.4).all()


def test_sparse_transports_are_evaluated_and_their_edges_kept(tmp_path):
    a, b = (saematch.load(f"saematch:resid_post_{layer}") for layer in (3, 4))
    run = Run.create(tmp_path / "run", "match", {}, [a, b])
    run.add_pair(*run.names, saematch.match(a, b, "feature-flow", null="none"))
    given = (run.path, *MODEL, "--text", "saematch:prose", "--transport", "4")
    found = called(*given)
    assert found.exit_code == 0, found.output
    run = Run.open(run.path)
    values = run.evaluation_table("values").filter(metric="delta-loss")
    for name in ("transport, k = 4", "transport + error, k = 4"):
        assert values.filter(estimate=name).height == 1
        assert name in found.output
    edges = run.evaluation_table("transports")
    assert set(edges["carried"]) == {True, False}
    degrees = edges.group_by("carried", "target").len()["len"]
    assert degrees.max() == 4
    assert called(*given).exit_code == 0
    other = called(*given[:-1], "8")
    assert "transports is [4] there, [8] here" in str(other.exception)


def test_transport_takes_numbers(run):
    found = called(run.path, *MODEL, *TEXTS, "--transport", "few")
    assert "--transport is 'few'" in str(found.exception)

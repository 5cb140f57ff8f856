"""`saematch evaluate` on the shipped model: what it prints, and what a second call does."""

import io
import json
import re

import polars as pl
import pytest
from typer.testing import CliRunner

import saematch
from saematch.cli import app
from saematch.runs.run import Run

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
    table = Run.open(run.path).table("evaluation", "values")
    assert table.select("a", "b", "texts").unique().height == 6
    chained = table.filter(estimate="composed")
    assert set(zip(chained["a"], chained["b"], strict=True)) == {("resid_post_2", "resid_post_4")}
    drop = table.filter(estimate="drop", metric="delta-loss", skipped=1)
    own = table.filter(estimate="encode-decode target", metric="delta-loss", skipped=1)
    assert (drop["value"] > own["value"]).all()
    assert (table.filter(metric="loss")["value"].is_between(2, 7)).all()


def test_the_same_call_again_computes_nothing(run, done, monkeypatch):
    before = Run.open(run.path).table("evaluation", "values")
    monkeypatch.setattr("saematch.evaluation.evaluate.Tally", None)
    again = called(run.path, *MODEL, *TEXTS, "--reach", 2)
    assert again.exit_code == 0, again.output
    assert again.stdout == done.stdout
    assert Run.open(run.path).table("evaluation", "values").equals(before)


def test_examples_to_fit_on_are_none_of_those_reported_on(run, done):
    from saematch.models.opening import open_model
    from saematch.workflows.evaluate import texts_of

    language = open_model("saematch:model")
    texts, (name, fitted) = texts_of(
        language, {"saematch:prose": "saematch:prose"}, "saematch:prose", 100, 200, 1024, 0
    )
    assert name == "saematch:prose"
    assert len(texts[name]) == 100
    assert len(fitted) == 20
    seen = {ids.tobytes() for ids in texts[name]}
    assert not seen & {ids.tobytes() for ids in fitted}


def test_what_the_model_writes_is_fitted_on(tmp_path):
    a, b = (saematch.load(f"saematch:resid_post_{layer}") for layer in (3, 4))
    run = Run.create(tmp_path / "run", "match", {}, [a, b])
    run.add_pair(run.names[0], run.names[1], saematch.match(a, b, "feature-flow", null="none"))
    given = (run.path, *MODEL, "--text", "saematch:prose", "--fit", "generated")
    found = called(*given)
    assert found.exit_code == 0, found.output
    assert "fitted on 152 tokens of generated" in " ".join(found.output.split())
    assert re.search(
        r"intervals over examples: at most 0\.\d+ wide", " ".join(found.output.split())
    )
    table = Run.open(run.path).table("evaluation", "values")
    assert set(table["fit"]) == {"generated"}
    # the same call again writes the same text, so that nothing is made anew or refused
    assert called(*given).exit_code == 0
    assert Run.open(run.path).table("evaluation", "values").equals(table)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ((*MODEL, *TEXTS, "--pairs", "resid_post_2--resid_post_9"), "no SAE 'resid_post_9'"),
        ((*MODEL, *TEXTS, *TEXTS), "given twice"),
        ((*MODEL, *TEXTS, "--examples", "120"), "no examples left to fit on"),
        ((*MODEL, *TEXTS, "--length", "2"), "length (--length) is 2; an example takes 3 tokens"),
        ((*MODEL, *TEXTS, "--dtype", "bfloat16"), "dtype is None there, bfloat16 here"),
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


@pytest.mark.parametrize("name", ["resid_post_1", "resid_post_4"])
def test_figures_of_the_shipped_model_are_near_those_of_its_card(name):
    """Delta-loss of an SAE's own reconstruction on code: on a third of the text, within a fifth."""
    from saematch.evaluation import baselines
    from saematch.evaluation.per_example import SplicedPair, Tally
    from saematch.evaluation.scores import Resamples
    from saematch.models.opening import open_model
    from saematch.models.texts import open_texts, tokenise

    language, sae = open_model("saematch:model"), saematch.load(f"saematch:{name}")
    few = tokenise(open_texts("saematch:code", 40), language.tokenizer, 256)
    spliced = SplicedPair(language, sae, sae)
    (own,) = (e for e in baselines(spliced.fit(few[:2])) if e.name == "encode-decode target")
    frame = Tally(spliced, [own], {}, len(few)).count(few).frame(Resamples(len(few), 0))
    (value,) = frame.filter(metric="delta-loss")["value"]
    card = json.loads((saematch.sae.shipped.folder() / "figures.json").read_text())
    expected = card["saes"][name]["delta_loss_code"]
    assert value == pytest.approx(expected, rel=0.2)


@pytest.mark.slow
def test_sparse_transports_are_evaluated_and_their_edges_kept(tmp_path):
    a, b = (saematch.load(f"saematch:resid_post_{layer}") for layer in (3, 4))
    run = Run.create(tmp_path / "run", "match", {}, [a, b])
    run.add_pair(run.names[0], run.names[1], saematch.match(a, b, "feature-flow", null="none"))
    given = (run.path, *MODEL, "--text", "saematch:prose", "--transport", "4")
    found = called(*given)
    assert found.exit_code == 0, found.output
    run = Run.open(run.path)
    values = run.table("evaluation", "values").filter(metric="delta-loss")
    for name in ("transport, k = 4", "transport + error, k = 4"):
        assert values.filter(estimate=name).height == 1
        assert name in found.output
    assert "Note: transports are fitted on 152 tokens, which are few; give 10,000" in found.stderr
    assert "mean and transports were fitted on 152 tokens" in " ".join(found.output.split())
    said = " ".join(found.output.split())
    assert "Transport, k = 4 costs more than leaving the layer out in" in said
    edges = run.table("evaluation", "transports")
    assert set(edges["carried"]) == {True, False}
    degrees = edges.group_by("carried", "target").len()["len"]
    assert degrees.max() == 4
    assert called(*given).exit_code == 0
    other = called(*given[:-1], "8")
    assert "transports is [4] there, [8] here" in str(other.exception)


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [
        ("--transport", "few", "'few' is not numbers of edges per feature, such as 8,32"),
        ("--quantiles", "half", "'half' is not fractions with commas, such as 0.25,0.5"),
        ("--dtype", "int8", "'int8' is not one of 'float32', 'bfloat16', 'float16'"),
    ],
)
def test_misuse_is_status_2(run, option, value, said):
    found = called(run.path, *MODEL, *TEXTS, option, value)
    assert found.exit_code == 2
    assert said in re.sub(r"[\s│]+", " ", found.output)


def shown(table: pl.DataFrame, run: Run, texts: list[str]) -> str:
    """What the report of an evaluation prints, its table put into a run."""
    from rich.console import Console

    from saematch.cli.evaluate_report import show_evaluation

    options = {"fit": texts[0], "model": "m"}
    run.add("evaluation", {"values": table}, {"options": options, "texts": {}, "fit_texts": ""})
    console = Console(width=200, record=True, file=io.StringIO())
    show_evaluation(console, run, texts)
    return console.export_text()


def report_table(*pairs: tuple[str, str, float, str], carry=("threshold", "none")) -> pl.DataFrame:
    """Made-up figures of pairs `a, b, skipped, texts`."""
    from saematch.evaluation.evaluate import PAIR_SCHEMA

    rows = []
    for a, b, apart, texts in pairs:
        about = {"a": a, "b": b, "skipped": apart, "texts": texts, "examples": 3, "tokens": 9}
        rows.append({**about, "estimate": "model", "metric": "loss", "value": 4.0})
        kinds = [("drop", None, None), ("match + error", "assigned", carry[0])]
        kinds += [("match", "assigned", way) for way in carry]
        for place, (estimate, links, way) in enumerate(kinds):
            what = {"estimate": estimate, "links": links, "carry": way}
            value = {"value": place + apart / 10, "low": 0.1, "high": 9.0}
            for metric in ("delta-loss", "delta-loss less drop's"):
                rows.append({**about, **what, **value, "metric": metric})
    return pl.DataFrame(rows, schema=PAIR_SCHEMA)


@pytest.fixture
def empty(tmp_path):
    return Run.create(tmp_path / "made up", "flow", {}, [saematch.load("saematch:resid_post_2")])


def test_a_text_set_of_pairs_further_apart_alone_is_reported(empty):
    table = report_table(("x", "y", 1.0, "one"), ("x", "z", 2.0, "other"))
    said = shown(table, empty, ["one", "other"])
    assert "Every estimate, of the pair one block apart" in said
    assert "Every estimate, of the pair 2 blocks apart" in said


def test_saes_of_one_site_are_not_the_nearest(empty):
    table = report_table(("x", "x_wide", 0.0, "one"), ("x", "y", 1.0, "one"))
    assert "Every estimate, of the pair one block apart" in shown(table, empty, ["one"])
    alone = table.filter(pl.col("skipped") == 0)
    assert "Every estimate, of the pair 0 blocks apart" in shown(alone, empty, ["one"])


def test_every_way_of_rescaling_has_a_row_of_its_own(empty):
    table = report_table(("x", "y", 0.5, "one"), carry=("threshold", "decoder-norm", "none"))
    rows = {
        cells[0].strip(): cells[1].strip()
        for line in shown(table, empty, ["one"]).splitlines()
        if len(cells := line.split("  ", 1)) == 2
    }
    expected = {"match": 2, "match, rescaled by decoder-norm": 3, "match, not rescaled": 4}
    for label, place in expected.items():
        assert rows[label].startswith(f"{place + 0.05:.3f}"), label


def test_a_file_of_the_folder_that_is_reported_on_is_not_fitted_on(tmp_path):
    from saematch.errors import SaematchError
    from saematch.models.opening import open_model
    from saematch.workflows.evaluate import texts_of

    (tmp_path / "sub").mkdir()
    lines = [json.dumps({"text": f"Example {i} of them all."}) for i in range(20)]
    (tmp_path / "sub" / "x.jsonl").write_text("\n".join(lines))
    # a copy under another name, and one text more, twice
    more = json.dumps({"text": "Only to fit on."})
    (tmp_path / "copy.jsonl").write_text("\n".join([*lines[:5], more, more]))
    language = open_model("saematch:model")
    folder, part = str(tmp_path / "sub"), str(tmp_path / "sub" / "x.jsonl")
    texts, (_, fitted) = texts_of(language, {folder: folder}, part, 12, 20, 1024, 0)
    reported = {ids.tobytes() for ids in texts[folder]}
    assert len(reported) == 12
    assert len(fitted) == 8
    assert not reported & {ids.tobytes() for ids in fitted}
    copy = str(tmp_path / "copy.jsonl")
    assert len(texts_of(language, {folder: folder}, copy, 20, 20, 1024, 0)[1][1]) == 1
    with pytest.raises(SaematchError, match="no examples left to fit on"):
        texts_of(language, {folder: folder}, part, 20, 20, 1024, 0)


def test_an_interrupt_says_what_is_kept_and_the_same_call_goes_on(tmp_path, monkeypatch):
    saes = [saematch.load(f"saematch:resid_post_{layer}") for layer in (2, 3)]
    made = Run.create(tmp_path / "run", "flow", {}, saes)
    found = saematch.match(saes[0], saes[1], "feature-flow", null="none")
    made.add_pair(made.names[0], made.names[1], found)
    write = Run.add

    def stopped(self, *arguments, **options):
        write(self, *arguments, **options)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Run, "add", stopped)
        found = called(made.path, *MODEL, *TEXTS)
    assert found.exit_code != 0
    told = " ".join(found.stderr.split())
    assert f"Stopped: 1 of 2 pairs by text sets are kept in {made.path}" in told
    assert called(made.path, *MODEL, *TEXTS).exit_code == 0
    table = Run.open(made.path).table("evaluation", "values")
    assert table["texts"].unique().sort().to_list() == ["saematch:code", "saematch:prose"]

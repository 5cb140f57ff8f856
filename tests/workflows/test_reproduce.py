"""`saematch.reproduce`: SAE Match's experiments on a suite laid out as Gemma Scope, offline."""

import json
from html import escape
from pathlib import Path

import numpy as np
import pytest
from huggingface_hub import constants
from typer.testing import CliRunner

import saematch
from saematch.cli import app
from saematch.errors import MatchError, RunError, SaematchError
from saematch.judging import judged
from saematch.models import open_model
from saematch.reproduction import Reproduction
from support import gemma_suite

pytest.importorskip("transformers")
pytest.importorskip("plotly")
pytest.importorskip("sae_lens")

SUITE = "gemma-scope-2b-pt-res-canonical:layer_{0-2}/width_16k/canonical"
CONTROL = f"google/gemma-scope-2b-pt-res/layer_1/width_16k/average_l0_{gemma_suite.OTHER}"
SMALL = {"examples": 4, "fit_examples": 5, "length": 20, "tokens": 60, "paths": 5}


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A folder with a hub's cache in it, which is all of the hub there is."""
    folder = tmp_path_factory.mktemp("home")
    gemma_suite.write_saes(folder / "hub")
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(constants, "HF_HUB_OFFLINE", True)
        patched.setattr(constants, "HF_HUB_CACHE", str(folder / "hub"))
        yield folder


@pytest.fixture(scope="module")
def model(home):
    return open_model(str(gemma_suite.write_model(home / "model")))


@pytest.fixture(scope="module")
def texts(home):
    return gemma_suite.write_texts(home / "texts")


@pytest.fixture(scope="module")
def made(home, model, texts):
    out = home / "out"
    return saematch.reproduce("sae-match", SUITE, model, texts, controls=CONTROL, out=out, **SMALL)


def test_every_part_is_there(made):
    ways = {"folded", "unfolded", "cosine", "many-to-one", "fused", "fused-generated"}
    assert set(made.runs) == {*ways, "far-fused", "far-fused-generated", "controls"}
    assert all(run.finished for run in made.runs.values())
    near = made.table("correlations")
    assert set(near["method"]) == {*ways, "random", "best possible"}
    assert near.select("a", "b").unique().height == 2
    assert set(made.table("correlations_far")["method"]) >= {"folded", "chained", "fused"}
    for name in ("folded", "fused", "fused-generated"):
        values = made.runs[name].table("evaluation", "values")
        assert set(values["texts"]) == {"short", "long"}
    assert made.record.parts[0].name == "texts"
    assert all(part.resident_bytes > 0 for part in made.record.parts)


def test_every_way_of_matching_is_judged_on_the_texts_reported_on(made):
    table = made.table("judged")
    ways = {"folded", "unfolded", "cosine", "many-to-one", "fused", "fused-generated"}
    assert set(table["method"]) == ways
    for way in ways:
        run = made.runs[way]
        section = run.section("judging")
        assert section is not None
        assert [Path(text).stem for text in section.texts["texts"]["from"]] == ["short", "long"]
        assert not any("very texts" in note for note in section.notes)
        grades = judged(run).filter(kind="match", judge="firing")["grade"]
        row = table.filter(method=way, kind="match", judge="firing").row(0, named=True)
        assert row["cases"] == len(grades)
        assert row["same"] == pytest.approx((grades == 3).to_numpy().mean())


def test_the_page_tells_what_judges_say(made):
    html = made.report.read_text()
    row = made.table("judged").filter(method="folded", kind="match", judge="firing")
    share, low, high = (row[name][0] for name in ("same", "same_low", "same_high"))
    assert f"firing {share:.0%} ({low:.0%} to {high:.0%})" in html
    assert "Do matched features mean the same?" in html


def test_gains_are_against_sae_match(made):
    """Whatever other runs are called, and in whatever order they are found."""
    for name in ("correlations", "correlations_far", "controls_correlations"):
        table = made.table(name)
        own = table.filter(method="folded")
        assert own["gain"].to_list() == [0.0] * len(own)
        both = table.join(own.select("a", "b", base="mean"), on=["a", "b"])
        assert both["gain"].to_list() == pytest.approx((both["mean"] - both["base"]).to_list())
    assert (made.table("correlations").filter(method="cosine")["gain"] != 0).any()


def test_texts_to_fit_on_are_none_of_those_reported_on(made):
    def read(name):
        lines = (made.path / "texts" / f"{name}.jsonl").read_text().splitlines()
        return [json.loads(line)["text"] for line in lines]

    reported, fitted = {*read("short"), *read("long")}, read("fit")
    assert len(reported) == 8
    assert len(fitted) == 10
    assert not reported & set(fitted)


def test_the_matches_are_those_of_the_methods(made):
    """Each run is what `saematch.match` gives for its method."""
    a, b = (saematch.load(name) for name in saematch.expand(SUITE)[:2])
    for name, method, options in (
        ("folded", "sae-match", {}),
        ("unfolded", "sae-match", {"fold": "none"}),
        ("cosine", "cosine", {}),
        ("many-to-one", "feature-flow", {}),
    ):
        target = made.runs[name].pair(*made.runs[name].names[:2])["target"].fill_null(-1)
        expected = saematch.match(a, b, method, null="none", **options).target.numpy()
        assert np.array_equal(target.to_numpy(), expected)


def test_controls_are_matched_within_their_layer_and_from_the_one_before(made):
    run = made.runs["controls"]
    first, second, _, other = run.names
    assert set(run.pairs) == {(second, other), (first, other), (first, second)}
    assert run.sae(second).site == run.sae(other).site


def test_the_report_says_what_the_tables_say(made):
    html = made.report.read_text()
    table = made.table("correlations").filter(method="folded")
    median = float(table["mean"].median())
    assert f"correlate at {median:.2f}" in html
    values = made.runs["folded"].table("evaluation", "values")
    worse = values.filter(
        estimate="match", links="assigned", carry="threshold", metric="delta-loss less drop's"
    ).filter(skipped=1.0)
    count = worse.filter(worse["low"] > 0).height
    assert f"costs more than dropping the layer in {count} of {worse.height} cases" in html
    for sentence in made.record.says:
        assert escape(sentence) in html


def test_calling_again_does_nothing_anew(made, model, texts):
    before = {path: path.stat().st_mtime_ns for path in (made.path / "runs").rglob("*.parquet")}
    again = saematch.reproduce(
        "sae-match", SUITE, model, texts, controls=CONTROL, out=made.path, **SMALL
    )
    assert again.record.parts == made.record.parts
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert Reproduction.open(made.path).record.says == made.record.says


def test_what_was_asked_otherwise_is_not_discarded(made, model, texts):
    with pytest.raises(RunError, match="examples is 4 there, 3 here"):
        saematch.reproduce(
            "sae-match",
            SUITE,
            model,
            texts,
            controls=CONTROL,
            out=made.path,
            **{**SMALL, "examples": 3},
        )


def test_stopped_in_the_middle_it_goes_on(home, model, texts, made, monkeypatch):
    """What was done before the end came is not done again, and the results are the same."""
    from saematch.workflows import reproduction_parts as module

    def stop(*given, **options):
        raise KeyboardInterrupt

    out = home / "stopped"
    with monkeypatch.context() as patched:
        patched.setattr(module, "capture", stop)
        with pytest.raises(KeyboardInterrupt):
            saematch.reproduce("sae-match", SUITE, model, texts, controls=CONTROL, out=out, **SMALL)
    stopped = Reproduction.open(out)
    assert stopped.record.finished is None
    assert stopped.has("matching: folded")
    assert not stopped.report.exists()
    again = saematch.reproduce("sae-match", SUITE, model, texts, controls=CONTROL, out=out, **SMALL)
    assert again.table("correlations").equals(made.table("correlations"))
    assert again.record.says == made.record.says


@pytest.mark.parametrize(
    ("given", "told", "error"),
    [
        ({"paper": "sae"}, "no paper 'sae'", SaematchError),
        ({"saes": SUITE.replace("0-2", "0-1")}, "3 at least", MatchError),
        ({"text": {"fit": "saematch:code"}}, "called 'fit'", SaematchError),
        ({"text": {"a/b": "saematch:code"}}, "called 'a/b'", SaematchError),
        ({"text": ["saematch:code", "x/code.jsonl"]}, "one name", SaematchError),
        ({"examples": 12}, "some are left to fit on", SaematchError),
        ({"controls": "saematch:mlp_out_2"}, "is no control: it reads at blocks.2", MatchError),
        ({"controls": "saematch:mlp_out_7"}, "ships no SAE 'mlp_out_7'", SaematchError),
    ],
)
def test_what_cannot_be_done_is_said(model, texts, tmp_path, given, told, error):
    asked = {"paper": "sae-match", "saes": SUITE, "text": texts, **SMALL, **given}
    paper, saes, text = asked.pop("paper"), asked.pop("saes"), asked.pop("text")
    with pytest.raises(error, match=told):
        saematch.reproduce(paper, saes, model, text, out=tmp_path / "out", **asked)


def test_the_command_takes_up_what_is_there(made, home, texts):
    arguments = ["reproduce", "sae-match", "--model", str(home / "model"), "--saes", SUITE]
    for text in texts.values():
        arguments += ["--text", text]
    arguments += ["--controls", CONTROL]
    for name, value in SMALL.items():
        arguments += [f"--{name.replace('_', '-')}", str(value)]
    done = CliRunner().invoke(app, [*arguments, "-o", str(made.path)])
    assert done.exit_code == 0, done.exception or done.output
    assert str(made.report.name) in done.output
    for sentence in made.record.says:
        assert sentence in done.output

"""`saematch.trace`, `changes`, `inspect`, `plot` and `explore` from Python."""

import json

import polars as pl
import pytest

import saematch
from saematch.errors import RunError, SaematchError
from saematch.layers.changes import changes as changes_of
from saematch.layers.tracing import trace as trace_of
from saematch.workflows.trace import export_trace
from support.stand_in import write_shipped


@pytest.fixture(scope="module")
def saes(tmp_path_factory):
    return write_shipped(tmp_path_factory.mktemp("data"), d_in=32) / "saes"


@pytest.fixture(scope="module")
def run(saes):
    return saematch.flow(f"{saes}/resid_post_{{1-3}}", "feature-flow")


def test_a_trace_of_a_run_and_of_its_folder(run):
    feature = int(run.pair(*run.pairs[0]).filter("matched")["feature"][0])
    found = saematch.trace(run, 1, feature, contexts=1)
    assert found == saematch.trace(run.path, f"1_{feature}", contexts=1)
    assert found == trace_of(run, "resid_post_1", feature, contexts=1)
    assert len(found.forward) >= 1


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"place": "x.txt"}, "x.txt: the name must end in .json, .graphml, .parquet"),
        ({"place": "x.json", "transport": 8, "max_p": 0.1}, "have no p-values"),
        ({"place": "x.parquet", "node_link": True}, "node-link graphs are JSON"),
    ],
)
def test_exports_that_cannot_be_are_refused(run, options, said):
    with pytest.raises(SaematchError, match=said):
        export_trace(run, saematch.trace(run, "2", 0), **options)


def test_an_export_has_the_edges_that_are_returned(run, tmp_path):
    feature = int(run.pair(*run.pairs[0]).filter("matched")["feature"][0])
    found = saematch.trace(run, "1", feature)
    near = export_trace(run, found, tmp_path / "near.parquet", depth=1)
    far = export_trace(run, found, tmp_path / "far.parquet")
    assert 0 < len(near.table) < len(far.table)
    assert len(pl.read_parquet(tmp_path / "near.parquet")) == len(near.table)


def test_changes_have_labels(run, tmp_path):
    found = saematch.changes(run, 2, export=tmp_path / "all.json")
    assert found.drop("label").equals(changes_of(run, "resid_post_2"))
    assert found["label"].is_not_null().any()
    assert len(json.loads((tmp_path / "all.json").read_text())) == len(found)
    with pytest.raises(SaematchError, match="the name must end in"):
        saematch.changes(run, 2, export="all.txt")


def test_a_description_reads_and_tells_programs_the_same(saes):
    by_name = saematch.inspect(str(saes / "resid_post_1"))
    sae = saematch.load(saes / "resid_post_1")
    assert by_name == saematch.inspect(sae)
    assert by_name.facts["d_sae"] == sae.d_sae
    assert "d_in (inputs)  " in repr(by_name)
    assert f"<td>{sae.d_in}</td>" in by_name._repr_html_()


def test_figures_are_given_and_written(run, tmp_path):
    pytest.importorskip("plotly")
    drawn = saematch.plot(run, "quality")
    assert drawn["quality"].data
    assert "<div" in drawn._repr_html_()
    drawn = saematch.plot(run.path, out=tmp_path)
    assert {file.stem for file in drawn.files} == set(drawn.figures)
    assert all(file.is_file() for file in drawn.files)
    assert "carried" in drawn.missing
    assert "no carried: " in repr(drawn)
    with pytest.raises(RunError, match=r"no figure .*'none'"):
        saematch.plot(run, ["none"])


def test_a_run_is_explored_and_steps_are_told(run, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    told = []
    with saematch.explore(run, open_browser=False, progress=told.append) as served:
        assert served.url.startswith("http://127.0.0.1:")
    assert {step.stage for step in told} == {"making the page's tables"}
    assert told[-1].total >= told[-1].done > 0

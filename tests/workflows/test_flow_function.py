"""`saematch.flow`, `compare` and `demo` from Python: the runs of their commands."""

import gc

import pytest
from polars.testing import assert_frame_equal
from typer.testing import CliRunner

import saematch
from saematch import Run
from saematch.cli import app
from saematch.errors import MatchError, RunError
from support.planted import plant
from support.stand_in import write_shipped


@pytest.fixture(scope="module")
def saes(tmp_path_factory):
    return write_shipped(tmp_path_factory.mktemp("data")) / "saes"


def command(*arguments):
    done = CliRunner().invoke(app, [*map(str, arguments), "-q"])
    assert done.exit_code == 0, done.exception or done.output


def same(ours: Run, theirs: Run, section: str) -> None:
    """Two runs with the same results."""
    assert ours.record.command == theirs.record.command
    assert ours.record.options == theirs.record.options
    assert ours.pairs == theirs.pairs
    assert ours.finished
    assert theirs.finished
    for pair in ours.pairs:
        assert_frame_equal(ours.pair(*pair), theirs.pair(*pair))
    assert ours.tables(section) == theirs.tables(section)
    for name in ours.tables(section):
        assert_frame_equal(ours.table(section, name), theirs.table(section, name))


def test_a_flow_is_that_of_the_command(saes, tmp_path):
    pattern = f"{saes}/resid_post_{{0-3}}"
    run = saematch.flow(
        pattern, "feature-flow", top_k=2, reach=2, origin_cutoffs=(0.5, 0.2), out=tmp_path / "ours"
    )
    given = ("--method", "feature-flow", "--top-k", 2, "--reach", 2, "--origin-cutoffs", "0.5,0.2")
    command("flow", pattern, *given, "-o", tmp_path / "theirs")
    same(run, Run.open(tmp_path / "theirs"), "flow")


def test_saes_in_memory_flow_as_those_by_name(saes):
    names = [str(saes / f"resid_post_{layer}") for layer in range(3)]
    by_name = saematch.flow(names)
    mixed = saematch.flow([saematch.load(names[0]), names[1], saematch.load(names[2])])
    same(mixed, by_name, "flow")
    assert by_name.path != mixed.path


def test_saes_of_no_file_flow(tmp_path):
    planted = plant(3, concepts=60, strangers=10)
    run = saematch.flow(planted.saes, "cosine", reach=2)
    assert len(run.pairs) == 3
    direct = saematch.match(planted.saes[0], planted.saes[1], "cosine")
    assert_frame_equal(run.pair(*run.names[:2]), direct.to_polars())


def test_a_run_without_a_place_is_gone_when_nobody_has_it(saes):
    run = saematch.flow(f"{saes}/resid_post_{{0-1}}")
    path = run.path
    assert (path / "run.json").is_file()
    del run
    gc.collect()
    assert not path.parent.exists()


def test_a_flow_that_is_refused_leaves_no_folder(saes, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with pytest.raises(MatchError, match="needs two SAEs"):
        saematch.flow(f"{saes}/resid_post_1")
    assert list(tmp_path.iterdir()) == []


def test_progress_tells_every_stage_to_its_end(saes, tmp_path):
    told = []
    saematch.flow(f"{saes}/resid_post_{{0-2}}", out=tmp_path, progress=told.append)
    last = {step.stage: step for step in told}
    assert {"reading": 3, "matching": 2}.items() <= {k: s.done for k, s in last.items()}.items()
    assert all(step.done == step.total for step in last.values() if step.total)
    whats = [step.what for step in told if step.stage == "matching" and step.what]
    assert whats == ["resid_post_0 → resid_post_1", "resid_post_1 → resid_post_2"]


def test_another_flow_in_the_folder_is_refused(saes, tmp_path):
    pattern = f"{saes}/resid_post_{{0-1}}"
    saematch.flow(pattern, out=tmp_path)
    with pytest.raises(RunError, match="method is sae-match there, cosine here"):
        saematch.flow(pattern, "cosine", out=tmp_path)
    assert saematch.flow(pattern, "cosine", out=tmp_path, overwrite=True).finished
    for wrong, said in (
        ({"pairs": "some"}, "pairs is 'some'; it must be adjacent or all"),
        ({"pairs": "all", "reach": 2}, "reach=2 those up to 2 apart"),
        ({"origin_cutoffs": (2.0, 0.5)}, r"a cut-off is 2\.0"),
    ):
        with pytest.raises(MatchError, match=said):
            saematch.flow(pattern, **wrong)


def test_a_comparison_is_that_of_the_command(saes, tmp_path):
    names = [str(saes / name) for name in ("resid_post_3", "resid_post_3_seed2")]
    run = saematch.compare(names, 0.5)
    command("compare", *names, "--cutoff", 0.5, "-o", tmp_path / "theirs")
    same(run, Run.open(tmp_path / "theirs"), "compare")
    again = saematch.compare([saematch.load(name) for name in names], 0.5)
    same(again, run, "compare")
    with pytest.raises(MatchError, match="two SAEs or more"):
        saematch.compare(names[0])

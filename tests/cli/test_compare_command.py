"""`saematch compare`: what it prints, writes and refuses."""

import pytest
from typer.testing import CliRunner

from saematch.cli import app
from saematch.layers.shared import Comparison
from saematch.runs.run import Run
from support.stand_in import write_shipped


@pytest.fixture(scope="module")
def saes(tmp_path_factory):
    return write_shipped(tmp_path_factory.mktemp("data")) / "saes"


def compare(*arguments):
    return CliRunner().invoke(app, ["compare", *map(str, arguments)])


def test_three_saes(saes, tmp_path):
    names = ("resid_post_3", "resid_post_3_seed2", "resid_post_4")
    asked = [saes / name for name in names]
    done = compare(*asked, "-o", tmp_path / "out", "--cutoff", "0.5")
    assert done.exit_code == 0, done.output
    run = Run.open(tmp_path / "out")
    assert run.pairs == [(names[0], names[1]), (names[0], names[2]), (names[1], names[2])]
    assert run.finished
    found = Comparison.of(run)
    section = run.section("compare")
    assert section is not None
    assert section.exactly == found.exactly().to_dicts()
    # the second seed was made of the first
    assert found.share(*names[:2]) > 0.9
    assert f"{found.share(*names[:2]):.1%}" in done.output
    assert "In exactly n of the 3 SAEs" in done.output
    for row in found.exactly().rows():
        line = [f"{value:,}" for value in row]
        assert line in [text.split() for text in done.output.splitlines()]
    again = compare(*asked, "-o", tmp_path / "out", "--cutoff", "0.5")
    assert "Nothing left to do" in again.output
    other = compare(*asked, "-o", tmp_path / "out")
    assert "cutoff is 0.5 there, 0.7 here" in str(other.exception)


def test_a_pattern_and_quiet(saes, tmp_path):
    done = compare(f"{saes}/resid_post_{{1-2}}", "-q", "-o", tmp_path / "out")
    assert done.output.strip() == str(tmp_path / "out")
    assert Run.open(tmp_path / "out").names == ["resid_post_1", "resid_post_2"]


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["resid_post_1"], "two SAEs or more"),
        (["resid_post_1", "resid_post_2", "resid_post_1"], "resid_post_1 is given twice"),
    ],
)
def test_what_cannot_be_compared(saes, tmp_path, names, words):
    done = compare(*(saes / name for name in names), "-o", tmp_path / "out")
    assert done.exit_code != 0
    assert words in str(done.exception)
    assert not (tmp_path / "out").exists()


def test_one_sae_by_two_spellings_of_its_path(saes, tmp_path):
    place = saes / "resid_post_1"
    done = compare(place, f"{saes}/../saes/resid_post_1", "-o", tmp_path / "out")
    assert "are one SAE" in str(done.exception)
    assert not (tmp_path / "out").exists()

"""`saematch dashboard`: what it prints, and how it refuses."""

import pytest
from typer.testing import CliRunner

import saematch
from saematch.cli import app

pytest.importorskip("transformers")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    names = [f"saematch:resid_post_{layer}" for layer in (2, 3)]
    folder = tmp_path_factory.mktemp("runs") / "run"
    return saematch.flow(names, method="cosine", null="none", out=folder)


def called(*arguments):
    return CliRunner().invoke(app, ["dashboard", *map(str, arguments)])


def test_it_prints_texts_and_whether_contexts_agree(run):
    reading = ("--model", "saematch:model", "--examples", 4, "--length", 30)
    texts = ("--text", "saematch:prose", "--text", "saematch:code")
    found = called(run.path, *reading, *texts)
    assert found.exit_code == 0, found.output
    assert "saematch:prose: 116 tokens, 4 examples" in found.stdout
    opened = saematch.Run.open(run.path)
    matched = opened.pair(*run.pairs[0])["matched"]
    share = opened.table("dashboards", "resid_post_2--resid_post_3").filter(matched)["share"]
    row = next(line for line in found.stdout.splitlines() if " → resid_post_3" in line)
    few = (share.drop_nulls() < 0.25).sum()
    expected = ["→", "resid_post_3", f"{matched.sum():,}", f"{share.median():.0%}", f"{few:,}"]
    assert row.split()[1:] == expected
    quiet = called(run.path, *reading, *texts, "-q")
    assert quiet.stdout.strip() == str(run.path)


def test_errors_are_one_line(run, monkeypatch, capsys):
    from saematch.cli import main

    monkeypatch.setattr("sys.argv", ["saematch", "dashboard", str(run.path)])
    with pytest.raises(SystemExit):
        main()
    told = capsys.readouterr().err
    assert told.count("\n") == 1
    assert "--activations" in told

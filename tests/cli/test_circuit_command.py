"""`saematch circuit`: what it prints, and that it is there afterwards."""

import re

import pytest
from typer.testing import CliRunner

import saematch
from saematch.circuits.kept import read_circuit
from saematch.cli import app

pytest.importorskip("transformers")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    names = [f"saematch:resid_post_{layer}" for layer in (2, 3)]
    folder = tmp_path_factory.mktemp("runs") / "run"
    return saematch.flow(names, method="cosine", null="none", out=folder)


def called(run, *arguments):
    model = ("--model", "saematch:model", "--prompt", "import numpy as np")
    found = CliRunner().invoke(app, ["circuit", str(run.path), *model, *map(str, arguments)])
    assert found.exit_code == 0, found.output
    return found.stdout


def test_it_prints_what_matters_most_and_the_strongest_edges(run, tmp_path):
    said = called(run, "--nodes", 0.5, "--shown", 5, "--export", tmp_path / "graph.json")
    opened = saematch.Run.open(run.path)
    circuit = read_circuit(opened)
    figures = circuit.figures
    token, chance = circuit.nodes.filter(kind="logit").select("token", "probability").row(0)
    for expected in (
        "import-numpy-as-np: <|endoftext|>|import| numpy| as| np",
        f"predicted: {token.replace(chr(10), '↵')} {chance:.1%}",
        f"{figures.nodes:,} of {figures.nodes_before:,} nodes",
        f"completeness {figures.completeness:.3f}, replacement {figures.replacement:.3f}",
        "What matters most",
        "Strongest edges",
        f"Written to {run.path}",
        f"Exported to {tmp_path / 'graph.json'}",
    ):
        assert expected in " ".join(said.split()), expected
    assert (tmp_path / "graph.json").is_file()
    # supernodes are named from their first feature to their last
    assert "resid_post_2 #" in said
    matters = said.split("What matters most")[1].split("Strongest edges")[0]
    assert matters.count("%") == 5
    more = called(run, "--slug", "more", "--nodes", 0.95, "--shown", 100)
    assert re.search(r"resid_post_2 #\d+ → resid_post_3 #\d+", " ".join(more.split()))


def test_quietly_it_prints_where_the_circuit_is(run):
    assert called(run, "--slug", "quiet", "--quiet").strip() == str(run.path)
    assert called(run, "--slug", "quiet", "--quiet").strip() == str(run.path)


def test_errors_are_one_line(run):
    found = CliRunner().invoke(
        app,
        ["circuit", str(run.path), "--model", "saematch:model", "--prompt", "x", "--sites", "mlp"],
    )
    assert isinstance(found.exception, saematch.SaematchError)

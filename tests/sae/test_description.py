"""What `describe` says of an SAE, and what `saematch inspect` prints."""

import json
import subprocess
import sys
from xml.etree import ElementTree

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from saematch import SAE, Conventions
from saematch.cli import app
from saematch.sae.description import describe


@pytest.fixture
def sae():
    W_dec = torch.eye(4, 3)  # the last row is zero
    W_dec[:3] *= torch.tensor([1.0, 2.0, 5.0])[:, None]
    return SAE(
        W_enc=torch.full((3, 4), 2.0),
        W_dec=W_dec,
        b_enc=torch.zeros(4),
        b_dec=torch.zeros(3),
        threshold=torch.tensor([0.25, 0.5, 0.75, 99.0]),
        conventions=Conventions(
            activation="jumprelu", source="a/b/c", notes=("guessed: something",)
        ),
    )


def test_rows_are_of_usable_features_with_both_sizes_and_every_guess(sae):
    rows = {label: value for _, label, value in describe(sae)}
    assert rows["d_in (inputs)"] == "3"
    assert rows["d_sae (features)"] == "4"
    assert rows["threshold"].split() == ["0.25", "0.25", "0.5", "0.75", "0.75"]
    assert rows["decoder row norm"].split() == ["1", "1", "2", "5", "5"]
    assert rows["in all"] == "1 of 4"
    assert rows["zero decoder"] == "1"
    assert rows["1"] == "guessed: something"


@pytest.fixture
def file(tmp_path):
    generator = np.random.default_rng(0)
    path = tmp_path / "gemma-scope-2b-pt-res" / "layer_7" / "width_16k"
    path.mkdir(parents=True)
    np.savez(
        path / "params.npz",
        W_enc=generator.normal(size=(6, 20)).astype("f4"),
        W_dec=generator.normal(size=(20, 6)).astype("f4"),
        b_enc=np.zeros(20, "f4"),
        b_dec=np.zeros(6, "f4"),
        threshold=np.full(20, 0.5, "f4"),
    )
    return path


def test_the_command_prints_a_table_or_json(file):
    shown = CliRunner().invoke(app, ["inspect", str(file)], env={"COLUMNS": "200"})
    assert shown.exit_code == 0, shown.output
    for text in ("d_in (inputs)", "d_sae (features)", "blocks.7.hook_resid_post", "guessed"):
        assert text in shown.output
    shown = CliRunner().invoke(app, ["inspect", "--json", str(file)])
    facts = json.loads(shown.output)
    assert (facts["d_in"], facts["d_sae"]) == (6, 20)
    assert facts["conventions"]["site"]["layer"] == 7


def test_an_error_is_one_line_and_status_1(tmp_path):
    command = [sys.executable, "-c", "from saematch.cli import main; main()"]
    done = subprocess.run(
        [*command, "inspect", str(tmp_path / "nothing")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stdout == ""
    assert len(done.stderr.strip().splitlines()) == 1
    assert done.stderr.startswith("saematch: ")
    assert "nothing" in done.stderr


def test_help_does_not_import_torch():
    code = (
        "import sys; from saematch.cli import app; sys.argv = ['saematch', '--help']\n"
        "try: app()\n"
        "except SystemExit: pass\n"
        "assert 'torch' not in sys.modules and 'numpy' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "inspect" in done.stdout


def test_a_notebook_shows_sizes_and_what_is_excluded(sae):
    root = ElementTree.fromstring(sae._repr_html_())
    rows = {row[0].text: row[1].text for row in root.iter("tr")}
    assert (rows["d_in (inputs)"], rows["d_sae (features)"]) == ("3", "4")
    assert rows["activation"] == "jumprelu"
    assert rows["excluded features, zero decoder"] == "1"
    assert rows["threshold (minimum, 5 %, median, 95 %, maximum)"].split()[::2] == [
        "0.25", "0.5", "0.75"
    ]  # fmt: skip
    assert rows["source"] == "a/b/c"

"""--site: files that do not say where they read, on every command that loads SAEs."""

import json

import numpy as np
import pytest
from typer.testing import CliRunner

import saematch
from saematch.activations.store import ActivationStore
from saematch.cli import app
from saematch.errors import SaematchError
from saematch.runs.run import Run

POST = "blocks.{layer}.hook_resid_post"
TEXT = ("--model", "saematch:model", "--text", "saematch:prose", "--examples", 3, "--length", 40)


def call(*arguments: object):
    result = CliRunner().invoke(app, [*map(str, arguments)])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def save_npz(path, arrays):
    np.savez(path, **arrays)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """SAEs of the shipped model in the layout of Gemma Scope: the paths state layers alone."""
    root = tmp_path_factory.mktemp("mine")
    for layer in (2, 3):
        sae = saematch.load(f"saematch:resid_post_{layer}")
        assert sae.threshold is not None
        path = root / f"layer_{layer}" / "width_64"
        path.mkdir(parents=True)
        arrays = {"W_enc": sae.W_enc[:, :64], "W_dec": sae.W_dec[:64], "b_enc": sae.b_enc[:64]}
        arrays |= {"b_dec": sae.b_dec, "threshold": sae.threshold[:64]}
        save_npz(path / "params.npz", {name: value.numpy() for name, value in arrays.items()})
    return root


def files(folder):
    return [folder / f"layer_{layer}" / "width_64" / "params.npz" for layer in (2, 3)]


def sites(run):
    return [str(sae.site) for sae in run.record.saes]


EXPECTED = ["blocks.2.hook_resid_post", "blocks.3.hook_resid_post"]


def test_activations_are_read_at_the_site_that_is_given(folder, tmp_path):
    with pytest.raises(SaematchError, match=r"where it reads is not known; say it with --site"):
        call("capture", folder, *TEXT, "-o", tmp_path / "none")
    call("capture", folder, *TEXT, "--site", POST, "-o", tmp_path / "acts")
    store = ActivationStore.open(tmp_path / "acts")
    assert store.names == ["resid_post_2", "resid_post_3"]
    # features that the shipped SAEs have first fire as often as theirs do
    ships = [f"saematch:resid_post_{layer}" for layer in (2, 3)]
    call("capture", *ships, *TEXT, "-o", tmp_path / "ships")
    theirs = ActivationStore.open(tmp_path / "ships")
    for name in store.names:
        assert store.counts(name).sum() > 0
        assert store.counts(name).tolist() == theirs.counts(name)[:64].tolist()


def test_inspect_shows_it(folder):
    shown = call("inspect", *files(folder), "--site", POST, "--json").output.splitlines()
    assert [json.loads(line)["conventions"]["site"]["hook"] for line in shown] == EXPECTED


def test_match_flow_and_compare_keep_it_in_their_runs(folder, tmp_path):
    call("match", *files(folder), "--site", POST, "-o", tmp_path / "match")
    call("flow", folder, "--site", POST, "-o", tmp_path / "flow")
    for name in ("match", "flow"):
        run = Run.open(tmp_path / name)
        assert (run.names, sites(run)) == (["resid_post_2", "resid_post_3"], EXPECTED)
    call("compare", *files(folder), "--site", "layers.1", "-o", tmp_path / "compare")
    assert sites(Run.open(tmp_path / "compare")) == ["layers.1", "layers.1"]


def test_evaluate_reads_at_the_site_that_the_run_recorded(folder, tmp_path):
    call("match", *files(folder), "--site", POST, "-o", tmp_path / "run")
    few = ("--fit-examples", 3, "--resamples", 10, "-q")
    call("evaluate", tmp_path / "run", *TEXT, *few)
    assert Run.open(tmp_path / "run").section("evaluation")
    # a run in which the sites are unknown cannot be evaluated
    call("match", *files(folder), "-o", tmp_path / "unknown")
    assert Run.open(tmp_path / "unknown").names == ["layer_2", "layer_3"]
    with pytest.raises(SaematchError, match=r"no pair to evaluate.*--site"):
        call("evaluate", tmp_path / "unknown", *TEXT, *few)


def test_match_takes_a_folder_with_braces_in_its_name(folder, tmp_path):
    odd = tmp_path / "sweep{a,b}"
    odd.symlink_to(folder)
    call("match", *files(odd), "-o", tmp_path / "run")
    assert Run.open(tmp_path / "run").pairs == [("layer_2", "layer_3")]
    with pytest.raises(SaematchError, match="not a pattern"):
        call("match", odd / "layer_{2-3}", odd / "layer_2", "-o", tmp_path / "other")

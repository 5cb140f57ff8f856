"""The command that makes the small model's SAEs, from trained model to package folder, in small."""

import json
import shutil

import numpy as np
import pytest
import torch
from demo import make
from demo.model import KINDS, make_windows
from demo.trainee import Plan

import saematch
from saematch.sae import shipped


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    """What the first stages leave: a corpus and a model."""
    folder = tmp_path_factory.mktemp("work")
    shutil.copytree(shipped.folder() / "model", folder / "model")
    (folder / "corpus").mkdir()
    for kind in KINDS:
        for part in ("train", "held_out"):
            source = shipped.folder() / "texts" / f"{kind}.jsonl"
            shutil.copy(source, folder / "corpus" / f"{kind}.{part}.jsonl")
    return folder


def test_the_shipped_saes_are_those_of_the_plans():
    named = {plan.name: plan for plan in make.plans()}
    assert set(named) == {n for n in shipped.names() if "/" not in n}
    for name, plan in named.items():
        config = json.loads((shipped.path(name) / "cfg.json").read_text())
        assert config["metadata"]["hook_name"] == plan.hook
        assert config["metadata"]["seed"] == plan.seed
        assert (config["d_sae"], config["architecture"]) == (plan.d_sae, plan.activation)


def test_saes_are_trained_and_packaged(work, tmp_path, monkeypatch):
    monkeypatch.setattr(make, "PER_KIND", 4)
    hook = "blocks.3.hook_resid_post"
    plans = [Plan(name, hook, 96, 12, seed) for seed, name in
             enumerate(("resid_post_3", "resid_post_3_seed2"))]  # fmt: skip
    make.make_saes(work, torch.device("cpu"), 40_000, plans)
    assert not (work / "training.pt").exists()
    tokenizer = saematch.models.open_model("saematch:model").tokenizer
    windows = make_windows(work / "corpus", tokenizer, "held_out")
    windows = {kind: rows[:4] for kind, rows in windows.items()}
    make.package(work, tmp_path, windows, windows, torch.device("cpu"))
    assert shipped.names(tmp_path) == ["resid_post_3", "resid_post_3_seed2"]
    report = json.loads((tmp_path / "figures.json").read_text())
    real = json.loads((shipped.folder() / "figures.json").read_text())
    for kind in KINDS:
        # the model is the one that ships: near its own figures, far from a bigram's
        assert abs(report["losses"][kind]["model"] - real["losses"][kind]["model"]) < 1
        assert np.isfinite(report["losses"][kind]["bigram"])
    assert 0 < report["seed_stability"] < 1
    found = report["saes"]["resid_post_3"]
    assert 0.3 < found["variance_explained"] < 1
    card = (tmp_path / "README.md").read_text()
    assert f"| `resid_post_3` | `{hook}` | 96 |" in card
    assert "{" not in card.replace('saematch.load("saematch:<name>")', "")
    assert (tmp_path / "texts" / "prose.jsonl").exists()

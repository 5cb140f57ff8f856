"""What runs the model on a GPU, beside the same on the processor, by the shipped small model."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import polars.selectors as cs
import pytest
import torch

import saematch
from saematch import Run
from saematch.activations.capturing import capture
from saematch.evaluation.downstream import Predictions
from saematch.evaluation.per_example import SplicedPair
from saematch.evaluation.transports import fit_states
from saematch.models import mean_jacobians, open_model, random_tokens
from saematch.models.generate import write
from saematch.models.language_model import LanguageModel
from saematch.transport import Schedule, fit_transport
from saematch.workflows.explore import sentence_reader

MODEL, TEXT = "saematch:model", "saematch:prose"
SITES = ("resid_post_1", "resid_post_2", "resid_post_3")
NAMES = [f"saematch:{site}" for site in SITES]
HOOKS = [f"blocks.{layer}.hook_resid_post" for layer in (1, 2)]
READING: dict[str, Any] = {"examples": 6, "length": 48}
pytestmark = pytest.mark.filterwarnings("ignore")  # few tokens, and those of transformers


@pytest.fixture(scope="module")
def model() -> LanguageModel:
    return open_model(MODEL)


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("gpu") / "run"
    saematch.flow(NAMES, "cosine", device="cpu", out=path)
    return path


def test_activations_are_the_same(model, gpu):
    saes = {site: saematch.load(name) for site, name in zip(SITES, NAMES, strict=True)}
    examples = random_tokens(model, 4, 40, 0)

    def read(of):
        (batch,) = capture(of, saes, examples)
        return {site: some.matrix.toarray() for site, some in batch.saes.items()}

    here, there = read(model), read(open_model(MODEL, gpu))
    for site in SITES:
        apart = np.abs(here[site] - there[site]) > 1e-3 * np.abs(here[site]).max()
        assert apart.mean() < 1e-4  # one at its threshold may be there or not


@pytest.mark.parametrize("later", [False, True])
def test_jacobians_are_the_same(later, model, gpu, tmp_path):
    examples = random_tokens(model, 2, 32, 0)

    def between(of):
        return mean_jacobians(of, HOOKS[0], HOOKS[1:], examples, later=later)[HOOKS[1]]

    here, there = between(model), between(open_model(MODEL, gpu))
    assert there.matrix.is_cuda
    there.save(tmp_path / "one.safetensors")
    again = type(there).load(tmp_path / "one.safetensors", gpu)
    assert again.matrix.is_cuda
    rows = torch.eye(len(here.source_mean))
    for found in (there, again):
        torch.testing.assert_close(
            found.carried(rows.to(gpu)).cpu(), here.carried(rows), atol=1e-3, rtol=1e-2
        )


def test_transports_are_the_same(model, gpu):
    examples = random_tokens(model, 6, 40, 0)
    schedule = Schedule(widest=8, between=1, exchanges=1, final=1, batch=128)

    def fitted(of, device):
        a, b = (saematch.load(name).to(device) for name in NAMES[:2])
        spliced = SplicedPair(of, a, b)
        downstream = Predictions(of, spliced.sites[1], examples)
        error, x_b, some = fit_states(spliced, downstream.read)
        found = fit_transport(
            a, b, some, x_b, k=4, error=error, downstream=downstream, schedule=schedule
        )
        f_a = torch.from_numpy(some.matrix.toarray()).to(device)
        return found, found.estimate(f_a, error).cpu()

    here, there = fitted(model, torch.device("cpu")), fitted(open_model(MODEL, gpu), gpu)
    assert there[0].bias.is_cuda
    assert there[0].loss == pytest.approx(here[0].loss, rel=0.02)
    same = {(s, t) for s, t in here[0].edges()["source", "target"].iter_rows()} & {
        (s, t) for s, t in there[0].edges()["source", "target"].iter_rows()
    }
    assert len(same) > 0.9 * here[0].n_edges
    size = (there[1] - here[1]).norm() / here[1].norm()
    assert float(size) < 0.05


def test_a_model_writes_there(gpu):
    there = open_model(MODEL, gpu)
    once, again = (write(there, 2, 20, seed=4) for _ in range(2))
    assert [len(one) for one in once] == [20, 20]
    assert all((one == other).all() for one, other in zip(once, again, strict=True))


def _evaluate(run, device):
    how: dict[str, Any] = {
        "fit_examples": 12,
        "jacobian": True,
        "resamples": 10,
        "massive": None,
        **READING,
    }
    saematch.evaluate(run, MODEL, TEXT, device=device, **how)


def _dashboard(run, device):
    saematch.dashboard(run, MODEL, TEXT, carried=True, device=device, **READING)


def _circuit(run, device):
    saematch.circuit(run, MODEL, "The cat sat on", slug="cat", device=device)


def _intervene(run, device):
    few: dict[str, Any] = {
        "features": 4,
        "substituted": 4,
        "whole_tracks": 2,
        "windows": 1,
        "after": 3,
    }
    saematch.intervene(run, MODEL, TEXT, fit_examples=8, device=device, **few, **READING)


def _steer(run, device):
    few: dict[str, Any] = {"strengths": (1.0,), "tokens": 4, "samples": 1, "temperature": 0.0}
    saematch.steer_sweep(MODEL, run, (SITES[0], 5), device=device, **few)


WORK: dict[str, tuple[Callable[[Path, str], None], str]] = {
    "evaluate": (_evaluate, "evaluation/values.parquet"),
    "dashboard": (_dashboard, "dashboards/resid_post_1--resid_post_2.parquet"),
    "circuit": (_circuit, "circuits/nodes.parquet"),
    "intervene": (_intervene, "causes/deactivation.parquet"),
    "steer": (_steer, "steering/means.parquet"),
}
DECILES = np.linspace(0.1, 0.9, 9)


@pytest.mark.slow
@pytest.mark.parametrize("what", WORK)
def test_tables_are_the_same(what, run, gpu, tmp_path):
    """Nearly: what rounding decides may differ, the deciles of every column may not."""
    work, file = WORK[what]
    tables = []
    for device in ("cpu", str(gpu)):
        place = tmp_path / device.replace(":", "")
        shutil.copytree(run, place)
        work(place, device)
        tables.append(pl.read_parquet(place / file))
    here, there = tables
    assert there.height == pytest.approx(here.height, rel=0.02)
    for name in here.select(cs.float()).columns:
        one, other = (table[name].drop_nulls().to_numpy() for table in tables)
        assert len(one) == pytest.approx(len(other), rel=0.02), name
        if len(one):
            of_both = [np.quantile(values, DECILES) for values in (one, other)]
            room = 0.02 * np.abs(of_both[0]).max() + 1e-6
            np.testing.assert_allclose(*of_both, rtol=0.05, atol=room, err_msg=name)


def test_a_sentence_is_read_the_same(run, gpu):
    here, there = (
        sentence_reader(Run.open(run), MODEL, device=device).read("The cat sat on the mat")
        for device in ("cpu", str(gpu))
    )
    assert there.active == here.active
    np.testing.assert_allclose(there.firing["activation"], here.firing["activation"], rtol=0.01)

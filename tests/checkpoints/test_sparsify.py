"""Folders that sparsify wrote, against its own encode and forward."""

import json
import warnings

import pytest
import torch

import saematch
from saematch.errors import CheckpointError

D_IN, D_SAE = 12, 40


@pytest.fixture(scope="session")
def sparsify():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip("sparsify")


@pytest.fixture
def build(sparsify, perturb):
    def make(**config):
        settings = {"num_latents": D_SAE, "k": 5, **config}
        return perturb(sparsify.SparseCoder(D_IN, sparsify.SparseCoderConfig(**settings)))

    return make


@torch.no_grad()
def _theirs(coder, x):
    values, indices, _ = coder.encode(x)
    codes = torch.zeros(x.shape[0], coder.num_latents).scatter(-1, indices, values)
    return codes, coder(x).sae_out


@pytest.mark.parametrize("activation", ["topk", "groupmax"])
@pytest.mark.parametrize("transcode", [False, True])
@pytest.mark.parametrize("skip", [False, True])
def test_agrees_with_the_library(build, load, agree, inputs, tmp_path, activation, transcode, skip):
    theirs = build(activation=activation, transcode=transcode, skip_connection=skip)
    theirs.save_to_disk(tmp_path / "layers.6.mlp")
    ours = load(tmp_path / "layers.6.mlp")
    agree(ours, inputs, *_theirs(theirs, inputs))
    conventions = ours.conventions
    assert conventions.family == "sparsify"
    assert conventions.site is not None
    assert conventions.site.layer == 6
    # a transcoder is named after the module whose input it reads
    read, written = ("layers.6.mlp.input", "layers.6.mlp") if transcode else ("layers.6.mlp", None)
    assert (conventions.site.hook, conventions.site.hook_out) == (read, written)
    assert conventions.site.kind == ("mlp_in" if transcode else "mlp_out")
    assert conventions.centred is not transcode


def test_the_width_by_expansion_factor(build, load, agree, inputs, tmp_path):
    theirs = build(num_latents=0, expansion_factor=3)
    theirs.save_to_disk(tmp_path / "h.0")
    ours = load(tmp_path / "h.0")
    assert ours.d_sae == 3 * D_IN
    agree(ours, inputs, *_theirs(theirs, inputs))


def test_half_precision(build, load, tmp_path):
    theirs = build().to(torch.bfloat16)
    theirs.save_to_disk(tmp_path / "layers.2")
    ours = load(tmp_path / "layers.2")
    assert ours.conventions.dtype == "bfloat16"
    torch.testing.assert_close(ours.W_dec, theirs.W_dec.detach().float())


@pytest.fixture
def run(build, tmp_path):
    """A folder as a run of several layers leaves it."""
    folder = tmp_path / "run"
    for layer in (0, 1, 2, 10):
        build().save_to_disk(folder / f"layers.{layer}")
    (folder / "config.json").write_text(json.dumps({"model": "EleutherAI/pythia-70m"}))
    for name in ("optimizer_0.pt", "lr_scheduler.pt", "state.pt", "rank_0_state.pt"):
        torch.save({"step": 3}, folder / name)
    return folder


def test_a_run_is_its_layers_in_natural_order(run, load):
    names = saematch.expand(run)
    assert names == [str(run / f"layers.{layer}") for layer in (0, 1, 2, 10)]
    conventions = [load(name).conventions for name in names]
    assert [c.site.layer for c in conventions if c.site] == [0, 1, 2, 10]
    assert {c.model for c in conventions} == {"EleutherAI/pythia-70m"}


def test_a_layer_by_either_librarys_name(run, load):
    by_module, by_hook = load(run / "layers.10"), load(f"{run}/blocks.10.hook_resid_post")
    torch.testing.assert_close(by_hook.W_dec, by_module.W_dec)
    assert by_hook.conventions.source == str(run / "layers.10")
    with pytest.raises(CheckpointError, match=r"layers\.1, layers\.10|layers\.0"):
        load(f"{run}/layers.11")


def test_a_run_is_not_one_sae(run, load):
    with pytest.raises(CheckpointError, match="found 4 SAEs below it"):
        load(run)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"k": None}, "k, the number of features"),
        ({"num_latents": 41}, "num_latents = 41"),
        ({"activation": "softmax"}, "'topk' or 'groupmax'"),
    ],
)
def test_configs_that_do_not_fit(build, load, tmp_path, change, message):
    folder = tmp_path / "layers.0"
    build().save_to_disk(folder)
    config = json.loads((folder / "cfg.json").read_text())
    (folder / "cfg.json").write_text(json.dumps({**config, **change}))
    with pytest.raises(CheckpointError, match=message):
        load(folder)

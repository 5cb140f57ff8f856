"""What files say themselves, where SAELens' registry is not there or does not list them."""

import json

import pytest
import torch
from safetensors.torch import save_file
from torch.nn.functional import relu

from saematch.checkpoints import saelens_registry

D_IN, D_SAE = 12, 40


@pytest.fixture(autouse=True)
def _no_registry(monkeypatch):
    monkeypatch.setattr(saelens_registry, "available", lambda: False)


@pytest.fixture
def weights(random):
    return {
        "W_enc": random(D_IN, D_SAE),
        "W_dec": random(D_SAE, D_IN),
        "b_enc": random(D_SAE),
        "b_dec": random(D_IN),
    }


@pytest.mark.parametrize(
    ("config", "hook"),
    [
        ({"act_name": "blocks.0.attn.hook_z", "act_size": D_IN}, "blocks.0.attn.hook_z"),
        ({"site": "mlp_out", "layer": 2}, "blocks.2.hook_mlp_out"),
        ({"site": "z", "layer": 2}, "blocks.2.attn.hook_z"),
    ],
)
def test_attention_saes_subtract_their_bias(load, agree, inputs, weights, tmp_path, config, hook):
    name = "gpt2-small_L0_Hcat_z_lr1.20e-03_l11.80e+00_v9"
    torch.save(weights, tmp_path / f"{name}.pt")
    (tmp_path / f"{name}_cfg.json").write_text(json.dumps(config))
    ours = load(tmp_path / f"{name}.pt")
    codes = relu((inputs - weights["b_dec"]) @ weights["W_enc"] + weights["b_enc"])
    agree(ours, inputs, codes, codes @ weights["W_dec"] + weights["b_dec"])
    assert ours.conventions.site is not None
    assert ours.conventions.site.hook == hook
    assert ours.conventions.notes == ()


@pytest.mark.parametrize(
    ("config", "hook", "hook_out"),
    [
        ("feature_input_hook: mlp.hook_in\nfeature_output_hook: mlp.hook_out\n",
         "blocks.3.mlp.hook_in", "blocks.3.mlp.hook_out"),
        ("feature_input_hook: hook_resid_mid\nfeature_output_hook: hook_mlp_out\n",
         "blocks.3.hook_resid_mid", "blocks.3.hook_mlp_out"),
        ("", "blocks.3.mlp.hook_in", "blocks.3.hook_mlp_out"),
    ],
)  # fmt: skip
def test_transcoders_of_circuit_tracer(
    load, agree, inputs, weights, random, tmp_path, config, hook, hook_out
):
    folder = tmp_path / "qwen3-4b-transcoders"
    folder.mkdir()
    skip = random(D_IN, D_IN)
    stored = weights | {"W_enc": weights["W_enc"].T.contiguous(), "W_skip": skip}
    save_file(stored, folder / "layer_3.safetensors")
    if config:
        (folder / "config.yaml").write_text("model_name: Qwen/Qwen3-4B\n" + config)
    ours = load(folder / "layer_3.safetensors")
    codes = relu(inputs @ weights["W_enc"] + weights["b_enc"])
    agree(ours, inputs, codes, codes @ weights["W_dec"] + weights["b_dec"] + inputs @ skip.T)
    conventions = ours.conventions
    assert (conventions.family, conventions.centred) == ("circuit_tracer", False)
    assert conventions.site is not None
    assert (conventions.site.hook, conventions.site.hook_out) == (hook, hook_out)
    assert bool(conventions.notes) is not bool(config)
    assert conventions.model == ("Qwen/Qwen3-4B" if config else None)

"""Families of one file per SAE: Qwen Scope, OpenAI, Goodfire, and files of no known family."""

import json

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch.nn.functional import relu

from saematch.errors import CheckpointError

D_IN, D_SAE = 12, 40


def _largest(values, k):
    top = values.topk(k, dim=-1)
    return torch.zeros_like(values).scatter(-1, top.indices, top.values)


@pytest.fixture
def turned(random):
    """Weights as Qwen Scope stores them: the encoder `(d_sae, d_in)`."""
    return {
        "W_enc": random(D_SAE, D_IN),
        "W_dec": random(D_IN, D_SAE),
        "b_enc": random(D_SAE),
        "b_dec": random(D_IN),
    }


def test_qwen_scope(load, agree, inputs, turned, tmp_path):
    folder = tmp_path / "SAE-Res-Qwen3-1.7B-Base-W32K-L0_6"
    folder.mkdir()
    for layer in (3, 11):
        torch.save(turned, folder / f"layer{layer}.sae.pt")
    ours = load(folder / "layer11.sae.pt")
    codes = _largest(relu(inputs @ turned["W_enc"].T + turned["b_enc"]), 6)
    agree(ours, inputs, codes, codes @ turned["W_dec"].T + turned["b_dec"])
    conventions = ours.conventions
    assert (conventions.family, conventions.k) == ("qwen_scope", 6)
    assert conventions.site is not None
    assert conventions.site.hook == "blocks.11.hook_resid_post"
    assert "guessed from the path: k = 6" in conventions.notes
    with pytest.raises(CheckpointError, match=r"layer3\.sae\.pt, layer11\.sae\.pt"):
        load(folder)


def test_qwen_scope_without_k(load, turned, tmp_path):
    torch.save(turned, tmp_path / "layer1.sae.pt")
    with pytest.raises(CheckpointError, match="whose name tells k"):
        load(tmp_path / "layer1.sae.pt")


@pytest.fixture
def openai(random):
    return {
        "pre_bias": random(D_IN),
        "latent_bias": random(D_SAE),
        "encoder.weight": random(D_SAE, D_IN),
        "decoder.weight": random(D_IN, D_SAE),
        "stats_last_nonzero": torch.zeros(D_SAE, dtype=torch.long),
    }


def test_openai_top_k_normalises_its_inputs(load, agree, inputs, openai, tmp_path):
    state = {"k": 5, "postact_fn": "ReLU"}
    path = tmp_path / "gpt2-small" / "resid_post_mlp_v5_32k" / "autoencoders" / "8.pt"
    path.parent.mkdir(parents=True)
    torch.save({**openai, "activation": "TopK", "activation_state_dict": state}, path)
    ours = load(path)
    mean = inputs.mean(dim=-1, keepdim=True)
    deviation = inputs.std(dim=-1, keepdim=True)
    normal = (inputs - mean) / (deviation + 1e-5)
    pre = (normal - openai["pre_bias"]) @ openai["encoder.weight"].T + openai["latent_bias"]
    codes = relu(_largest(pre, 5))
    output = codes @ openai["decoder.weight"].T + openai["pre_bias"]
    agree(ours, inputs, codes, output * deviation + mean)
    site = ours.conventions.site
    assert site is not None
    assert site.hook == "blocks.8.hook_resid_post"
    assert any("not in one scale" in note for note in ours.conventions.notes)


def test_openai_relu(load, agree, inputs, openai, tmp_path):
    torch.save({**openai, "activation": "ReLU"}, tmp_path / "8.pt")
    codes = relu((inputs - openai["pre_bias"]) @ openai["encoder.weight"].T + openai["latent_bias"])
    output = codes @ openai["decoder.weight"].T + openai["pre_bias"]
    agree(load(tmp_path / "8.pt"), inputs, codes, output)


def test_goodfire(load, agree, inputs, random, tmp_path):
    state = {
        "encoder_linear.weight": random(D_SAE, D_IN),
        "encoder_linear.bias": random(D_SAE),
        "decoder_linear.weight": random(D_IN, D_SAE),
        "decoder_linear.bias": random(D_IN),
    }
    path = tmp_path / "Llama-3.1-8B-Instruct-SAE-l19.pth"
    torch.save(state, path)
    ours = load(path)
    codes = relu(inputs @ state["encoder_linear.weight"].T + state["encoder_linear.bias"])
    output = codes @ state["decoder_linear.weight"].T + state["decoder_linear.bias"]
    agree(ours, inputs, codes, output)
    assert ours.conventions.site is not None
    assert ours.conventions.site.layer == 19


@pytest.mark.parametrize("turn", [True, False])
@pytest.mark.parametrize("suffix", [".npz", ".safetensors", ".pt"])
def test_plain_files_are_turned_by_their_biases(
    load, agree, inputs, random, tmp_path, suffix, turn
):
    W_enc, W_dec = random(D_IN, D_SAE), random(D_SAE, D_IN)
    state = {
        "W_E": W_enc.T.contiguous() if turn else W_enc,
        "W_dec": W_dec.T.contiguous() if turn else W_dec,
        "b_enc": random(D_SAE),
        "b_dec": random(D_IN),
    }
    path = tmp_path / f"my_layer_4{suffix}"
    if suffix == ".npz":
        np.savez(path, **{name: value.numpy() for name, value in state.items()})
    elif suffix == ".pt":
        torch.save({"state_dict": state, "epoch": 3}, path)
    else:
        save_file(state, path)
    ours = load(path)
    codes = relu(inputs @ W_enc + state["b_enc"])
    agree(ours, inputs, codes, codes @ W_dec + state["b_dec"])
    assert ours.conventions.family == "plain"
    notes = " | ".join(ours.conventions.notes)
    for guess in ("read by names and shapes alone", "guessed: ReLU", "not subtracted", "layer 4"):
        assert guess in notes


def test_plain_files_with_more_features_than_inputs_or_fewer(load, random, tmp_path):
    """The biases tell the sizes, not which one is larger."""
    state = {
        "w_e": random(5, 30),
        "w_dec": random(30, 5),
        "b_enc": random(5),
        "b_dec": random(30),
    }
    save_file(state, tmp_path / "narrow.safetensors")
    ours = load(tmp_path / "narrow.safetensors")
    assert (ours.d_in, ours.d_sae) == (30, 5)


def test_plain_thresholds_and_k(load, agree, inputs, random, turned, tmp_path):
    thresholds = random(D_SAE, scale=0.5)
    save_file({**turned, "log_threshold": thresholds}, tmp_path / "a.safetensors")
    pre = inputs @ turned["W_enc"].T + turned["b_enc"]
    codes = pre * (pre > thresholds.exp())
    agree(
        load(tmp_path / "a.safetensors"),
        inputs,
        codes,
        codes @ turned["W_dec"].T + turned["b_dec"],
    )
    save_file({**turned, "k": torch.tensor(3)}, tmp_path / "b.safetensors")
    assert load(tmp_path / "b.safetensors").conventions.k == 3


@pytest.mark.parametrize(
    ("config", "more", "told"),
    [
        ({"activation": "topk"}, {}, "its config says 'topk', but it has no k"),
        ({"sae_type": "jumprelu"}, {}, "says 'jumprelu', but it has no tensors of that"),
        ({"architecture": "temporal", "k": 4}, {}, "says 'temporal'"),
        ({}, {"b_gate": torch.zeros(40), "r_mag": torch.zeros(40)}, "a gated SAE, by its b_gate"),
    ],
)
def test_a_kind_whose_parts_are_not_there_is_not_read_as_relu(load, tmp_path, config, more, told):
    weights = {"W_enc": torch.randn(12, 40), "W_dec": torch.randn(40, 12)}
    torch.save({**weights, "b_enc": torch.zeros(40), **more}, tmp_path / "sae.pt")
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match=told):
        load(tmp_path)


def test_batch_top_k_of_a_config_is_no_top_k(load, tmp_path):
    weights = {"W_enc": torch.randn(12, 40), "W_dec": torch.randn(40, 12)}
    torch.save({**weights, "b_enc": torch.zeros(40)}, tmp_path / "sae.pt")
    (tmp_path / "config.json").write_text(json.dumps({"sae_type": "batchtopk", "top_k": 5}))
    conventions = load(tmp_path).conventions
    assert (conventions.activation, conventions.k) == ("batchtopk", 5)

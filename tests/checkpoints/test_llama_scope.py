"""Llama Scope v1 and the later files of OpenMOSS' library, against its formulas written out."""

import json
import math

import pytest
import torch
from safetensors.torch import save_file
from torch.nn.functional import relu

from saematch.errors import CheckpointError

D_IN, D_SAE = 12, 40
HOOK = "blocks.24.hook_resid_post"


@pytest.fixture
def linear(random):
    return {
        "encoder.weight": random(D_SAE, D_IN),
        "encoder.bias": random(D_SAE),
        "decoder.weight": random(D_IN, D_SAE),
        "decoder.bias": random(D_IN),
    }


def _theirs(linear, config, x, threshold, norms):
    """Encode and decode of the authors' library, inputs and outputs unscaled around it."""
    scale_in, scale_out = (math.sqrt(D_IN) / norm for norm in norms)
    scaled = x * scale_in
    if config.get("apply_decoder_bias_to_pre_encoder"):
        scaled = scaled - linear["decoder.bias"]
    pre = scaled @ linear["encoder.weight"].T + linear["encoder.bias"]
    score = pre
    if config["sparsity_include_decoder_norm"]:
        score = pre * linear["decoder.weight"].norm(dim=0)
    codes = pre * (score > threshold)
    output = codes @ linear["decoder.weight"].T + linear["decoder.bias"]
    return codes, output / scale_out


def _config(**changes):
    return {
        "hook_point_in": HOOK,
        "hook_point_out": HOOK,
        "d_model": D_IN,
        "d_sae": D_SAE,
        "act_fn": "jumprelu",
        "norm_activation": "dataset-wise",
        "sparsity_include_decoder_norm": True,
        "use_decoder_bias": True,
        "apply_decoder_bias_to_pre_encoder": False,
        **changes,
    }


@pytest.mark.parametrize("centred", [True, False])
@pytest.mark.parametrize("include", [True, False])
def test_version_1(load, agree, inputs, linear, tmp_path, include, centred):
    norms = {"in": 4.0, "out": 4.0}
    config = _config(
        jump_relu_threshold=0.8,
        dataset_average_activation_norm=norms,
        sparsity_include_decoder_norm=include,
        apply_decoder_bias_to_pre_encoder=centred,
    )
    folder = tmp_path / "Llama3_1-8B-Base-L24R-8x"
    (folder / "checkpoints").mkdir(parents=True)
    (folder / "hyperparams.json").write_text(json.dumps(config))
    save_file(
        {n: v.bfloat16().contiguous() for n, v in linear.items()},
        folder / "checkpoints" / "final.safetensors",
    )
    linear = {n: v.bfloat16().float() for n, v in linear.items()}
    ours = load(folder)
    theirs = _theirs(linear, config, inputs, 0.8, (4.0, 4.0))
    if centred:
        # the library subtracts the bias from the normalised input, as the canonical form does
        assert ours.conventions.centred
    agree(ours, inputs, *theirs)
    conventions = ours.conventions
    assert conventions.dtype == "bfloat16"
    assert conventions.family == "llama_scope"
    assert conventions.norm_factor == pytest.approx(math.sqrt(D_IN) / 4)
    assert any("not settled upstream" in note for note in conventions.notes)
    assert conventions.site is not None
    assert conventions.site.hook == HOOK


@pytest.mark.parametrize("include", [True, False])
def test_r1_distill(load, agree, inputs, linear, random, tmp_path, include):
    logarithm = random(D_SAE, scale=0.3)
    hook_out = "blocks.24.hook_mlp_out"
    tensors = {
        **linear,
        "log_jumprelu_threshold": logarithm,
        f"dataset_average_activation_norm.{HOOK}": torch.tensor(5.0),
        f"dataset_average_activation_norm.{hook_out}": torch.tensor(2.0),
    }
    save_file(tensors, tmp_path / "sae_weights.safetensors")
    config = _config(hook_point_out=hook_out, sparsity_include_decoder_norm=include)
    (tmp_path / "config.json").write_text(json.dumps(config))
    ours = load(tmp_path)
    agree(ours, inputs, *_theirs(linear, config, inputs, logarithm.exp(), (5.0, 2.0)))
    assert ours.conventions.family == "llamascopium"
    assert ours.conventions.site is not None
    assert ours.conventions.site.hook_out == hook_out


def _bare(linear):
    return {
        "W_E": linear["encoder.weight"].T.contiguous(),
        "b_E": linear["encoder.bias"],
        "W_D": linear["decoder.weight"].T.contiguous(),
        "b_D": linear["decoder.bias"],
    }


@pytest.mark.parametrize("include", [True, False])
def test_llamascopium(load, agree, inputs, linear, random, tmp_path, include):
    logarithm = random(D_SAE, scale=0.3)
    name = "activation_function.log_jumprelu_threshold"
    save_file({**_bare(linear), name: logarithm}, tmp_path / "sae_weights.safetensors")
    config = _config(norm_activation="inference", sparsity_include_decoder_norm=include)
    (tmp_path / "config.json").write_text(json.dumps(config))
    # "inference" stands for inputs as they are
    raw = (math.sqrt(D_IN), math.sqrt(D_IN))
    agree(load(tmp_path), inputs, *_theirs(linear, config, inputs, logarithm.exp(), raw))


def test_top_k_is_chosen_by_decoder_norm(load, agree, inputs, linear, tmp_path):
    save_file(_bare(linear), tmp_path / "sae_weights.safetensors")
    config = _config(norm_activation="inference", act_fn="topk", top_k=5)
    (tmp_path / "config.json").write_text(json.dumps(config))
    pre = relu(inputs @ linear["encoder.weight"].T + linear["encoder.bias"])
    chosen = (pre * linear["decoder.weight"].norm(dim=0)).topk(5, dim=-1).indices
    codes = torch.zeros_like(pre).scatter(-1, chosen, pre.gather(-1, chosen))
    output = codes @ linear["decoder.weight"].T + linear["decoder.bias"]
    agree(load(tmp_path), inputs, codes, output)


@pytest.mark.parametrize(
    ("change", "tensors", "message"),
    [
        ({"use_glu_encoder": True}, {}, "use_glu_encoder"),
        ({"sae_type": "clt"}, {}, "sae_type 'clt'"),
        ({"act_fn": "gelu"}, {}, "act_fn 'gelu'"),
        ({}, {}, "average norm"),
        ({}, {"W_E": torch.zeros(3, D_IN, D_SAE)}, "crosscoder"),
    ],
)
def test_what_has_no_form_is_refused(load, linear, tmp_path, change, tensors, message):
    name = "activation_function.log_jumprelu_threshold"
    state = {**_bare(linear), name: torch.zeros(D_SAE), **tensors}
    save_file(state, tmp_path / "sae_weights.safetensors")
    (tmp_path / "config.json").write_text(json.dumps(_config(**change)))
    with pytest.raises(CheckpointError, match=message):
        load(tmp_path)

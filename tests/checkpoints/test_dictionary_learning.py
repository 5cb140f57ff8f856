"""Files in the layout of dictionary_learning, against its formulas written out here.

The library itself needs an environment that conflicts with the tests', so its layouts are made by
hand: `trainer_i/config.json` beside `ae.pt`.
"""

import json

import pytest
import torch
from torch.nn.functional import relu

from saematch.errors import CheckpointError

D_IN, D_SAE = 12, 40


@pytest.fixture
def write(tmp_path):
    def save(state, dict_class=None, **extra):
        folder = tmp_path / "resid_post_layer_7" / "trainer_0"
        folder.mkdir(parents=True, exist_ok=True)
        torch.save(state, folder / "ae.pt")
        if dict_class:
            trainer = {
                "dict_class": dict_class,
                "layer": 7,
                "lm_name": "EleutherAI/pythia-70m-deduped",
                "submodule_name": "resid_post_layer_7",
                "activation_dim": D_IN,
                "dict_size": D_SAE,
                **extra,
            }
            (folder / "config.json").write_text(json.dumps({"trainer": trainer}))
        return folder

    return save


@pytest.fixture
def linear(random):
    """The encoder and decoder of the classes that use torch's linear layers."""
    return {
        "encoder.weight": random(D_SAE, D_IN),
        "encoder.bias": random(D_SAE),
        "decoder.weight": random(D_IN, D_SAE),
    }


def _largest(values, k):
    top = values.topk(k, dim=-1)
    return torch.zeros_like(values).scatter(-1, top.indices, top.values)


@pytest.mark.parametrize("configured", [True, False])
def test_autoencoder(write, load, agree, inputs, random, linear, configured):
    state = {**linear, "bias": random(D_IN)}
    ours = load(write(state, "AutoEncoder" if configured else None))
    pre = (inputs - state["bias"]) @ state["encoder.weight"].T + state["encoder.bias"]
    codes = relu(pre)
    agree(ours, inputs, codes, codes @ state["decoder.weight"].T + state["bias"])
    site = ours.conventions.site
    assert site is not None
    assert (site.kind, site.layer) == ("resid_post", 7)
    assert bool(ours.conventions.notes) is not configured
    model = "EleutherAI/pythia-70m-deduped" if configured else None
    assert ours.conventions.model == model


def test_autoencoder_new_is_not_centred(write, load, agree, inputs, random, linear):
    state = {**linear, "decoder.bias": random(D_IN)}
    ours = load(write(state, "AutoEncoderNew"))
    codes = relu(inputs @ state["encoder.weight"].T + state["encoder.bias"])
    agree(ours, inputs, codes, codes @ state["decoder.weight"].T + state["decoder.bias"])


def _top_k_state(linear, random, threshold):
    return {
        **linear,
        "b_dec": random(D_IN),
        "k": torch.tensor(5, dtype=torch.int),
        "threshold": torch.tensor(threshold),
    }


@pytest.mark.parametrize("threshold", [-1.0, 2.5])
def test_top_k_ignores_its_threshold(write, load, agree, inputs, random, linear, threshold):
    state = _top_k_state(linear, random, threshold)
    ours = load(write(state, "AutoEncoderTopK"))
    pre = (inputs - state["b_dec"]) @ state["encoder.weight"].T + state["encoder.bias"]
    codes = _largest(relu(pre), 5)
    agree(ours, inputs, codes, codes @ state["decoder.weight"].T + state["b_dec"])
    assert ours.conventions.k == 5


def test_batch_top_k_uses_its_threshold(write, load, agree, inputs, random, linear):
    state = _top_k_state(linear, random, 2.5)
    ours = load(write(state, "BatchTopKSAE"))
    pre = (inputs - state["b_dec"]) @ state["encoder.weight"].T + state["encoder.bias"]
    codes = relu(pre) * (relu(pre) > 2.5)
    agree(ours, inputs, codes, codes @ state["decoder.weight"].T + state["b_dec"])


def test_batch_top_k_before_its_threshold_was_set(write, load, agree, inputs, random, linear):
    state = _top_k_state(linear, random, -1.0)
    ours = load(write(state, "BatchTopKSAE"))
    pre = (inputs - state["b_dec"]) @ state["encoder.weight"].T + state["encoder.bias"]
    codes = _largest(relu(pre).flatten(), 5 * len(inputs)).view_as(pre)
    agree(ours, inputs, codes, codes @ state["decoder.weight"].T + state["b_dec"])
    assert any("never set" in note for note in ours.conventions.notes)


def test_top_k_without_a_config_is_a_noted_guess(write, load, random, linear):
    ours = load(write(_top_k_state(linear, random, 2.5)))
    assert ours.conventions.activation == "topk"
    assert any("guessed: top-k per token" in note for note in ours.conventions.notes)


def _bare_state(random, **more):
    return {
        "W_enc": random(D_IN, D_SAE),
        "b_enc": random(D_SAE),
        "W_dec": random(D_SAE, D_IN),
        "b_dec": random(D_IN),
        **more,
    }


@pytest.mark.parametrize("configured", [True, False])
def test_jumprelu_is_not_centred(write, load, agree, inputs, random, configured):
    state = _bare_state(random, threshold=random(D_SAE).abs())
    ours = load(write(state, "JumpReluAutoEncoder" if configured else None))
    pre = inputs @ state["W_enc"] + state["b_enc"]
    codes = relu(pre * (pre > state["threshold"]))
    agree(ours, inputs, codes, codes @ state["W_dec"] + state["b_dec"])


@pytest.mark.parametrize("configured", [True, False])
def test_matryoshka(write, load, agree, inputs, random, configured):
    state = _bare_state(
        random,
        k=torch.tensor(5, dtype=torch.int),
        threshold=torch.tensor(1.5),
        group_sizes=torch.tensor([10, 30]),
    )
    ours = load(write(state, "MatryoshkaBatchTopKSAE" if configured else None))
    pre = relu((inputs - state["b_dec"]) @ state["W_enc"] + state["b_enc"])
    codes = pre * (pre > 1.5)
    agree(ours, inputs, codes, codes @ state["W_dec"] + state["b_dec"])


def test_gated(write, load, agree, inputs, random):
    state = {
        "encoder.weight": random(D_SAE, D_IN),
        "decoder.weight": random(D_IN, D_SAE),
        "decoder_bias": random(D_IN),
        "r_mag": random(D_SAE, scale=0.5),
        "gate_bias": random(D_SAE),
        "mag_bias": random(D_SAE),
    }
    ours = load(write(state, "GatedAutoEncoder"))
    shared = (inputs - state["decoder_bias"]) @ state["encoder.weight"].T
    gate = shared + state["gate_bias"] > 0
    codes = gate * relu(state["r_mag"].exp() * shared + state["mag_bias"])
    agree(ours, inputs, codes, codes @ state["decoder.weight"].T + state["decoder_bias"])
    assert ours.conventions.activation == "jumprelu"


def test_an_interrupted_run_is_brought_to_raw_inputs(write, load, agree, inputs, random, linear):
    """Such a run normalises its inputs by a factor that the finished file has scaled in."""
    ae = _top_k_state(linear, random, 1.2)
    whole = {"step": 10, "ae": ae, "optimizer": {"state": {}}, "config": {}, "norm_factor": 3.0}
    ours = load(write(whole, "BatchTopKSAE"))
    x = inputs / 3.0
    pre = relu((x - ae["b_dec"]) @ ae["encoder.weight"].T + ae["encoder.bias"])
    codes = pre * (pre > 1.2)
    output = codes @ ae["decoder.weight"].T + ae["b_dec"]
    agree(ours, inputs, codes * 3.0, output * 3.0)
    assert ours.conventions.norm_factor == 3.0


def test_k_of_the_config_alone(write, load, agree, inputs, random, linear):
    """Before 2024-12-22 the state dict of AutoEncoderTopK held no k."""
    state = {**linear, "b_dec": random(D_IN)}
    ours = load(write(state, "AutoEncoderTopK", k=6))
    pre = (inputs - state["b_dec"]) @ state["encoder.weight"].T + state["encoder.bias"]
    codes = _largest(relu(pre), 6)
    agree(ours, inputs, codes, codes @ state["decoder.weight"].T + state["b_dec"])
    assert (ours.conventions.activation, ours.conventions.k) == ("topk", 6)


def test_k_of_the_config_alone_over_a_batch(write, load, inputs, random, linear):
    state = {**linear, "b_dec": random(D_IN)}
    ours = load(write(state, "BatchTopKSAE", k=6))
    pre = (inputs - state["b_dec"]) @ state["encoder.weight"].T + state["encoder.bias"]
    smallest = relu(pre).flatten().topk(6 * len(inputs)).values[-1]
    torch.testing.assert_close(ours.encode(inputs), relu(pre) * (pre >= smallest))
    assert (ours.conventions.activation, ours.conventions.k) == ("batchtopk", 6)


@pytest.mark.parametrize(
    "config",
    [
        {"dict_class": "AutoEncoderTopK"},
        {"dict_class": "BatchTopKSAE"},
        {"dict_class": "AutoEncoderTopK", "k": None},
        {"dict_class": "AutoEncoder", "trainer_class": "TrainerTopK"},
    ],
)
def test_top_k_without_any_k_is_refused(write, load, random, linear, config):
    with pytest.raises(CheckpointError, match="without a k, in the tensors or"):
        load(write({**linear, "b_dec": random(D_IN)}, **config))


def test_the_k_of_the_tensors_goes_before_another_in_the_config(write, load, random, linear):
    state = {**linear, "b_dec": random(D_IN), "k": torch.tensor(5)}
    conventions = load(write(state, "AutoEncoderTopK", k=6)).conventions
    assert conventions.k == 5
    assert "config.json says k = 6, the file k = 5, which is taken" in conventions.notes


def test_a_class_whose_tensors_are_not_there_is_refused(write, load, random, linear):
    with pytest.raises(CheckpointError, match="dict_class GatedAutoEncoder, but it holds"):
        load(write({**linear, "bias": random(D_IN)}, "GatedAutoEncoder"))


def test_names_of_top_k_without_a_config_are_not_taken_for_relu_unsaid(write, load, random, linear):
    notes = load(write({**linear, "b_dec": random(D_IN)})).conventions.notes
    assert any("library's top-k classes" in note for note in notes)


@pytest.mark.parametrize(
    ("config", "hook"),
    [
        ({"submodule_name": "attn_out_layer7"}, "blocks.7.hook_attn_out"),
        ({"submodule_name": "mlp_out_layer7"}, "blocks.7.hook_mlp_out"),
        ({"submodule_name": "resid_out_layer7"}, "blocks.7.hook_resid_post"),
        ({"submodule_name": "gpt_neox.layers.3.mlp"}, "gpt_neox.layers.3.mlp"),
        ({"submodule_name": None}, "blocks.7.hook_resid_post"),
    ],
)
def test_where_the_config_says_that_it_reads(write, load, random, linear, config, hook):
    site = load(write({**linear, "bias": random(D_IN)}, "AutoEncoder", **config)).conventions.site
    assert site.hook == hook


def test_matryoshka_with_neither_k_nor_threshold_in_its_tensors(write, load, random):
    state = {
        "W_enc": random(D_IN, D_SAE),
        "W_dec": random(D_SAE, D_IN),
        "b_enc": random(D_SAE),
        "b_dec": random(D_IN),
    }
    conventions = load(write(state, "MatryoshkaBatchTopKSAE", k=6)).conventions
    assert (conventions.activation, conventions.k) == ("batchtopk", 6)
    assert any("never set" in note for note in conventions.notes)


def test_a_threshold_that_the_class_does_not_use_is_named(write, load, random, linear):
    state = {**linear, "bias": random(D_IN), "threshold": torch.tensor(0.3)}
    assert "tensors left out: threshold" in load(write(state, "AutoEncoder")).conventions.notes
    top_k = {**linear, "b_dec": random(D_IN), "threshold": torch.tensor(0.3)}
    assert load(write(top_k, "AutoEncoderTopK", k=6)).conventions.notes == ()

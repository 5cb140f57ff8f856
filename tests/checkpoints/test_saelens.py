"""Files that SAELens wrote, against SAELens' own encode and decode."""

import json
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file, save_file

from saematch import fold
from saematch.errors import CheckpointError

D_IN, D_SAE, D_OUT = 12, 40, 9


@pytest.fixture
def build(sae_lens, perturb):
    """`build("JumpReLUSAE", ...)`: an SAE of that class with random parameters."""

    def make(name, **config):
        kinds = {**vars(sae_lens), **vars(_transcoders())}
        settings = {"d_in": D_IN, "d_sae": D_SAE, **config}
        return perturb(kinds[name](kinds[f"{name}Config"](**settings))).eval()

    return make


def _transcoders():
    from sae_lens.saes import abstopk_sae, transcoder

    return SimpleNamespace(**{**vars(transcoder), **vars(abstopk_sae)})


ARCHITECTURES = [
    ("StandardSAE", {}),
    ("JumpReLUSAE", {}),
    ("GatedSAE", {}),
    ("TopKSAE", {"k": 5}),
    ("TopKSAE", {"k": 5, "rescale_acts_by_decoder_norm": True}),
    ("AbsTopKSAE", {"k": 5}),
    ("AbsTopKSAE", {"k": 5, "rescale_acts_by_decoder_norm": True}),
]


@pytest.mark.parametrize("norm", ["none", "layer_norm", "constant_norm_rescale"])
@pytest.mark.parametrize("centred", [True, False])
@pytest.mark.parametrize(("name", "config"), ARCHITECTURES)
def test_agrees_with_the_library(build, load, agree, inputs, tmp_path, name, config, centred, norm):
    theirs = build(name, **config, apply_b_dec_to_input=centred, normalize_activations=norm)
    theirs.save_model(tmp_path)
    ours = load(tmp_path)
    codes = theirs.encode(inputs).detach()
    agree(ours, inputs, codes, theirs(inputs).detach())
    assert ours.conventions.centred is centred
    assert ours.conventions.family == "saelens"


@pytest.mark.parametrize("norm", ["none", "layer_norm", "constant_norm_rescale"])
@pytest.mark.parametrize(
    "name", ["Transcoder", "SkipTranscoder", "JumpReLUTranscoder", "JumpReLUSkipTranscoder"]
)
def test_transcoders(build, load, agree, inputs, tmp_path, name, norm):
    theirs = build(name, d_out=D_OUT, apply_b_dec_to_input=False, normalize_activations=norm)
    theirs.cfg.metadata.hook_name = "blocks.4.ln2.hook_normalized"
    theirs.cfg.metadata.hook_name_out = "blocks.4.hook_mlp_out"
    theirs.save_model(tmp_path)
    ours = load(tmp_path)
    assert (ours.d_in, ours.d_out) == (D_IN, D_OUT)
    agree(ours, inputs, theirs.encode(inputs).detach(), theirs(inputs).detach())
    site = ours.conventions.site
    assert site is not None
    assert (site.kind, site.layer, site.hook_out) == ("mlp_in", 4, "blocks.4.hook_mlp_out")


@pytest.mark.parametrize("rescale", [True, False])
@pytest.mark.parametrize("name", ["BatchTopKTrainingSAE", "MatryoshkaBatchTopKTrainingSAE"])
def test_batch_topk_as_training_checkpoint_and_for_inference(
    sae_lens, build, load, agree, inputs, tmp_path, name, rescale
):
    extra = {"matryoshka_widths": [10, D_SAE]} if name.startswith("M") else {}
    training = build(name, k=4.0, rescale_acts_by_decoder_norm=rescale, **extra)
    training.topk_threshold = torch.tensor(1.3, dtype=torch.double)
    training.save_model(tmp_path / "training")
    training.save_inference_model(tmp_path / "inference")
    theirs = sae_lens.SAE.load_from_disk(tmp_path / "inference")
    codes, output = theirs.encode(inputs).detach(), theirs(inputs).detach()
    exported = load(tmp_path / "inference")
    agree(exported, inputs, codes, output)
    assert exported.threshold_kind == "scalar"
    checkpoint = load(tmp_path / "training")
    agree(checkpoint, inputs, codes, output)
    assert checkpoint.conventions.k == 4
    assert any("training checkpoint" in note for note in checkpoint.conventions.notes)


@pytest.mark.parametrize("rescale", [True, False])
def test_batch_topk_whose_threshold_was_never_set(build, load, agree, inputs, tmp_path, rescale):
    training = build("BatchTopKTrainingSAE", k=4.0, rescale_acts_by_decoder_norm=rescale)
    training.save_model(tmp_path)
    ours = load(tmp_path)
    agree(ours, inputs, training.encode(inputs).detach(), training(inputs).detach())
    assert ours.conventions.activation == "batchtopk"


@pytest.mark.parametrize("name", ["StandardTrainingSAE", "JumpReLUTrainingSAE", "TopKTrainingSAE"])
def test_training_checkpoints(build, load, agree, inputs, tmp_path, name):
    training = build(name, **({"k": 6} if name.startswith("TopK") else {}))
    training.save_model(tmp_path)
    agree(load(tmp_path), inputs, training.encode(inputs).detach(), training(inputs).detach())


def test_expected_average_is_folded_with_the_factor_beside(build, load, agree, inputs, tmp_path):
    theirs = build("JumpReLUSAE", normalize_activations="expected_average_only_in")
    theirs.save_model(tmp_path)
    unscaled = load(tmp_path)
    assert any("factor is in no file" in note for note in unscaled.conventions.notes)
    (tmp_path / "activation_scaler.json").write_text(json.dumps({"scaling_factor": 0.4}))
    ours = load(tmp_path)
    theirs.fold_activation_norm_scaling_factor(0.4)
    agree(ours, inputs, theirs.encode(inputs).detach(), theirs(inputs).detach())
    assert ours.conventions.norm_factor == 0.4


@pytest.mark.parametrize("rescale", [True, False])
def test_expected_average_in_a_batch_topk_training_checkpoint(
    sae_lens, build, load, agree, inputs, tmp_path, rescale
):
    training = build(
        "BatchTopKTrainingSAE",
        k=4.0,
        rescale_acts_by_decoder_norm=rescale,
        normalize_activations="expected_average_only_in",
    )
    training.topk_threshold = torch.tensor(1.1, dtype=torch.double)
    training.save_model(tmp_path / "training")
    scaler = {"scaling_factor": 0.6, "has_whitening": False}
    (tmp_path / "training" / "activation_scaler.json").write_text(json.dumps(scaler))
    ours = load(tmp_path / "training")
    training.fold_activation_norm_scaling_factor(0.6)
    training.save_inference_model(tmp_path / "inference")
    theirs = sae_lens.SAE.load_from_disk(tmp_path / "inference")
    agree(ours, inputs, theirs.encode(inputs).detach(), theirs(inputs).detach())


@pytest.mark.parametrize("centred", [True, False])
@pytest.mark.parametrize(("name", "config"), [*ARCHITECTURES[:3], ARCHITECTURES[4]])
def test_whitening_is_folded(build, load, agree, inputs, random, tmp_path, name, config, centred):
    theirs = build(
        name,
        **config,
        apply_b_dec_to_input=centred,
        normalize_activations="covariance_whitening",
    )
    theirs.save_model(tmp_path)
    with pytest.raises(CheckpointError, match=r"activation_whitening\.safetensors"):
        load(tmp_path)
    mean, matrix = random(D_IN).double(), random(D_IN, D_IN, scale=0.3).double()
    inverse = torch.linalg.inv(matrix).contiguous()
    statistics = {"mean": mean, "matrix": matrix, "inverse_matrix": inverse}
    save_file(statistics, tmp_path / "activation_whitening.safetensors")
    theirs.fold_activation_whitening(mean, matrix, inverse)
    ours = load(tmp_path)
    torch.testing.assert_close(
        ours.encode(inputs), theirs.encode(inputs).detach(), rtol=1e-3, atol=1e-3
    )
    torch.testing.assert_close(
        ours.reconstruct(inputs), theirs(inputs).detach(), rtol=1e-3, atol=1e-2
    )


def test_files_of_version_3(sae_lens, build, load, agree, inputs, tmp_path):
    """Written before 6.0: flat config, boolean normalisation, top-k hidden in activation_fn."""
    theirs = build("TopKSAE", k=5)
    theirs.save_model(tmp_path)
    old = {
        "architecture": "standard",
        "d_in": D_IN,
        "d_sae": D_SAE,
        "dtype": "float32",
        "model_name": "gpt2-small",
        "hook_point": "blocks.8.hook_resid_pre",
        "activation_fn_str": "topk",
        "activation_fn_kwargs": {"k": 5},
        "normalize_activations": False,
        "neuronpedia_id": "gpt2-small/8-res-jb",
    }
    (tmp_path / "cfg.json").write_text(json.dumps(old))
    theirs = sae_lens.SAE.load_from_disk(tmp_path)
    ours = load(tmp_path)
    agree(ours, inputs, theirs.encode(inputs).detach(), theirs(inputs).detach())
    conventions = ours.conventions
    assert (conventions.activation, conventions.k, conventions.centred) == ("topk", 5, True)
    assert conventions.neuronpedia_id == "gpt2-small/8-res-jb"
    assert conventions.site is not None
    assert (conventions.site.kind, conventions.site.layer) == ("resid_pre", 8)


def test_logarithmic_thresholds_and_finetuning_factors_of_old_files(jumprelu_files, load, tmp_path):
    tensors = jumprelu_files(tmp_path / "plain")
    old = {
        **{name: tensors[name] for name in ("W_enc", "W_dec", "b_enc", "b_dec")},
        "threshold": None,
        "log_threshold": tensors["threshold"].log(),
        "scaling_factor": torch.linspace(0.5, 2, D_SAE),
    }
    jumprelu_files(tmp_path / "old", **old)
    plain, loaded = load(tmp_path / "plain"), load(tmp_path / "old")
    torch.testing.assert_close(loaded.threshold, plain.threshold)
    torch.testing.assert_close(
        loaded.W_dec, tensors["W_dec"] * torch.linspace(0.5, 2, D_SAE)[:, None]
    )


def test_thresholds_of_zero_are_legal(jumprelu_files, load, tmp_path):
    threshold = torch.linspace(0, 1, D_SAE)
    jumprelu_files(threshold=threshold)
    sae = load(tmp_path)
    assert not sae.excluded.any()
    assert sae.threshold is not None
    assert sae.threshold[0] == 0


def test_sparsity_becomes_frequency_and_dead_features_are_excluded(jumprelu_files, load, tmp_path):
    jumprelu_files()
    frequency = torch.linspace(0, 0.3, D_SAE)
    save_file({"sparsity": torch.log10(frequency + 1e-10)}, tmp_path / "sparsity.safetensors")
    sae = load(tmp_path)
    torch.testing.assert_close(sae.frequency, frequency, rtol=1e-5, atol=1e-8)
    assert sae.exclusions["dead"].nonzero().tolist() == [[0]]


@pytest.mark.parametrize(
    ("name", "word"),
    [("TemporalSAE", "temporal"), ("MatchingPursuitSAE", "matching_pursuit")],
)
def test_architectures_without_a_form_are_refused(sae_lens, load, tmp_path, name, word):
    kinds = vars(sae_lens)
    theirs = kinds[name](kinds[f"{name}Config"](d_in=D_IN, d_sae=512))
    theirs.save_model(tmp_path)
    with pytest.raises(CheckpointError, match=f"architecture '{word}'"):
        load(tmp_path)


def test_half_precision_is_read_as_float32_and_its_dtype_remembered(
    build, load, agree, inputs, tmp_path
):
    theirs = build("JumpReLUSAE", dtype="bfloat16")
    theirs.save_model(tmp_path)
    stored = load_file(tmp_path / "sae_weights.safetensors")
    assert stored["W_dec"].dtype == torch.bfloat16
    ours = load(tmp_path)
    assert ours.dtype == torch.float32
    assert ours.conventions.dtype == "bfloat16"
    torch.testing.assert_close(ours.W_dec, stored["W_dec"].float())
    assert load(tmp_path, dtype=torch.bfloat16).W_enc.dtype == torch.bfloat16


@pytest.mark.parametrize("centred", [True, False])
@pytest.mark.parametrize("name", ["StandardSAE", "JumpReLUSAE"])
def test_decoder_norm_folding_is_the_library_s_own(build, load, tmp_path, name, centred):
    theirs = build(name, apply_b_dec_to_input=centred)
    theirs.save_model(tmp_path)
    ours = fold(load(tmp_path), "decoder-norm")
    theirs.fold_W_dec_norm()
    for parameter in ("W_enc", "W_dec", "b_enc", "b_dec"):
        torch.testing.assert_close(getattr(ours, parameter), getattr(theirs, parameter).data)
    if name == "JumpReLUSAE":
        torch.testing.assert_close(ours.threshold, theirs.threshold.data)


@pytest.mark.parametrize("name", ["scaling_factor", "finetuning_scaling_factor"])
def test_finetuning_factors_are_used_or_refused(jumprelu_files, load, tmp_path, name):
    """SAELens 2 to 5 multiplies features by them in decode; 6 refuses what the config denies."""
    factor = torch.linspace(0.5, 2, D_SAE)
    tensors = jumprelu_files(**{name: factor})
    ours = load(tmp_path)
    torch.testing.assert_close(ours.W_dec, tensors["W_dec"] * factor[:, None])
    assert any("scaling_factor" in note for note in ours.conventions.notes)
    config = json.loads((tmp_path / "cfg.json").read_text())
    config["finetuning_scaling_factor"] = False
    (tmp_path / "cfg.json").write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match=f"a tensor {name} that is not all 1"):
        load(tmp_path)


def test_a_tensor_that_is_not_read_is_named(jumprelu_files, load, tmp_path):
    jumprelu_files(b_gate=torch.ones(D_SAE))
    assert "tensors left out: b_gate" in load(tmp_path).conventions.notes


@pytest.mark.parametrize("kwargs", [{}, None, {"k": None}])
def test_top_k_without_k_is_refused(jumprelu_files, load, tmp_path, kwargs):
    jumprelu_files(threshold=None)
    config = {"architecture": "standard", "hook_name": "blocks.1.hook_resid_pre"}
    config |= {"activation_fn_str": "topk", "activation_fn_kwargs": kwargs}
    (tmp_path / "cfg.json").write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match="needs k"):
        load(tmp_path)


def _configured(folder, **config):
    path = folder / "cfg.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **config}))


@pytest.mark.parametrize("place", ["top", "metadata"])
@pytest.mark.parametrize(
    ("hook", "written"),
    [
        ("blocks.1.hook_resid_pre", True),
        ("blocks.1.hook_mlp_out", True),
        ("blocks.1.attn.hook_z", False),
        ("blocks.1.ln2.hook_normalized", False),
        ("blocks.1.mlp.hook_post", False),
    ],
)
def test_centred_writing_weights(jumprelu_files, load, inputs, tmp_path, place, hook, written):
    """The mean is taken out of what blocks write, and of nothing else."""
    jumprelu_files(hook=hook)
    plain = load(tmp_path)
    config = json.loads((tmp_path / "cfg.json").read_text())
    options = {"model_from_pretrained_kwargs": {"center_writing_weights": True}}
    _configured(
        tmp_path, **(options if place == "top" else {"metadata": config["metadata"] | options})
    )
    ours = load(tmp_path)
    x = inputs - inputs.mean(dim=-1, keepdim=True) if written else inputs
    torch.testing.assert_close(ours.encode(inputs), plain.encode(x), rtol=1e-4, atol=1e-4)
    assert any("mean over dimensions" in note for note in ours.conventions.notes) is written


def test_other_processing_of_the_model_is_noted(jumprelu_files, load, tmp_path):
    jumprelu_files()
    _configured(tmp_path, model_from_pretrained_kwargs={"fold_ln": True, "dtype": "bfloat16"})
    (note,) = load(tmp_path).conventions.notes
    assert "fold_ln=True" in note
    _configured(tmp_path, model_from_pretrained_kwargs={"center_writing_weights": False})
    assert load(tmp_path).conventions.notes == ()


def test_centring_beside_a_norm_per_token_is_noted_where_it_cannot_be_folded(
    jumprelu_files, load, inputs, tmp_path
):
    jumprelu_files()
    for norm, folded in (("layer_norm", True), ("constant_norm_rescale", False)):
        _configured(tmp_path, normalize_activations=norm, model_from_pretrained_kwargs={})
        plain = load(tmp_path)
        _configured(tmp_path, model_from_pretrained_kwargs={"center_writing_weights": True})
        ours = load(tmp_path)
        assert torch.equal(ours.W_enc, plain.W_enc)
        assert any("take the mean out" in note for note in ours.conventions.notes) is not folded
        x = inputs - inputs.mean(dim=-1, keepdim=True)
        same = torch.allclose(ours.encode(inputs), plain.encode(x), atol=1e-4)
        assert same is folded


def test_models_with_rms_norm_are_never_centred(jumprelu_files, load, tmp_path):
    """TransformerLens warns and passes over center_writing_weights there."""
    tensors = jumprelu_files()
    config = json.loads((tmp_path / "cfg.json").read_text())
    options = {"model_from_pretrained_kwargs": {"center_writing_weights": True}}
    _configured(tmp_path, metadata={**config["metadata"], **options, "model_name": "gemma-2b"})
    ours = load(tmp_path)
    assert torch.equal(ours.W_enc, tensors["W_enc"])
    assert any("nothing was folded" in note for note in ours.conventions.notes)

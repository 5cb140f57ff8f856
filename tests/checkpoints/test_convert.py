"""SAE objects of SAELens and sparsify in memory: as their library applies them, and as loaded."""

import dataclasses
import warnings

import pytest
import torch

import saematch
from saematch.errors import CheckpointError, SaematchError

D_IN, D_SAE = 12, 40
FIELDS = ("W_enc", "W_dec", "b_enc", "b_dec", "threshold", "selection_scale", "W_skip")
# what a file tells besides, and an object does not
OF_FILES = {"source": "", "notes": (), "site": None, "dtype": ""}


@pytest.fixture(scope="session")
def sparsify():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip("sparsify")


def equal(one, other):
    """All weights to the last bit, and how they are applied."""
    for name in FIELDS:
        first, second = getattr(one, name), getattr(other, name)
        assert (first is None) == (second is None), name
        if first is not None:
            assert torch.equal(first, second), name
    apply = [dataclasses.replace(sae.conventions, **OF_FILES) for sae in (one, other)]
    assert apply[0] == apply[1]


@pytest.mark.parametrize(
    ("name", "config"),
    [
        ("StandardSAE", {}),
        ("StandardSAE", {"normalize_activations": "layer_norm", "apply_b_dec_to_input": True}),
        ("JumpReLUSAE", {}),
        ("GatedSAE", {}),
        ("TopKSAE", {"k": 5}),
        ("StandardTrainingSAE", {}),
        ("BatchTopKTrainingSAE", {"k": 5}),
        ("JumpReLUTrainingSAE", {}),
    ],
)
@torch.no_grad()
def test_of_sae_lens(sae_lens, perturb, agree, inputs, tmp_path, name, config):
    kind, settings = getattr(sae_lens, name), getattr(sae_lens, f"{name}Config")
    theirs = perturb(kind(settings(d_in=D_IN, d_sae=D_SAE, **config)))
    theirs.cfg.metadata.hook_name = "blocks.3.hook_resid_post"
    ours = saematch.from_sae_lens(theirs)
    if "Training" not in name:
        agree(ours, inputs, theirs.encode(inputs), theirs(inputs))
    theirs.save_model(tmp_path)
    loaded = saematch.load(tmp_path)
    equal(ours, loaded)
    assert ours.conventions.site == loaded.conventions.site
    assert ours.conventions.dtype == loaded.conventions.dtype == "float32"
    before = ours.W_dec.clone()
    theirs.W_dec.zero_()
    assert torch.equal(ours.W_dec, before)


@pytest.mark.parametrize("activation", ["topk", "groupmax"])
@pytest.mark.parametrize("transcode", [False, True])
@torch.no_grad()
def test_of_sparsify(sparsify, perturb, agree, inputs, tmp_path, activation, transcode):
    config = sparsify.SparseCoderConfig(
        num_latents=D_SAE, k=5, activation=activation, transcode=transcode, skip_connection=True
    )
    theirs = perturb(sparsify.SparseCoder(D_IN, config))
    ours = saematch.from_sparsify(theirs, hookpoint="layers.6.mlp")
    values, indices, _ = theirs.encode(inputs)
    codes = torch.zeros(len(inputs), D_SAE).scatter(-1, indices, values)
    agree(ours, inputs, codes, theirs(inputs).sae_out)
    theirs.save_to_disk(tmp_path / "layers.6.mlp")
    loaded = saematch.load(tmp_path / "layers.6.mlp")
    equal(ours, loaded)
    assert ours.conventions.site == loaded.conventions.site
    assert saematch.from_sparsify(theirs).conventions.site is None
    before = ours.W_enc.clone()
    theirs.encoder.weight.zero_()
    assert torch.equal(ours.W_enc, before)


def test_in_half_precision_and_with_nothing_to_convert(sparsify, perturb):
    config = sparsify.SparseCoderConfig(num_latents=D_SAE, k=5)
    theirs = perturb(sparsify.SparseCoder(D_IN, config, dtype=torch.bfloat16))
    ours = saematch.from_sparsify(theirs)
    assert ours.dtype == torch.float32
    assert ours.conventions.dtype == "bfloat16"
    theirs.W_dec = None
    with pytest.raises(CheckpointError, match=r"in memory .*expected a tensor W_dec"):
        saematch.from_sparsify(theirs)
    for wrong in (saematch.from_sae_lens, saematch.from_sparsify):
        with pytest.raises(SaematchError, match=r"not torch\.nn\.modules\.linear\.Linear"):
            wrong(torch.nn.Linear(2, 2))

"""Gemma Scope and Gemma Scope 2, in their layouts, against the formulas of their papers."""

import json

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from saematch.errors import CheckpointError

D_IN, D_SAE, D_OUT = 12, 40, 9


@pytest.fixture
def arrays(random):
    def make(d_out=D_IN):
        return {
            "W_enc": random(D_IN, D_SAE),
            "W_dec": random(D_SAE, d_out),
            "b_enc": random(D_SAE),
            "b_dec": random(d_out),
            "threshold": random(D_SAE).abs(),
        }

    return make


def _theirs(tensors, x):
    tensors = {name.lower(): value for name, value in tensors.items()}
    pre = x @ tensors["w_enc"] + tensors["b_enc"]
    codes = (pre > tensors["threshold"]) * torch.relu(pre)
    return codes, codes @ tensors["w_dec"] + tensors["b_dec"]


def _save(folder, tensors, lower=False):
    folder.mkdir(parents=True, exist_ok=True)
    named = {
        ("w_" + n[2:] if lower and n.startswith("W_") else n): v.numpy() for n, v in tensors.items()
    }
    np.savez(folder / "params.npz", **named)
    return folder


@pytest.mark.parametrize("lower", [False, True])
@pytest.mark.parametrize(
    ("repository", "kind", "hook"),
    [
        ("gemma-scope-2b-pt-res", "resid_post", "blocks.12.hook_resid_post"),
        ("gemma-scope-9b-it-mlp", "mlp_out", "blocks.12.hook_mlp_out"),
        ("gemma-scope-2b-pt-att", "attn_z", "blocks.12.attn.hook_z"),
    ],
)
def test_gemma_scope(load, agree, inputs, arrays, tmp_path, lower, repository, kind, hook):
    tensors = arrays()
    folder = tmp_path / repository / "layer_12" / "width_16k" / "average_l0_82"
    ours = load(_save(folder, tensors, lower))
    agree(ours, inputs, *_theirs(tensors, inputs))
    conventions = ours.conventions
    assert conventions.family == "gemma_scope"
    assert not conventions.centred
    assert conventions.site is not None
    assert (conventions.site.kind, conventions.site.hook) == (kind, hook)
    assert any(note == f"guessed from the path: site {hook}" for note in conventions.notes)
    size = "9b-it" if "9b" in repository else "2b"
    assert conventions.model == f"google/gemma-2-{size}"
    assert ours.threshold_kind == "per feature"


def test_gemma_scope_whose_kind_no_word_tells(load, arrays, tmp_path):
    ours = load(_save(tmp_path / "layer_3" / "width_16k" / "average_l0_59", arrays()))
    assert ours.conventions.site is not None
    assert (ours.conventions.site.kind, ours.conventions.site.layer) == ("other", 3)
    assert any("kind of site is unknown" in note for note in ours.conventions.notes)


def test_gemma_scope_transcoder(load, agree, inputs, arrays, tmp_path):
    tensors = arrays(D_OUT)
    folder = tmp_path / "gemma-scope-2b-pt-transcoders" / "layer_5" / "width_16k"
    ours = load(_save(folder, tensors))
    agree(ours, inputs, *_theirs(tensors, inputs))
    site = ours.conventions.site
    assert site is not None
    assert (site.hook, site.hook_out) == ("blocks.5.ln2.hook_normalized", "blocks.5.hook_mlp_out")


@pytest.fixture
def gemma_scope_2(tmp_path):
    def save(tensors, config=None, name="resid_post_all/layer_17_width_16k_l0_small"):
        folder = tmp_path / "gemma-scope-2-270m-pt" / name
        folder.mkdir(parents=True)
        save_file({n.lower(): v for n, v in tensors.items()}, folder / "params.safetensors")
        if config:
            (folder / "config.json").write_text(json.dumps(config))
        return folder

    return save


@pytest.mark.parametrize("configured", [True, False])
def test_gemma_scope_2(load, agree, inputs, arrays, gemma_scope_2, configured):
    tensors = arrays()
    config = {
        "architecture": "jump_relu",
        "model_name": "google/gemma-3-270m",
        "hf_hook_point_in": "model.layers.17.output",
        "hf_hook_point_out": "model.layers.17.output",
    }
    ours = load(gemma_scope_2(tensors, config if configured else None))
    agree(ours, inputs, *_theirs(tensors, inputs))
    site = ours.conventions.site
    assert site is not None
    assert (site.kind, site.layer, site.hook_out) == ("resid_post", 17, None)
    assert bool(ours.conventions.notes) is not configured
    assert ours.conventions.family == "gemma_scope_2"


def test_gemma_scope_2_transcoder_with_affine_skip(
    load, agree, inputs, arrays, random, gemma_scope_2
):
    tensors = {**arrays(D_OUT), "affine_skip_connection": random(D_IN, D_OUT)}
    config = {
        "architecture": "jump_relu",
        "hf_hook_point_in": "model.layers.2.pre_feedforward_layernorm.output",
        "hf_hook_point_out": "model.layers.2.post_feedforward_layernorm.output",
    }
    ours = load(gemma_scope_2(tensors, config, "transcoder_all/layer_2_width_16k_l0_big_affine"))
    codes, output = _theirs(tensors, inputs)
    agree(ours, inputs, codes, output + inputs @ tensors["affine_skip_connection"])
    assert ours.conventions.site is not None
    assert ours.conventions.site.kind == "mlp_in"


def test_cross_layer_transcoders_are_refused(load, arrays, random, gemma_scope_2):
    tensors = {**arrays(), "W_dec": random(D_SAE, 18, D_IN)}
    with pytest.raises(CheckpointError, match=r"\(40, 18, 12\): a cross-layer transcoder"):
        load(gemma_scope_2(tensors))


def test_another_architecture_is_refused(load, arrays, gemma_scope_2):
    with pytest.raises(CheckpointError, match="'jump_relu'"):
        load(gemma_scope_2(arrays(), {"architecture": "topk"}))


def test_an_embedding_sae_is_in_the_scale_of_the_stream(load, agree, inputs, arrays, tmp_path):
    """Gemma multiplies embeddings by sqrt(d_model); these SAEs were trained before that."""
    tensors = arrays()
    folder = tmp_path / "gemma-scope-2b-pt-res" / "embedding" / "width_4k" / "average_l0_6"
    ours = load(_save(folder, tensors))
    root = D_IN**0.5
    codes, output = _theirs(tensors, inputs / root)
    agree(ours, inputs, codes, output * root)
    assert ours.conventions.site is not None
    assert ours.conventions.site.hook == "hook_embed"
    torch.testing.assert_close(ours.threshold, tensors["threshold"])


def test_a_folder_above_that_is_called_embedding_is_no_embedding(load, arrays, tmp_path):
    folder = tmp_path / "embedding" / "gemma-scope-2b-pt-res" / "layer_3" / "width_16k"
    ours = load(_save(folder, arrays()))
    assert ours.conventions.site is not None
    assert ours.conventions.site.hook == "blocks.3.hook_resid_post"

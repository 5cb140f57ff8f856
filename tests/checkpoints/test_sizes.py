"""How large SAEs are, before their weights are read: the same as once they are."""

import pytest
import torch
from safetensors.torch import save_file

import saematch
from saematch.checkpoints.sizes import sizes, suite
from saematch.checkpoints.widths import features_in, width_of
from saematch.errors import CheckpointError
from support.registry import hand_made_registry


@pytest.fixture
def registry(tmp_path, monkeypatch):
    hand_made_registry(tmp_path, monkeypatch)


@pytest.mark.parametrize("name", saematch.shipped.names())
def test_headers_say_what_the_weights_are(name):
    sae, told = saematch.load(f"saematch:{name}"), sizes(f"saematch:{name}")
    assert told is not None
    assert (told.d_in, told.d_out, told.d_sae) == (sae.d_in, sae.d_out, sae.d_sae)
    assert told.inferred == ()
    site = sae.conventions.site
    assert site is not None
    assert told.layer == site.layer


def test_a_narrow_transcoder_by_its_biases(tmp_path):
    # fewer features than dimensions, and more dimensions written than read
    save_file(
        {
            "w_enc": torch.zeros(24, 16),
            "w_dec": torch.zeros(16, 40),
            "b_enc": torch.zeros(16),
            "b_dec": torch.zeros(40),
            "threshold": torch.zeros(16),
        },
        tmp_path / "params.safetensors",
    )
    told = sizes(str(tmp_path))
    assert told is not None
    assert (told.d_in, told.d_out, told.d_sae) == (24, 40, 16)
    assert told.bytes == 4 * (24 * 16 + 16 * 40 + 16 + 40 + 16)


def test_a_release_from_its_words_alone(registry):
    every = list(suite("gemma-scope-2-27b-pt-res-all"))
    assert len(every) == 4 * 62
    assert {(sae.d_in, sae.d_sae) for sae in every} == {(5376, 16384), (5376, 262144)}
    assert {sae.layer for sae in every} == set(range(62))
    wide = [sae.bytes for sae in every if sae.d_sae == 262144 and sae.name.endswith("small")]
    assert sum(wide) == pytest.approx(699e9, rel=0.01)
    assert any("from the name" in word for word in every[0].inferred)


@pytest.mark.parametrize(
    "name",
    [
        "gemma-scope-2-27b-pt-res-all:layer_7_width_262k_l0_big",
        "google/gemma-scope-2-27b-pt/resid_post_all/layer_7_width_262k_l0_big",
    ],
)
def test_one_sae_by_either_name(registry, name):
    told = sizes(name)
    assert told is not None
    assert (told.layer, told.d_in, told.d_sae) == (7, 5376, 262144)


def test_what_nothing_tells_is_not_guessed(registry):
    assert sizes("nobody/saes/layer_0/width_16k") is None
    told = sizes("nobody/saes/layer_0/width_16k", d_in=100)
    assert told is not None
    assert (told.d_in, told.d_sae) == (100, 16384)
    with pytest.raises(CheckpointError, match=r"nobody/knows-9b.*--d-in"):
        list(suite("unknown-model"))
    with pytest.raises(CheckpointError, match="nearest: gemma-scope-2-27b-pt-res-all"):
        list(suite("gemma-scope-2-27b-pt-res-al"))


@pytest.mark.parametrize(
    ("words", "features"),
    [
        ("layer_0_width_16k_l0_big", 16384),
        ("layer_3/width_65k/average_l0_82", 65536),
        ("width_131k", 131072),
        ("width_262k", 262144),
        ("width_524k", 524288),
        ("width_1m", 1048576),
        ("qwen-scope-3.5-27b-w80k-l50", 81920),
        ("topk_width-2pow14_date-1109", 16384),
        ("llama3_1-8b-base-lxr-8x", 8 * 4096),
        ("v5_128k_layer_0", 131072),
        ("gemma-3-270m", None),
        ("pythia-70m-deduped-res-sm", None),
    ],
)
def test_features_that_names_promise(words, features):
    assert features_in(words, 4096) == features


def test_the_longest_name_of_a_model_counts():
    assert width_of("google/gemma-3-27b-it") == 5376
    assert width_of("gemma-2-2b-it") == 2304
    assert width_of("gemma-2b-it") == 2048
    assert width_of("google/gemma-3-270m") == 640
    assert width_of("google/gemma-3-27b-pt", heads=True) == 4096
    assert width_of("gemma-3-2700b") is None

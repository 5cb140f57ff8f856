"""Names, patterns, sites and the registry of families."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

import saematch
from saematch.checkpoints.names import HubName, parse_address, parse_hub
from saematch.checkpoints.sites import guess_site, layer_in, natural_key, parse_hook
from saematch.errors import CheckpointError


def test_braces_count_list_and_multiply():
    assert saematch.expand("a/layer_{8-11}/x") == [f"a/layer_{n}/x" for n in (8, 9, 10, 11)]
    assert saematch.expand("r:{a,b}_{0-1}") == ["r:a_0", "r:a_1", "r:b_0", "r:b_1"]
    assert saematch.expand("o/r/layers.{0-2,7}") == [f"o/r/layers.{n}" for n in (0, 1, 2, 7)]
    assert saematch.expand("o/r/{08-10}") == ["o/r/08", "o/r/09", "o/r/10"]
    assert saematch.expand("org/repo/layers.5") == ["org/repo/layers.5"]


@given(st.integers(0, 40), st.integers(0, 4), st.integers(1, 3))
def test_ranges_multiply(first, extra, copies):
    span = "{" + f"{first}-{first + extra}" + "}"
    names = saematch.expand("/".join(["x", *[span] * copies]))
    assert len(set(names)) == len(names) == (extra + 1) ** copies


@pytest.mark.parametrize("pattern", ["a{0-3", "a}b", "{a,,b}", "x{}", "{5-3}"])
def test_braces_that_say_nothing_are_refused(pattern):
    with pytest.raises(CheckpointError, match=r"braces|between|backwards"):
        saematch.expand(pattern)


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("org/repo", HubName("org/repo")),
        ("org/repo/a/b.npz", HubName("org/repo", None, "a/b.npz")),
        ("org/repo@v1.0/a", HubName("org/repo", "v1.0", "a")),
        ("org/repo@0a1b", HubName("org/repo", "0a1b", "")),
        ("word", None),
        ("../org/repo", None),
    ],
)
def test_hub_names(name, parts):
    assert parse_hub(name) == parts


@pytest.mark.parametrize(
    ("address", "parts"),
    [
        ("https://huggingface.co/o/r", HubName("o/r")),
        ("https://huggingface.co/o/r/", HubName("o/r")),
        ("https://huggingface.co/o/r/tree/main/a/b", HubName("o/r", None, "a/b")),
        ("http://www.huggingface.co/o/r/blob/v1.0/a/b.npz", HubName("o/r", "v1.0", "a/b.npz")),
        (
            "https://hf.co/o/r/resolve/main/a%20b/c.pt?download=true",
            HubName("o/r", None, "a b/c.pt"),
        ),
        ("huggingface.co/o/r/tree/main/x%3Av1#top", HubName("o/r", None, "x:v1")),
        ("https://huggingface.co/o/r/a/b", HubName("o/r", None, "a/b")),
        ("https://hf.co/o/r/tree/refs%2Fpr%2F1/a", HubName("o/r", "refs/pr/1", "a")),
        ("hf://o/r@0a1b/a/b", HubName("o/r", "0a1b", "a/b")),
        ("hf://models/o/r/a", HubName("o/r", None, "a")),
        ("o/r/a", None),
        ("release:id", None),
        ("C:\\o\\r", None),
    ],
)
def test_addresses(address, parts):
    assert parse_address(address) == parts
    # what a run keeps of it loads it again
    assert parts is None or parse_hub(str(parts)) == parts


@pytest.mark.parametrize(
    "pattern", ["x{0-9999999999}", "{0-999}/{0-999}", "{1-" + "9" * 5000 + "}"]
)
def test_patterns_of_too_many_names_are_refused(pattern):
    with pytest.raises(CheckpointError, match=r"more than 100,000 names|too long"):
        saematch.expand(pattern)


def test_braces_in_names_that_exist_are_their_own(tmp_path):
    folder = tmp_path / "sweep{lr,l1}"
    for name in ("layer_0", "layer_1"):
        (folder / name).mkdir(parents=True)
    assert saematch.expand(folder / "layer_{0-1}") == [
        f"{folder}/layer_0",
        f"{folder}/layer_1",
    ]
    assert saematch.expand(folder / "layer_0") == [f"{folder}/layer_0"]
    odd = tmp_path / "a}b{"
    odd.mkdir()
    assert saematch.expand(odd) == [str(odd)]
    assert saematch.expand(tmp_path / "x{0-1}") == [f"{tmp_path}/x0", f"{tmp_path}/x1"]


@pytest.mark.parametrize(
    ("hook", "kind", "layer"),
    [
        ("blocks.12.hook_resid_post", "resid_post", 12),
        ("blocks.0.hook_resid_pre", "resid_pre", 0),
        ("blocks.3.hook_resid_mid", "resid_mid", 3),
        ("blocks.3.hook_mlp_out", "mlp_out", 3),
        ("blocks.3.hook_attn_out", "attn_out", 3),
        ("blocks.3.attn.hook_z", "attn_z", 3),
        ("blocks.3.ln2.hook_normalized", "mlp_in", 3),
        ("blocks.3.mlp.hook_post", "other", 3),
        ("layers.10", "resid_post", 10),
        ("model.layers.10", "resid_post", 10),
        ("transformer.h.4.mlp", "mlp_out", 4),
        ("gpt_neox.layers.4.attention", "attn_out", 4),
        ("h.0", "resid_post", 0),
        ("model.layers.7.output", "resid_post", 7),
        ("model.layers.7.self_attn.o_proj.input", "attn_z", 7),
        ("model.layers.7.post_feedforward_layernorm.output", "mlp_out", 7),
        ("model.layers.7.pre_feedforward_layernorm.output", "mlp_in", 7),
        ("embed_tokens", "other", None),
    ],
)
def test_hooks(hook, kind, layer):
    site = parse_hook(hook)
    assert (site.kind, site.layer, site.hook) == (kind, layer, hook)


@pytest.mark.parametrize(
    ("path", "kind", "layer"),
    [
        ("google/gemma-scope-2b-pt-res/layer_12/width_16k/average_l0_82", "resid_post", 12),
        ("google/gemma-scope-2-1b/mlp_out_all/layer_3_width_16k_l0_small", "mlp_out", 3),
        ("fnlp/Llama3_1-8B-Base-LXA-8x/Llama3_1-8B-Base-L7A-8x", "attn_out", 7),
        ("gpt2-small/attn_delta_v5_32k/autoencoders/3.pt", "attn_out", 3),
        ("Qwen/SAE-Res-Qwen3-1.7B-Base-W32K-L0_50/layer4.sae.pt", "other", 4),
        ("goodfire/Llama-3.3-70B-Instruct-SAE-l50.pt", "other", 50),
        ("somewhere/blocks.2.hook_mlp_out/ae.pt", "mlp_out", 2),
    ],
)
def test_guesses_from_paths(path, kind, layer):
    site = guess_site(path)
    assert site is not None
    assert (site.kind, site.layer) == (kind, layer)


def test_paths_that_hint_at_nothing():
    assert guess_site("mine/average_l0_82/params.npz") is None


def test_natural_order_is_by_layer():
    names = ["layers.10", "layers.9", "layers.10.mlp", "layers.2"]
    assert sorted(names, key=natural_key) == ["layers.2", "layers.9", "layers.10", "layers.10.mlp"]


@pytest.mark.parametrize(
    ("path", "layer"),
    [
        ("resid_post_layer_8/l1-5e-3", 8),
        ("resid_post_layer_8/l1=0.01", 8),
        ("resid_post_layer_8/lr1e-3_l13.0", 8),
        ("resid_post_layer_8/l0-82", 8),
        ("resid_post_layer_8/l1_0.01/ae.pt", 8),
        ("resid_post_layer_8/l1", 8),
        ("layer_4/l1_alpha0.05/trainer_1", 4),
        ("layer_4/l1_coeff_3/2.pt", 4),
        ("layer_10_l1_3", 10),
        ("h.4/lambda_l1_5", 4),
        ("l5/l1_coef_2", 5),
        ("L7/avg_l0_50", 7),
        ("n_layers_12/l3", 3),
        ("gpt2_L0_Hcat_z_lr1.2e-03_l11.8e+00_v9.pt", 0),
        ("gpt2_L11_Hcat_z_lr1.2e-03_l13.0e+00_v9.pt", 11),
        ("Llama3_1-8B-Base-L5R-8x", 5),
        ("12-res-jb", 12),
        ("run/l5", 5),
        ("run/l1", 1),
        ("L8/l1", 8),
        ("resid_post_8/l1", 8),
        ("resid_post_16384/l2", 2),
        ("Llama3_1-8B-Base-L5TC-8x", 5),
        ("gemma_2b_blocks.6.hook_resid_post_16384_anthropic", 6),
        ("sae-layer03", 3),
        ("autoencoders/6.pt", 6),
        ("l1_0.01", None),
        ("average_l0_82", None),
        ("L0_50/l0=12", None),
        ("width_16k/trainer_3", None),
    ],
)
def test_a_coefficient_is_no_layer(path, layer):
    assert layer_in(path) == layer


@pytest.mark.parametrize(
    ("location", "hook"),
    [
        ("resid_post_attn", "blocks.6.hook_resid_mid"),
        ("resid_post_mlp", "blocks.6.hook_resid_post"),
        ("resid_delta_attn", "blocks.6.hook_attn_out"),
        ("resid_delta_mlp", "blocks.6.hook_mlp_out"),
        ("mlp_post_act", "blocks.6.mlp.hook_post"),
    ],
)
@pytest.mark.parametrize("version", ["", "_v4", "_v5_32k", "_v5_128k"])
def test_the_words_of_openai(location, hook, version):
    site = guess_site(f"sparse-autoencoder/gpt2-small/{location}{version}/autoencoders/6.pt")
    assert site is not None
    assert site.hook == hook
    assert site == parse_hook(hook)


def test_a_transcoder_in_a_path_reads_behind_the_norm_and_writes_what_the_mlp_adds():
    site = guess_site("me/qwen-transcoders/layer_3.safetensors")
    assert site is not None
    assert (site.hook, site.hook_out) == ("blocks.3.mlp.hook_in", "blocks.3.hook_mlp_out")

"""Every family's sites, against the library's hidden states and against TransformerLens."""

import copy
import warnings

import pytest
import torch

from saematch import SaematchError, Site
from saematch.models.families import FAMILIES
from saematch.models.hook_points import family_of, trunk_of
from saematch.sae import shipped
from support.small_models import CAUSAL, ENCODERS, LAYERS, WIDTH, small, some_ids

ALL = [*CAUSAL, *ENCODERS]


def hooks(name: str) -> list[str]:
    """Every hook of a model that TransformerLens knows by the same name."""
    taps = family_of(small(name).model).taps
    own = [hook for hook in taps if hook != "hook_z"]  # the old name of attn.hook_z
    if name == "pythia":
        own.remove("hook_resid_mid")
    return [f"blocks.{layer}.{hook}" for layer in range(LAYERS) for hook in own]


@pytest.fixture(scope="module")
def bridge():
    """Wraps a copy of a model, as TransformerLens itself reads it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from transformer_lens.model_bridge import TransformerBridge
        from transformers import AutoTokenizer

        tokenizer = AutoTokenizer.from_pretrained(shipped.folder() / "model")

    def wrap(name):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            wrapped = TransformerBridge.boot_transformers(
                name, hf_model=copy.deepcopy(small(name).model), tokenizer=tokenizer, device="cpu"
            )
            wrapped.set_use_hook_mlp_in(True)
        return wrapped

    return wrap


@pytest.mark.parametrize("name", CAUSAL)
def test_every_hook_is_what_transformer_lens_means_by_it(name, bridge):
    wanted = [*hooks(name), "hook_embed"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        _, cache = bridge(name).run_with_cache(some_ids())
    for hook, value in small(name).run(some_ids(), wanted).items():
        # heads stand side by side in an SAE's input
        torch.testing.assert_close(value, cache[hook].reshape_as(value), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", ALL)
def test_the_stream_is_the_librarys_hidden_states_and_before_the_final_norm(name):
    lm = small(name)
    with torch.no_grad():
        states = trunk_of(lm.model)(some_ids(), output_hidden_states=True).hidden_states
    layers = range(LAYERS)
    values = lm.run(
        some_ids(),
        [f"blocks.{i}.hook_resid_{side}" for i in layers for side in ("pre", "post")],
    )
    for i in layers:
        assert torch.equal(values[f"blocks.{i}.hook_resid_pre"], states[i])
    for i in layers[:-1]:
        assert torch.equal(values[f"blocks.{i}.hook_resid_post"], states[i + 1])
    last = values[f"blocks.{LAYERS - 1}.hook_resid_post"]
    norms = ("ln_f", "norm", "final_layer_norm")
    final = next((n for p, n in trunk_of(lm.model).named_children() if p in norms), None)
    if final is None:  # BERT's blocks norm what they give
        assert torch.equal(last, states[-1])
    else:
        assert not torch.allclose(last, states[-1], atol=0.1)
        with torch.no_grad():
            torch.testing.assert_close(final(last), states[-1])


@pytest.mark.parametrize("name", CAUSAL)
def test_a_block_adds_what_its_branches_write(name):
    """So attn_out and mlp_out stand behind the norms that some models have there."""
    names = [f"blocks.1.hook_{kind}" for kind in ("resid_pre", "attn_out", "mlp_out", "resid_post")]
    values = small(name).run(some_ids(), names)
    pre, attn, mlp, post = (values[name] for name in names)
    torch.testing.assert_close(pre + attn + mlp, post)
    if name != "pythia":
        mid = small(name).run(some_ids(), ["blocks.1.hook_resid_mid"])["blocks.1.hook_resid_mid"]
        torch.testing.assert_close(pre + attn, mid)


@pytest.mark.parametrize(
    ("name", "hook", "path"),
    [
        ("gpt2", "blocks.1.hook_mlp_out", "h.1.mlp"),
        ("gpt2", "blocks.1.hook_mlp_out", "transformer.h.1.mlp.output"),
        ("gpt2", "blocks.1.hook_resid_pre", "h.1.input"),
        ("gpt2", "blocks.1.attn.hook_z", "h.1.attn.c_proj.input"),
        ("gpt2", "hook_embed", "wte"),
        ("pythia", "blocks.2.hook_attn_out", "gpt_neox.layers.2.attention"),
        ("llama", "blocks.2.hook_resid_post", "layers.2"),
        ("llama", "blocks.0.mlp.hook_in", "model.layers.0.post_attention_layernorm.output"),
        ("gemma2", "blocks.2.mlp.hook_out", "layers.2.mlp"),
        ("gemma2", "blocks.2.hook_mlp_out", "layers.2.post_feedforward_layernorm"),
        ("gemma3", "blocks.1.hook_resid_post", "model.language_model.layers.1.output"),
        ("gemma3", "blocks.1.hook_attn_out", "model.layers.1.post_attention_layernorm.output"),
        ("bert", "blocks.1.hook_resid_post", "encoder.layer.1"),
        ("bert", "blocks.1.hook_resid_post", "bert.encoder.layer.1.output"),
        ("bert", "blocks.1.hook_mlp_out", "encoder.layer.1.output.dense"),
    ],
)
def test_modules_are_named_by_their_paths(name, hook, path):
    values = small(name).run(some_ids(), [hook, path])
    assert torch.equal(values[hook], values[path])


def test_widths_are_those_of_the_site_and_not_of_the_model():
    assert small("llama").width("blocks.0.hook_resid_post") == WIDTH
    assert small("llama").width("blocks.0.attn.hook_z") == 4 * 12
    assert small("llama").width("layers.0.mlp.down_proj.input") == 48


@pytest.mark.parametrize(
    ("name", "hook", "words"),
    [
        ("gpt2", "blocks.3.hook_resid_post", ["layers 0 to 2"]),
        ("gpt2", "h.3.mlp", ["layers 0 to 2"]),
        ("gpt2", "blocks.1.hook_middle", ["hook_resid_mid", "h.LAYER.attn.c_proj", "hook_embed"]),
        ("llama", "layers.1.mlq", ["'llama'", "layers.LAYER.mlp", ".input"]),
        ("pythia", "blocks.1.hook_resid_mid", ["side by side", "hook_attn_out"]),
        (
            "bert",
            "blocks.1.hook_attn_out",
            ["'bert'", "encoder.layer.LAYER.attention.output.dense"],
        ),
        ("gpt2", "lm_head", ["no text passes"]),
        ("gpt2", "blocks.1.attn.hook_q", ["attn.hook_z"]),
    ],
)
def test_a_site_that_is_not_there_is_named_with_those_that_are(name, hook, words):
    with pytest.raises(SaematchError) as refused:
        small(name).run(some_ids(), [hook])
    for word in (hook, *words):
        assert word in str(refused.value)


def test_a_model_of_another_make_has_its_stream_and_its_modules():
    from transformers import AutoModelForCausalLM, OPTConfig

    from saematch.models.language_model import LanguageModel
    from saematch.models.opening import prepared

    config = OPTConfig(
        vocab_size=97,
        hidden_size=32,
        ffn_dim=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=64,
        word_embed_proj_dim=32,
    )
    assert config.model_type not in FAMILIES
    lm = LanguageModel(prepared(AutoModelForCausalLM.from_config(config)), None, "opt")  # pyright: ignore[reportArgumentType]
    with torch.no_grad():
        states = lm.model(some_ids(), output_hidden_states=True).hidden_states
    values = lm.run(some_ids(), ["blocks.0.hook_resid_post", "decoder.layers.1.fc2"])
    assert torch.equal(values["blocks.0.hook_resid_post"], states[1])
    with pytest.raises(SaematchError, match="hook_attn_out: no such site in a model of type 'opt'"):
        lm.site(Site("blocks.0.hook_attn_out", "attn_out", 0))


def test_the_text_part_of_a_model_that_sees_is_found():
    from transformers import AutoModelForCausalLM, Gemma3Config

    from saematch.models.language_model import LanguageModel
    from saematch.models.opening import prepared

    text = small("gemma3").model.config.to_dict()
    sight = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 3}
    config = Gemma3Config(
        text_config=text,
        vision_config={**sight, "num_attention_heads": 2, "image_size": 28, "patch_size": 14},
    )
    model = AutoModelForCausalLM.from_config(config)
    trunk_of(model).load_state_dict(trunk_of(small("gemma3").model).state_dict())
    lm = LanguageModel(prepared(model), None, "gemma3")  # pyright: ignore[reportArgumentType]
    wanted = ["blocks.1.hook_mlp_out", "layers.1.mlp", "model.layers.2.output"]
    values = lm.run(some_ids(), wanted)
    for hook, value in small("gemma3").run(some_ids(), wanted).items():
        assert torch.equal(values[hook], value)
    assert lm.causal

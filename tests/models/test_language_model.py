"""Reading and replacing at sites, losses, and what opens as a language model."""

import sys

import pytest
import torch
from torch.nn import functional

from saematch import SAE, SaematchError, Site
from saematch.models.hook_points import trunk_of
from saematch.models.language_model import LanguageModel
from saematch.models.opening import open_model
from saematch.sae import shipped
from support.small_models import CAUSAL, LAYERS, WORDS, small, some_ids

ALL = [*CAUSAL, "bert"]
LAST = f"blocks.{LAYERS - 1}.hook_resid_post"


def after(lm, ids, replace, hook):
    """The value at `hook` with others replaced before it."""
    seen = []
    lm.losses(ids, replace={**replace, hook: lambda value, _: (seen.append(value), value)[1]})
    return seen[0]


@pytest.mark.parametrize("name", ALL)
def test_padding_on_the_right_changes_no_token(name):
    lm = small(name)
    long, short = some_ids(2, 13)
    mask = torch.arange(13) < torch.tensor([[13], [9]])
    ids = torch.stack([long, short]).where(mask, 0)
    hooks = ["blocks.1.hook_mlp_out", LAST]
    together = lm.run(ids, hooks, mask)
    for hook, alone in lm.run(short[None, :9], hooks).items():
        torch.testing.assert_close(together[hook][1, :9], alone[0], atol=1e-5, rtol=1e-5)
    if name in CAUSAL:
        losses = lm.losses(ids, mask)
        alone = lm.losses(short[None, :9])[0]
        torch.testing.assert_close(losses[1, :8], alone, atol=1e-5, rtol=1e-5)
        assert losses[1, 8:].isnan().all()
        assert losses[0].isfinite().all()


@pytest.mark.parametrize("name", CAUSAL)
def test_losses_are_minus_the_log_probability_of_the_next_token(name):
    ids = some_ids()
    with torch.no_grad():
        log_p = small(name).model(ids).logits.log_softmax(-1)
    expected = -log_p[:, :-1].gather(-1, ids[:, 1:, None])[..., 0]
    torch.testing.assert_close(small(name).losses(ids), expected)


@pytest.mark.parametrize("name", CAUSAL)
@pytest.mark.parametrize(
    ("cause", "effect"),
    [
        ("blocks.0.hook_resid_pre", LAST),
        ("hook_embed", "blocks.0.hook_attn_out"),
        ("blocks.1.hook_resid_mid", "blocks.1.hook_resid_post"),
        ("blocks.1.hook_mlp_in", "blocks.1.hook_mlp_out"),
        ("blocks.1.ln2.hook_normalized", "blocks.1.hook_mlp_out"),
        ("blocks.1.mlp.hook_in", "blocks.1.hook_mlp_out"),
        ("blocks.1.mlp.hook_out", "blocks.1.hook_mlp_out"),
        ("blocks.1.attn.hook_z", "blocks.1.hook_attn_out"),
        ("blocks.1.attn.hook_out", "blocks.1.hook_attn_out"),
    ],
)
def test_the_value_of_another_text_leads_to_what_follows_in_that_text(name, cause, effect):
    if name == "pythia" and cause.endswith("mid"):
        # parallel residuals meet only at the end of a block
        with pytest.raises(SaematchError, match="resid_mid"):
            small(name).site(cause)
        return
    if name == "gpt2" and cause == "hook_embed":
        effect = "blocks.0.hook_resid_pre"  # the positions are the same for both texts
    lm, ids, other = small(name), some_ids(seed=1), some_ids(seed=2)
    values = lm.run(other, [cause, effect])
    found = after(lm, ids, {cause: lambda *_: values[cause]}, effect)
    torch.testing.assert_close(found, values[effect], atol=1e-4, rtol=1e-4)
    assert not torch.allclose(lm.run(ids, [effect])[effect], values[effect], atol=0.05)


@pytest.mark.parametrize("name", CAUSAL)
def test_losses_follow_the_replaced_stream(name):
    """With the stream of another text after the last layer, that text's predictions are left."""
    lm, ids, other = small(name), some_ids(seed=1), some_ids(seed=2)
    there = lm.run(other, [LAST])[LAST]
    found = lm.losses(ids, replace={LAST: lambda *_: there})
    with torch.no_grad():
        logits = lm.model(other).logits
    expected = functional.cross_entropy(
        logits[:, :-1].flatten(0, 1), ids[:, 1:].flatten(), reduction="none"
    )
    torch.testing.assert_close(found.flatten(), expected, atol=1e-4, rtol=1e-4)


def test_functions_are_given_what_came_before_as_it_was_before_its_own_replacement():
    lm, ids = small("gpt2"), some_ids()
    first, second = "blocks.0.hook_resid_post", "blocks.1.hook_resid_mid"
    earlier, later = "blocks.0.hook_mlp_out", "blocks.2.hook_resid_pre"
    given = {}

    def double(value, before):
        given[first] = (value, dict(before))
        return 2 * value

    def same(value, before):
        given[second] = (value, dict(before))
        return value

    lm.losses(ids, replace={second: same, first: double}, read=[later, earlier])
    alone = lm.run(ids, [earlier, first, second])
    assert set(given[first][1]) == {earlier}
    assert set(given[second][1]) == {earlier, first}
    assert torch.equal(given[first][0], alone[first])
    assert torch.equal(given[second][1][first], alone[first])
    assert not torch.allclose(given[second][0], alone[second], atol=0.05)


def test_a_site_that_is_read_and_replaced_is_read_as_it_was():
    lm, ids = small("llama"), some_ids()
    twice = {LAST: lambda value, _: value * 0, "blocks.0.hook_resid_mid": lambda value, _: value}
    seen = after(lm, ids, {"blocks.0.hook_resid_mid": twice["blocks.0.hook_resid_mid"]}, LAST)
    assert torch.equal(seen, lm.run(ids, [LAST])[LAST])
    # after the last layer nothing but zeros: every token is predicted alike
    flat = lm.losses(ids, replace=twice, read=[LAST])
    torch.testing.assert_close(flat, torch.full_like(flat, torch.tensor(WORDS).log().item()))


@pytest.mark.parametrize("name", ["gpt2", "llama"])
def test_reading_computes_neither_logits_nor_later_layers(name):
    lm, called = small(name), []
    layers = next(m for m in trunk_of(lm.model).children() if isinstance(m, torch.nn.ModuleList))
    watched = [*layers, lm.model.get_output_embeddings()]
    handles = [
        m.register_forward_pre_hook(lambda *_, i=i: called.append(i)) for i, m in enumerate(watched)
    ]
    lm.run(some_ids(), ["blocks.1.hook_mlp_out", "blocks.0.hook_resid_pre"])
    assert called == [0, 1]
    lm.losses(some_ids())
    assert called == [0, 1, 0, 1, 2, LAYERS]
    for handle in handles:
        handle.remove()


def test_values_of_a_model_in_bfloat16_are_read_in_float32_and_written_back():
    lm, ids = small("gemma2", torch.bfloat16), some_ids()
    with torch.no_grad():
        states = trunk_of(lm.model)(ids, output_hidden_states=True).hidden_states
    value = lm.run(ids, ["blocks.0.hook_resid_post"])["blocks.0.hook_resid_post"]
    assert value.dtype == torch.float32
    assert torch.equal(value, states[1].float())
    same = {"blocks.0.hook_resid_post": lambda v, _: v, "blocks.1.hook_resid_mid": lambda v, _: v}
    assert torch.equal(lm.losses(ids, replace=same), lm.losses(ids))
    assert lm.losses(ids).dtype == torch.float32


def test_nothing_stays_behind_when_a_replacement_fails():
    lm, ids = small("llama"), some_ids()

    def hooks() -> int:
        return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in lm.model.modules())

    # the library may have left some of its own
    before, hooks_before = lm.losses(ids), hooks()
    with pytest.raises(SaematchError, match=r"hook_resid_post: a value of shape \(2, 13, 32\)"):
        lm.losses(ids, replace={LAST: lambda value, _: value[:, 1:]}, read=["layers.0.mlp"])
    assert torch.equal(lm.losses(ids), before)
    assert hooks() == hooks_before


def test_what_an_encoder_and_a_short_model_cannot_do_is_said():
    with pytest.raises(SaematchError, match="bert is no causal language model"):
        small("bert").losses(some_ids())
    with pytest.raises(SaematchError, match="65 tokens, but gpt2 has 64 positions"):
        small("gpt2").run(some_ids(1, 65), [LAST])


def an_sae(d_in: int, hook: str | None) -> SAE:
    from support.saes import make_sae

    sae = make_sae(d_in, 16)
    site = None if hook is None else Site(hook)
    object.__setattr__(sae.conventions, "site", site)
    return sae


@pytest.mark.parametrize(
    ("d_in", "hook", "words"),
    [
        (33, "blocks.1.hook_resid_post", "mine reads 33 dimensions, but blocks.1.hook_resid_post"),
        (32, "blocks.1.attn.hook_z", "of llama has 48"),
        (32, None, "where it reads is not known"),
        (32, "layer_3", "layer_3: no such site"),
    ],
)
def test_an_sae_that_does_not_fit_the_model_is_refused(d_in, hook, words):
    with pytest.raises(SaematchError, match=words):
        small("llama").hooks_of({"mine": an_sae(d_in, hook)})


def test_saes_that_fit_are_told_their_hooks():
    saes = {"a": an_sae(48, "blocks.1.attn.hook_z"), "b": an_sae(32, "layers.2.mlp")}
    assert small("llama").hooks_of(saes) == {"a": "blocks.1.attn.hook_z", "b": "layers.2.mlp"}


def saved(folder, name):
    """A small model in a folder with the shipped tokenizer."""
    from transformers import AutoTokenizer

    small(name).model.save_pretrained(folder)
    AutoTokenizer.from_pretrained(shipped.folder() / "model").save_pretrained(folder)
    return str(folder)


def test_a_folder_opens_in_the_dtype_asked_for_and_in_its_own(tmp_path):
    path = saved(tmp_path, "qwen3")
    lm = open_model(path)
    assert torch.equal(lm.losses(some_ids()), small("qwen3").losses(some_ids()))
    assert lm.name == path
    assert (lm.device.type, lm.max_tokens) == ("cpu", 64)
    assert {p.dtype for p in open_model(path, dtype=torch.bfloat16).model.parameters()} == {
        torch.bfloat16
    }


@pytest.mark.parametrize("name", ["bert", "gpt2"])
def test_a_model_without_a_head_opens_for_its_activations(tmp_path, name):
    lm = small(name)
    bare = LanguageModel(trunk_of(lm.model), lm.tokenizer, name)  # pyright: ignore[reportArgumentType]
    from transformers import AutoTokenizer

    bare.model.save_pretrained(tmp_path)
    AutoTokenizer.from_pretrained(shipped.folder() / "model").save_pretrained(tmp_path)
    opened = open_model(str(tmp_path))
    assert torch.equal(opened.run(some_ids(), [LAST])[LAST], lm.run(some_ids(), [LAST])[LAST])
    assert not opened.causal


def test_the_shipped_model_opens_by_its_name():
    lm = open_model("saematch:model")
    assert lm.causal
    assert lm.max_tokens == 256
    assert len(lm.tokenizer) == 4096
    assert next(lm.model.parameters()).dtype == torch.float32


def test_what_is_no_language_model_is_refused(tmp_path, monkeypatch):
    with pytest.raises(SaematchError, match="saematch ships no model 'saematch:modle'"):
        open_model("saematch:modle")
    with pytest.raises(SaematchError, match="cannot be opened as a language model"):
        open_model(str(tmp_path))
    from transformers import T5Config

    T5Config(d_model=16, d_ff=16, num_layers=1, num_heads=2).save_pretrained(tmp_path)
    with pytest.raises(SaematchError, match="an encoder with a decoder"):
        open_model(str(tmp_path))
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(SaematchError, match="pip install datasets transformers"):
        open_model("saematch:model")


@pytest.mark.parametrize("name", CAUSAL)
@pytest.mark.parametrize("site", ["blocks.0.hook_resid_post", "blocks.1.hook_mlp_out", LAST])
def test_divergence_and_its_slope_are_those_of_the_predictions(name, site):
    lm, ids = small(name), some_ids(2, 9)
    mask = torch.arange(9) < torch.tensor([[9], [6]])
    where = mask.clone()
    where[:, 0] = False
    there = lm.run(ids, [site], mask)[site]
    g = torch.Generator().manual_seed(0)
    value = there[where] + 0.3 * torch.randn(there[where].shape, generator=g)
    far, slope = lm.divergence(ids, mask, site, value, where)

    def predictions(value):
        whole = there.clone()
        whole[where] = value
        found = []
        head = lm.model.get_output_embeddings()
        assert head is not None
        handle = head.register_forward_hook(lambda _, inputs, logits: found.append(logits))
        with handle:
            lm.losses(ids, mask, replace={site: lambda *_: whole})
        scores = found[0]
        if cap := getattr(lm.model.config, "final_logit_softcapping", None):
            scores = cap * torch.tanh(scores / cap)
        return scores[where].double().log_softmax(-1)

    own = predictions(there[where])

    def by_hand(value):
        return (own.exp() * (own - predictions(value))).sum(-1)

    torch.testing.assert_close(far.double(), by_hand(value), atol=1e-5, rtol=1e-3)
    step = torch.randn(value.shape, generator=g)
    step /= step.norm()
    change = (by_hand(value + 0.05 * step).sum() - by_hand(value - 0.05 * step).sum()) / 0.1
    assert float((slope * step).sum()) == pytest.approx(float(change), rel=0.03, abs=2e-4)
    unchanged, still = lm.divergence(ids, mask, site, there[where], where)
    assert unchanged.abs().max() < 1e-5
    assert still.abs().max() < 1e-4


def test_a_divergence_leaves_the_model_as_it_was():
    lm, ids = small("gpt2"), some_ids()
    weights = list(lm.model.parameters())
    weights[0].requires_grad_(False)
    needed = [weight.requires_grad for weight in weights]
    before = lm.losses(ids)
    where = torch.ones_like(ids, dtype=torch.bool)
    value = lm.run(ids, [LAST])[LAST]
    try:
        lm.divergence(ids, None, LAST, 2 * value[where], where)
        with pytest.raises(SaematchError, match="has layers 0 to 2"):
            lm.divergence(ids, None, "blocks.99.hook_resid_post", value[where], where)
        with pytest.raises(RuntimeError):
            lm.divergence(ids, None, LAST, value[where][1:], where)
        assert [weight.requires_grad for weight in weights] == needed
        assert all(weight.grad is None for weight in weights)
        assert torch.equal(lm.losses(ids), before)
    finally:
        weights[0].requires_grad_(True)

"""Steering: what is added, removed and scaled, at which tokens, and that nothing stays behind."""

import signal
from dataclasses import replace

import pytest
import torch
from torch import nn
from transformers import GenerationConfig

from saematch import SaematchError
from saematch.models.hook_points import trunk_of
from saematch.steering import Change, Steering
from support.saes import make_sae
from support.small_models import CAUSAL, LAYERS, WORDS, small, some_ids

HOOK, LAST = "blocks.1.hook_resid_post", f"blocks.{LAYERS - 1}.hook_resid_post"
SAES = {
    "early": make_sae(layer=1, seed=1),
    "late": make_sae(layer=2, seed=2),
    "few": make_sae(layer=1, activation="topk", seed=3),
    "scaled": make_sae(layer=1, seed=4, normalisation="constant_norm"),
}
HOOKS = {"early": HOOK, "late": LAST, "few": HOOK, "scaled": HOOK}
LAYER = {"early": 1, "late": 2, "few": 1, "scaled": 1}


def change(site="early", feature=5, how="add", amount=3.0, unit="raw"):
    return Change(site, feature, HOOKS[site], LAYER[site], how, amount, unit)


def steering(lm, *changes, prompt=True):
    return Steering(lm, changes or (change(),), SAES, prompt=prompt)


def hidden(lm, ids, hook=HOOK, mask=None):
    return lm.run(ids, [hook], mask)[hook]


def written(lm, **given):
    """What a model generates greedily, and the logits on the way."""
    config = GenerationConfig(
        max_new_tokens=6,
        do_sample=False,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=WORDS - 1,
        output_logits=True,
        return_dict_in_generate=True,
        use_cache=given.pop("use_cache", True),
        **given.pop("config", {}),
    )
    found = lm.model.generate(generation_config=config, **given)
    return found.sequences, torch.stack(found.logits, 1)


def hooks_of(lm):
    kinds = ("_forward_hooks", "_forward_pre_hooks")
    return sum(len(getattr(module, kind)) for module in lm.model.modules() for kind in kinds)


@pytest.mark.parametrize("name", CAUSAL)
def test_what_is_added_is_the_activation_times_the_decoder_row(name):
    lm, ids = small(name), some_ids()
    plain = hidden(lm, ids)
    with steering(lm, change(amount=3.0), change(feature=7, amount=-1.5)):
        steered = hidden(lm, ids)
    by_hand = 3.0 * SAES["early"].W_dec[5] - 1.5 * SAES["early"].W_dec[7]
    torch.testing.assert_close(
        (steered - plain)[:, 1:], by_hand.expand_as(plain)[:, 1:], atol=1e-4, rtol=1e-4
    )
    # the first token of a text keeps its hidden state to the bit
    assert torch.equal(steered[:, 0], plain[:, 0])


def test_a_share_of_the_norm_is_that_of_each_token():
    lm, ids = small("llama"), some_ids()
    plain = hidden(lm, ids)
    with steering(lm, change(amount=0.5, unit="norm")):
        steered = hidden(lm, ids)
    row = SAES["early"].W_dec[5]
    by_hand = 0.5 * plain.norm(dim=-1, keepdim=True) * row / row.norm()
    torch.testing.assert_close((steered - plain)[:, 1:], by_hand[:, 1:], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("site", ["early", "few", "scaled"])
@pytest.mark.parametrize(("how", "factor"), [("remove", 0.0), ("scale", 0.0), ("scale", 2.5)])
def test_removed_and_scaled_is_the_activation_that_is_there(site, how, factor):
    lm, ids = small("llama"), some_ids()
    plain, sae = hidden(lm, ids), SAES[site]
    active = sae.encode(plain)
    feature = int((active[:, 1:] > 0).flatten(0, 1).sum(0).argmax())
    assert (active[:, 1:, feature] > 0).sum() > 0
    with steering(lm, change(site, feature, how, factor)):
        steered = hidden(lm, ids)
    scale = sae.scale(plain)
    by_hand = (factor - 1) * active[..., feature, None] * sae.W_dec[feature] * scale
    torch.testing.assert_close((steered - plain)[:, 1:], by_hand[:, 1:], atol=1e-4, rtol=1e-4)
    if site == "scaled":
        assert (scale - 1).abs().min() > 0.01


def test_an_added_feature_is_in_the_scale_of_the_input():
    lm, ids = small("llama"), some_ids()
    plain, sae = hidden(lm, ids), SAES["scaled"]
    with steering(lm, change("scaled")):
        steered = hidden(lm, ids)
    by_hand = 3.0 * sae.W_dec[5] * sae.scale(plain)
    torch.testing.assert_close((steered - plain)[:, 1:], by_hand[:, 1:], atol=1e-4, rtol=1e-4)


def test_a_later_layer_removes_what_the_earlier_one_left():
    lm, ids = small("llama"), some_ids()
    with steering(lm):
        arrived = hidden(lm, ids, LAST)
    active = SAES["late"].encode(arrived)
    feature = int((active[:, 1:] > 0).flatten(0, 1).sum(0).argmax())
    with steering(lm, change(), change("late", feature, "remove", 0.0)):
        left = hidden(lm, ids, LAST)
    by_hand = arrived - active[..., feature, None] * SAES["late"].W_dec[feature]
    torch.testing.assert_close(left[:, 1:], by_hand[:, 1:], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_at_strength_0_and_outside_the_block_the_model_is_the_plain_one(dtype):
    lm, ids = small("llama", dtype), some_ids()
    plain = lm.model(ids).logits
    nothing = change(amount=0.0), change(feature=7, how="scale", amount=1.0)
    before = hooks_of(lm)
    for one in nothing:
        with steering(lm, one):
            assert hooks_of(lm) == before
            assert torch.equal(lm.model(ids).logits, plain)
    with steering(lm):
        assert hooks_of(lm) > before
        assert not torch.equal(lm.model(ids).logits, plain)
    assert hooks_of(lm) == before
    assert torch.equal(lm.model(ids).logits, plain)


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_hooks_come_off_whatever_happens(error):
    lm, ids = small("llama"), some_ids()
    plain, before = lm.model(ids).logits, hooks_of(lm)

    def stop(*_):
        raise error

    handle = lm.model.get_output_embeddings().register_forward_pre_hook(stop)
    with pytest.raises(error), steering(lm):
        lm.model(ids)
    handle.remove()
    assert hooks_of(lm) == before
    assert torch.equal(lm.model(ids).logits, plain)


def steered_until_stopped(lm, ids):
    with steering(lm):
        signal.setitimer(signal.ITIMER_REAL, 0.2)
        while True:
            lm.model(ids)


def test_a_real_ctrl_c_while_text_is_generated():
    lm = small("llama")
    before = hooks_of(lm)
    ids = some_ids()
    signal.signal(signal.SIGALRM, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            steered_until_stopped(lm, ids)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
    assert hooks_of(lm) == before


def test_hooks_come_off_where_the_block_is_not_even_entered():
    lm = small("llama")
    before = hooks_of(lm)
    wrong = replace(change("late"), hook="blocks.99.hook_resid_post")
    with pytest.raises(SaematchError, match="layers 0 to"), steering(lm, change(), wrong):
        pass
    assert hooks_of(lm) == before


def test_one_steering_is_in_one_block_at_a_time_and_two_add_up():
    lm, ids = small("llama"), some_ids()
    plain, one, other = hidden(lm, ids), steering(lm), steering(lm, change(feature=7))
    with one, pytest.raises(SaematchError, match="steers already"), one:
        pass
    with one, other:
        both = hidden(lm, ids)
    by_hand = 3.0 * (SAES["early"].W_dec[5] + SAES["early"].W_dec[7])
    torch.testing.assert_close(
        (both - plain)[:, 1:], by_hand.expand_as(plain)[:, 1:], atol=1e-4, rtol=1e-4
    )


ADDS = (change(amount=1.0), change("late", 3, amount=1.0))
# so many that some of them fire at any token
SCALES = tuple(change(site, k, "scale", 2.0) for site in ("early", "late") for k in range(12))


@pytest.mark.parametrize("name", CAUSAL)
@pytest.mark.parametrize("prompt", [True, False])
@pytest.mark.parametrize("changes", [ADDS, SCALES], ids=["add", "scale"])
def test_with_and_without_a_cache_the_same_is_written(name, prompt, changes):
    lm, ids = small(name), some_ids(2, 7)
    mask = torch.ones_like(ids)
    with steering(lm, *changes, prompt=prompt):
        cached = written(lm, input_ids=ids, attention_mask=mask)
        whole = written(lm, input_ids=ids, attention_mask=mask, use_cache=False)
    assert torch.equal(cached[0], whole[0])
    torch.testing.assert_close(cached[1], whole[1], atol=1e-3, rtol=1e-3)
    plain = written(lm, input_ids=ids, attention_mask=mask)
    assert not torch.allclose(cached[1][:, 0], plain[1][:, 0], atol=1e-3)


@pytest.mark.parametrize("name", ["gpt2", "llama", "gemma3", "pythia"])
@pytest.mark.parametrize("prompt", [True, False])
def test_a_static_cache_gives_the_same(name, prompt):
    lm, ids = small(name), some_ids(2, 7)
    mask = torch.ones_like(ids)
    mask[0, :3] = 0
    given = {"input_ids": ids, "attention_mask": mask}
    with steering(lm, *ADDS, prompt=prompt):
        dynamic = written(lm, **given)
        static = written(
            lm, **given, config={"cache_implementation": "static", "disable_compile": True}
        )
    assert torch.equal(dynamic[0], static[0])
    torch.testing.assert_close(dynamic[1], static[1], atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("name", CAUSAL)
@pytest.mark.parametrize("prompt", [True, False])
def test_in_a_batch_padded_on_the_left_each_text_is_steered_as_alone(name, prompt):
    lm = small(name)
    long, short = some_ids(2, 9, seed=3)
    ids = torch.stack([long, torch.cat([torch.zeros(4, dtype=torch.int64), short[:5]])])
    mask = torch.ones_like(ids)
    mask[1, :4] = 0
    for changes in (ADDS, SCALES):
        with steering(lm, *changes, prompt=prompt):
            together = written(lm, input_ids=ids, attention_mask=mask)
            first = written(lm, input_ids=long[None], attention_mask=torch.ones(1, 9).long())
            second = written(lm, input_ids=short[None, :5], attention_mask=torch.ones(1, 5).long())
        for row, alone in enumerate((first, second)):
            n = alone[1].shape[1]
            torch.testing.assert_close(together[1][row, :n], alone[1][0], atol=2e-3, rtol=2e-3)


def test_text_padded_on_the_right_is_steered_as_alone():
    lm, ids = small("llama"), some_ids(2, 9)
    mask = torch.arange(9) < torch.tensor([[9], [6]])
    for prompt in (True, False):
        with steering(lm, prompt=prompt):
            together = lm.model(ids, attention_mask=mask.long()).logits
            alone = lm.model(ids[1:, :6]).logits
        torch.testing.assert_close(together[1, :6], alone[0], atol=1e-4, rtol=1e-4)


def test_without_the_prompt_only_its_last_token_is_steered_and_all_after():
    lm, ids = small("llama"), some_ids(2, 7)
    plain = hidden(lm, ids)
    row = 3.0 * SAES["early"].W_dec[5]
    with steering(lm, prompt=False):
        read = hidden(lm, ids)
        # another text of the same length begins anew, whatever was read before
        again = hidden(lm, some_ids(2, 9, seed=8))
    assert torch.equal(read[:, :-1], plain[:, :-1])
    torch.testing.assert_close(read[:, -1] - plain[:, -1], row.expand(2, -1), atol=1e-4, rtol=1e-4)
    changed = (again - hidden(lm, some_ids(2, 9, seed=8))).norm(dim=-1) > 1e-3
    assert changed.sum(1).tolist() == [1, 1]


def test_beams_and_several_samples_of_a_prompt():
    lm, ids = small("llama"), some_ids(1, 7)
    mask = torch.ones_like(ids)
    for config in ({"num_beams": 3}, {"num_beams": 3, "num_return_sequences": 2}):
        with steering(lm, *ADDS):
            cached = written(lm, input_ids=ids, attention_mask=mask, config=config)[0]
            whole = written(lm, input_ids=ids, attention_mask=mask, config=config, use_cache=False)[
                0
            ]
        assert torch.equal(cached, whole)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_a_model_of_16_bits_is_steered_to_its_precision(dtype):
    lm, ids = small("llama", dtype), some_ids()
    plain = hidden(lm, ids)
    for one, exact in (
        (change(), 3.0 * SAES["early"].W_dec[5].expand_as(plain)),
        (
            change(how="remove", amount=0.0),
            -SAES["early"].encode(plain)[..., 5, None] * SAES["early"].W_dec[5],
        ),
    ):
        with steering(lm, one):
            steered = hidden(lm, ids)
        wanted = (plain + exact).to(dtype).float()
        assert torch.equal(steered[:, 1:], wanted[:, 1:])
        assert lm.model.dtype == dtype


def test_nothing_of_the_model_is_changed():
    lm = small("llama")
    lm.model.train()
    try:
        with steering(lm):
            assert lm.model.training
        assert all(weight.requires_grad for weight in lm.model.parameters())
    finally:
        lm.model.eval()


def test_what_cannot_be_steered_is_refused():
    lm = small("llama")
    sae = make_sae(layer=1)
    sae.W_dec[5] = 0
    with pytest.raises(SaematchError, match="writes nothing"):
        Steering(lm, [change()], {"early": sae})
    batch = make_sae(layer=1, activation="batchtopk")
    with pytest.raises(SaematchError, match="depends on the other tokens"):
        Steering(lm, [change(how="remove", amount=0.0)], {"early": batch})
    with Steering(lm, [change()], {"early": batch}):
        lm.model(some_ids())


def test_a_hidden_state_of_other_tokens_is_refused():
    lm = small("llama")
    block = trunk_of(lm.model).layers
    assert isinstance(block, nn.ModuleList)
    x = torch.zeros(1, 3, 32)
    places = trunk_of(lm.model).rotary_emb(x, torch.arange(3)[None])
    with steering(lm), pytest.raises(SaematchError, match="no telling which"):
        block[1](x, position_embeddings=places)


def test_embeddings_in_place_of_ids():
    lm, ids = small("llama"), some_ids()
    embedded = lm.model.get_input_embeddings()(ids)
    for prompt in (True, False):
        with steering(lm, prompt=prompt):
            wanted = lm.model(ids).logits
            torch.testing.assert_close(lm.model(inputs_embeds=embedded).logits, wanted)

"""Passes that share what comes before a site: the same losses, and blocks that run once."""

import pytest
import torch

from support.small_models import CAUSAL, LAYERS, small, some_ids

HOOKS = {
    "blocks.0.hook_resid_pre": 0,
    "blocks.1.hook_resid_pre": 1,
    "blocks.1.hook_mlp_out": 1,
    "blocks.1.hook_resid_post": 2,
    f"blocks.{LAYERS - 1}.hook_resid_post": LAYERS,
}


@pytest.mark.parametrize("hook", HOOKS)
@pytest.mark.parametrize("name", CAUSAL)
def test_losses_are_the_same_bit_by_bit(name, hook):
    lm, ids = small(name), some_ids(3)
    mask = torch.arange(13) < torch.tensor([[13], [9], [5]])

    def spliced(by):
        return {hook: lambda value, _: value + by}

    alone = [lm.losses(ids, mask, spliced(by)) for by in (1.0, -0.5)]
    clean = lm.losses(ids, mask)
    values = lm.run(ids, [hook], mask)[hook]
    with lm.resuming(hook):
        assert torch.equal(lm.run(ids, [hook], mask)[hook], values)
        shared = [lm.losses(ids, mask, spliced(by)) for by in (1.0, -0.5)]
        again = lm.losses(ids, mask)
    for one, other in zip([*alone, clean], [*shared, again], strict=True):
        assert torch.equal(one.nan_to_num(-1), other.nan_to_num(-1))
    # other tokens, once it is over
    assert not torch.equal(lm.run(some_ids(3, seed=1), [hook])[hook], values)


@pytest.mark.parametrize("hook", HOOKS)
def test_blocks_before_the_site_run_once(hook):
    lm, ran = small("gpt2"), []
    parts = [lm.model.get_submodule(f"transformer.h.{k}.attn") for k in range(LAYERS)]
    handles = [
        part.register_forward_hook(lambda *_, k=k: ran.append(k)) for k, part in enumerate(parts)
    ]
    try:
        with lm.resuming(hook):
            for _ in range(3):
                lm.losses(some_ids())
    finally:
        for handle in handles:
            handle.remove()
    assert [ran.count(k) for k in range(LAYERS)] == [1] * HOOKS[hook] + [3] * (LAYERS - HOOKS[hook])


def test_an_error_inside_leaves_the_model_as_it_was():
    lm, ids = small("llama"), some_ids()
    before = lm.losses(ids)

    def interrupted():
        with lm.resuming("blocks.1.hook_resid_post"):
            lm.losses(ids)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        interrupted()
    assert torch.equal(lm.losses(ids), before)
    assert not torch.equal(lm.losses(some_ids(seed=1)), before)

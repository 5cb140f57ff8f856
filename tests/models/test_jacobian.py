"""Mean Jacobians: exact where the model is linear, as finite differences say elsewhere."""

import dataclasses

import numpy as np
import pytest
import torch
from torch import nn

from saematch import SaematchError
from saematch.models.generate import random_tokens
from saematch.models.jacobian import mean_jacobians
from saematch.models.opening import open_model
from support.small_models import CAUSAL, LAYERS, small, some_ids

ALL = [*CAUSAL, "bert"]
PRE, LAST = "blocks.1.hook_resid_pre", f"blocks.{LAYERS - 1}.hook_resid_post"


def by_finite_differences(lm, source, target, ids, counted, later=False):
    """The mean Jacobian, one dimension of one position of the source at a time."""
    values = lm.run(ids, [source, target])
    width = values[source].shape[-1]
    total = torch.zeros(values[target].shape[-1], width, dtype=torch.float64)
    step = 1e-2
    for q in counted:
        # every dimension of position q at once, each in a copy of its own
        moved = values[source].repeat(2 * width, 1, 1)
        moved[:width, q] += step * torch.eye(width)
        moved[width:, q] -= step * torch.eye(width)
        seen = []
        replace = {
            source: lambda *_, moved=moved: moved,
            target: lambda value, _, seen=seen: (seen.append(value), value)[1],
        }
        lm.losses(ids.repeat(2 * width, 1), replace=replace)
        slope = ((seen[0][:width] - seen[0][width:]) / (2 * step)).double()
        arrived = slope[:, [p for p in counted if p >= q]].sum(1) if later else slope[:, q]
        total += arrived.T
    return total / len(counted)


@pytest.mark.parametrize("name", CAUSAL)
@pytest.mark.parametrize("later", [False, True])
def test_agrees_with_finite_differences(name, later):
    lm, ids = small(name), some_ids(1, 12)
    expected = by_finite_differences(lm, PRE, LAST, ids, range(4, 12), later)
    # signs leave the other positions in by chance: a mean over many draws takes them out
    draws = 1 if later else 200
    given = {"later": later, "skip": 4, "massive": None}
    found = mean_jacobians(lm, PRE, [LAST], [ids[0].numpy()] * draws, **given)[LAST]
    error = (found.matrix - expected).norm() / expected.norm()
    assert error < (0.01 if later else 0.06)


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize(
    ("source", "target"),
    [
        ("blocks.0.hook_resid_pre", "blocks.0.hook_resid_post"),
        ("blocks.0.hook_mlp_out", "blocks.1.hook_resid_post"),
        ("blocks.1.attn.hook_z", "blocks.1.hook_resid_post"),
    ],
)
def test_of_one_position_it_is_the_jacobian_of_autograd(name, source, target):
    lm, ids = small(name), some_ids(1, 6)
    # one position counts: nothing is left to chance
    given = {"skip": 5, "massive": None}
    found = mean_jacobians(lm, source, [target], [ids[0].numpy()], **given)[target]
    value = lm.run(ids, [source])[source]

    def arrives(last):
        seen = []
        changed = torch.cat([value[:, :-1], last[None, None]], 1)
        handles = [
            lm.site(source).attach(lambda _: changed),
            lm.site(target).attach(seen.append),
        ]
        lm.model(ids)
        for handle in handles:
            handle.remove()
        return seen[0][0, -1]

    expected = torch.autograd.functional.jacobian(arrives, value[0, -1])
    torch.testing.assert_close(found.matrix, expected, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(found.source_mean, value[0, -1])


def test_exact_where_the_model_is_linear():
    lm = small("llama")
    block = lm.site("blocks.1.hook_resid_post").module
    d = lm.width(PRE)
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(d, d, generator=generator)

    class Linear(nn.Module):
        def forward(self, hidden, *args, **kwargs):
            return hidden @ weight.T

    whole = lm.model.model.layers
    try:
        whole[1] = Linear()
        examples = [*some_ids(2, 30).numpy()]
        found = mean_jacobians(lm, PRE, ["blocks.1.hook_resid_post"], examples, batch_tokens=100)
    finally:
        whole[1] = block
    torch.testing.assert_close(found["blocks.1.hook_resid_post"].matrix, weight)


def test_memory_changes_nothing_and_targets_share_a_pass():
    lm, examples = small("gpt2"), [some_ids(1, 20)[0].numpy()]
    hooks = ["blocks.1.hook_resid_post", LAST]
    given = {"skip": 2, "massive": None}
    both = mean_jacobians(lm, PRE, hooks, examples, batch_tokens=20, **given)
    for hook in hooks:
        alone = mean_jacobians(lm, PRE, [hook], examples, batch_tokens=200, **given)[hook]
        torch.testing.assert_close(both[hook].matrix, alone.matrix, atol=1e-5, rtol=1e-4)
    assert all(weight.requires_grad for weight in lm.model.parameters())
    assert all(weight.grad is None for weight in lm.model.parameters())


def test_products_go_from_end_to_end():
    lm, examples = small("gpt2"), [some_ids(1, 20)[0].numpy()]
    middle = "blocks.1.hook_resid_post"
    first = mean_jacobians(lm, PRE, [middle], examples, skip=2)[middle]
    second = mean_jacobians(lm, middle, [LAST], examples, skip=2)[LAST]
    both = first.then(second)
    assert (both.source, both.target) == (PRE, LAST)
    rows = torch.eye(len(first.source_mean))[:3]
    torch.testing.assert_close(both.carried(rows), second.carried(first.carried(rows)))
    torch.testing.assert_close(both.pulled_back(rows), first.pulled_back(second.pulled_back(rows)))
    with pytest.raises(SaematchError, match=f"ends at {middle}, the other starts at {PRE}"):
        first.then(dataclasses.replace(second, source=PRE))


def test_massive_positions_do_not_count():
    lm, ids = small("llama"), some_ids(1, 24)
    place = lm.site(PRE)
    once = mean_jacobians(lm, PRE, [LAST], [ids[0].numpy()], skip=0, later=True)[LAST]

    def enlarged(value):
        value = value.clone()
        value[:, 9] *= 1000
        return value

    handle = place.attach(enlarged)
    try:
        left_out = mean_jacobians(lm, PRE, [LAST], [ids[0].numpy()], skip=0)[LAST]
        counted = mean_jacobians(lm, PRE, [LAST], [ids[0].numpy()], skip=0, massive=None)[LAST]
    finally:
        handle.remove()
    usual = once.source_mean.norm()
    assert left_out.source_mean.norm() < 2 * usual < counted.source_mean.norm()


def test_what_has_no_jacobian_is_said():
    lm, examples = small("gpt2"), [some_ids(1, 20)[0].numpy()]
    with pytest.raises(SaematchError, match="earlier hook point to a later"):
        mean_jacobians(lm, LAST, [PRE], examples)
    with pytest.raises(SaematchError, match="to itself is the identity"):
        mean_jacobians(lm, PRE, [PRE], examples)
    with pytest.raises(SaematchError, match="more than 30 tokens"):
        mean_jacobians(lm, PRE, [LAST], examples, skip=30)
    with pytest.raises(SaematchError, match="layers 0 to"):
        mean_jacobians(lm, PRE, ["blocks.9.hook_resid_post"], examples)


def test_random_tokens():
    lm = open_model("saematch:model")
    found = random_tokens(lm, 3, 15, seed=1)
    assert [len(ids) for ids in found] == [15] * 3
    assert not np.isin(
        np.concatenate([ids[1:] for ids in found]), lm.tokenizer.all_special_ids
    ).any()
    assert all(
        (one == two).all() for one, two in zip(found, random_tokens(lm, 3, 15, 1), strict=True)
    )

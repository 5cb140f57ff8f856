"""A model that goes on from the beginning of a text does what it does in the whole text."""

import pytest
import torch

from saematch import SaematchError
from saematch.models.continued import continued
from support.small_models import CAUSAL, small, some_ids

pytest.importorskip("transformers")
FAMILIES = [
    pytest.param(name, marks=() if name in ("gpt2", "gemma2", "llama") else pytest.mark.slow)
    for name in CAUSAL
]
EARLIER, LATER = "blocks.0.hook_resid_post", "blocks.1.hook_resid_post"
LENGTHS = (13, 9, 6, 4)  # the longest reach beyond the window of models that have one
FOLLOWING = 3


def texts():
    ids = some_ids(len(LENGTHS), max(LENGTHS))
    mask = torch.arange(max(LENGTHS)) < torch.tensor(LENGTHS)[:, None]
    before = mask.clone()
    for row, length in enumerate(LENGTHS):
        before[row, length - FOLLOWING :] = False
    following = torch.stack([ids[k, n - FOLLOWING : n] for k, n in enumerate(LENGTHS)])
    return ids, mask, before, following


@pytest.mark.parametrize("name", FAMILIES)
def test_values_and_predictions_are_those_of_the_whole_text(name):
    model = small(name)
    ids, mask, before, following = texts()
    whole = model.run(ids, [EARLIER, LATER], mask)
    going_on = continued(model, ids * before, before, LATER)
    found = going_on.run(following, [EARLIER, LATER])
    after = mask & ~before
    for hook in (EARLIER, LATER):
        expected = whole[hook][after].view_as(found[hook])
        torch.testing.assert_close(found[hook], expected, atol=2e-5, rtol=1e-4)
    going_on = continued(model, ids * before, before)
    every = torch.ones_like(following, dtype=torch.bool)
    expected = model.log_probabilities(ids, after, mask)
    torch.testing.assert_close(
        going_on.log_probabilities(following, every), expected, atol=5e-5, rtol=1e-4
    )


@pytest.mark.parametrize("name", FAMILIES)
def test_every_pass_starts_at_the_same_place(name):
    model = small(name)
    ids, mask, before, following = texts()
    going_on = continued(model, ids * before, before, LATER)
    change = {EARLIER: lambda value, _: 1.5 * value}
    alone = going_on.run(following, [LATER], replace=change)[LATER]
    with model.resuming(EARLIER):
        own = going_on.run(following, [EARLIER, LATER])[LATER]
        again = going_on.run(following, [LATER], replace=change)[LATER]
    assert torch.equal(alone, again)
    assert not torch.equal(alone, own)
    whole = model.run(
        ids, [LATER], mask, {EARLIER: lambda value, _: value.where(before[..., None], 1.5 * value)}
    )
    expected = whole[LATER][mask & ~before].view_as(alone)
    torch.testing.assert_close(alone, expected, atol=2e-5, rtol=1e-4)


def test_texts_longer_than_the_model_reads_are_refused():
    model = small("gpt2")
    ids = torch.ones(1, 60, dtype=torch.long)
    going_on = continued(model, ids, ids > 0)
    with pytest.raises(SaematchError, match="64 positions"):
        going_on.run(ids[:, :5], [LATER])


def test_an_encoder_does_not_go_on():
    ids = torch.ones(1, 4, dtype=torch.long)
    with pytest.raises(SaematchError, match="causal"):
        continued(small("bert"), ids, ids > 0)

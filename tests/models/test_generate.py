"""Text that a model writes: that it is drawn from its own predictions, and what it is made of."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from saematch import SaematchError
from saematch.models import write
from saematch.models.opening import open_model
from support.small_models import CAUSAL, WORDS, small

BOS, BARRED = 1, 5


class Tokens:
    """As much of a tokenizer as writing takes: 90 of the model's 97 outputs, one more special."""

    bos_token_id, cls_token_id, eos_token_id = BOS, None, 2
    all_special_ids = (BOS, 2, BARRED)

    def __len__(self):
        return WORDS - 7


def writer(name="gpt2", **changed):
    tokens = Tokens()
    vars(tokens).update(changed)
    return replace(small(name), tokenizer=tokens)


@torch.no_grad()
def predicted(model, ids) -> torch.Tensor:
    """Probabilities of the tokens that may come next, after whole texts read anew."""
    logits = model.model(ids).logits[:, -1].float()
    logits[:, [BOS, 2, BARRED]] = -torch.inf
    logits[:, WORDS - 7 :] = -torch.inf
    return logits.softmax(-1)


@pytest.mark.parametrize("name", CAUSAL)
def test_each_token_is_drawn_from_the_prediction_after_all_before(name):
    """The same draws from predictions made without kept keys and values give the same texts."""
    model = writer(name)
    found = np.stack(write(model, 4, 20, seed=3))
    random = torch.Generator().manual_seed(3)
    ids = torch.full((4, 1), BOS)
    for _ in range(19):
        ids = torch.cat([ids, torch.multinomial(predicted(model, ids), 1, generator=random)], 1)
    assert np.array_equal(found, ids.numpy())


def test_tokens_come_as_often_as_they_are_predicted():
    model, n = writer(), 4000
    first = np.stack(write(model, n, 2))[:, 1]
    expected = n * predicted(model, torch.tensor([[BOS]]))[0].double().numpy()
    seen = np.bincount(first, minlength=WORDS)
    assert seen[expected == 0].sum() == 0
    common = expected > 5
    chi_square = ((seen - expected)[common] ** 2 / expected[common]).sum()
    assert chi_square < common.sum() + 4 * np.sqrt(2 * common.sum())


def test_examples_are_bos_and_full_length_and_no_special_token():
    found = write(writer(), 70, 30, batch_tokens=900)
    assert len(found) == 70
    ids = np.stack(found)
    assert ids.shape == (70, 30)
    assert ids.dtype == np.int64
    assert (ids[:, 0] == BOS).all()
    assert not np.isin(ids[:, 1:], [BOS, 2, BARRED]).any()
    assert ids.max() < WORDS - 7
    assert len({example.tobytes() for example in found}) == 70


def test_a_seed_gives_the_same_texts_and_another_others():
    once, again, other = (np.stack(write(writer(), 3, 12, seed=seed)) for seed in (1, 1, 2))
    assert np.array_equal(once, again)
    assert not np.array_equal(once, other)


def test_nothing_is_drawn_from_the_generator_of_others():
    before = torch.get_rng_state()
    write(writer(), 2, 5)
    assert torch.equal(before, torch.get_rng_state())


def test_without_bos_a_text_begins_after_eos_which_is_not_part_of_it():
    model = writer(bos_token_id=None)
    found = np.stack(write(model, 3, 9, seed=4))
    random = torch.Generator().manual_seed(4)
    first = torch.multinomial(predicted(model, torch.full((3, 1), 2)), 1, generator=random)
    assert found.shape == (3, 9)
    assert np.array_equal(found[:, :1], first.numpy())


def test_no_longer_than_the_model_has_positions_for():
    assert {len(example) for example in write(writer(), 2, 1000)} == {64}


def test_how_far_it_is_can_be_told():
    said = []
    write(writer(), 5, 10, batch_tokens=20, done=said.append)
    assert said == [2, 4, 5]


@pytest.mark.parametrize(
    ("model", "given", "match"),
    [
        (small("bert"), (1, 5), "bert is no causal language model"),
        (writer(), (0, 5), "examples=0, length=5: a model writes at least one example of 2"),
        (writer(), (1, 1), "examples=1, length=1"),
        (writer(bos_token_id=None, eos_token_id=None), (1, 5), "neither BOS nor EOS"),
    ],
)
def test_what_cannot_be_written(model, given, match):
    with pytest.raises(SaematchError, match=match):
        write(model, *given)


def test_the_shipped_model_writes_what_it_finds_as_likely_as_it_says():
    """On its own text, a model's loss is the mean of its predictions' entropies."""
    model = open_model("saematch:model")
    ids = torch.from_numpy(np.stack(write(model, 24, 64)))
    with torch.no_grad():
        log_p = model.model(ids).logits[:, :-1].log_softmax(-1)
    entropy = -(log_p.exp() * log_p).sum(-1)
    more = (model.losses(ids) - entropy).mean(1)
    assert abs(float(more.mean())) < 4 * float(more.std()) / 24**0.5

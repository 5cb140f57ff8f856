"""Tokens with massive activations, planted in hidden states that are known."""

import numpy as np
import pytest
import torch

from saematch.activations import capture, norm_limits, without_massive
from saematch.activations.massive import checked_times
from saematch.errors import SaematchError
from saematch.evaluation.splice import batches, counted_tokens
from saematch.models.hook_points import resolve
from support.saes import make_sae
from support.small_models import WIDTH, small

HOOK, LATER = "blocks.0.hook_resid_post", "blocks.1.hook_resid_post"
LENGTHS = (9, 4, 7, 7)
HUGE = {(0, 3), (2, 1), (3, 6)}  # example, position


@pytest.fixture
def examples():
    rng = np.random.default_rng(0)
    return [rng.integers(2, 90, length) for length in LENGTHS]


@pytest.fixture
def model(examples):
    """A model whose hidden state after block 0 is a thousand times as large at some tokens."""
    planted = small("gpt2")
    rows = {tuple(examples[i]): [p for e, p in HUGE if e == i] for i in range(len(examples))}
    seen = []

    def enlarge(value):
        new = value.clone()
        for row, ids in enumerate(seen[-1]):
            for example, positions in rows.items():
                if tuple(ids[: len(example)].tolist()) == example:
                    for position in positions:
                        new[row, position] *= 1000
        return new

    inner = planted.model.base_model
    first = inner.register_forward_pre_hook(
        lambda module, args, kwargs: seen.append(kwargs["input_ids"]), with_kwargs=True
    )
    second = resolve(planted.model, HOOK).attach(enlarge)
    yield planted
    first.remove()
    second.remove()


def masked(found):
    return {(i, p) for i, ids in enumerate(found) for p in np.flatnonzero(np.ma.getmaskarray(ids))}


@pytest.mark.parametrize("batch_tokens", [1, 16, 1000])
def test_tokens_far_beyond_the_median_are_masked(model, examples, batch_tokens):
    limits = norm_limits(model, [HOOK], examples, 4.0, batch_tokens)
    found = without_massive(model, limits, examples, batch_tokens)
    assert masked(found) == HUGE
    assert all(np.array_equal(np.ma.getdata(a), b) for a, b in zip(found, examples, strict=True))


def test_the_limit_is_of_the_median_without_first_tokens(model, examples):
    norms = []
    for ids in examples:
        norms += model.run(torch.from_numpy(ids)[None], [HOOK])[HOOK][0, 1:].norm(dim=-1).tolist()
    # torch takes the lower of two middle values
    middle = sorted(norms)[(len(norms) - 1) // 2]
    assert norm_limits(model, [HOOK], examples, 3.0)[HOOK] == pytest.approx(3 * middle, rel=1e-4)


def test_a_token_counts_only_if_it_is_usual_at_every_hook_point(model, examples):
    both = norm_limits(model, [HOOK, LATER], examples)
    alone = {LATER: 1e9}
    assert masked(without_massive(model, alone, examples)) == set()
    assert masked(without_massive(model, both, examples)) >= HUGE


def test_in_a_capture_such_a_token_keeps_its_place_and_is_silent(model, examples):
    saes = {"at": make_sae(WIDTH, 40, layer=0), "next": make_sae(WIDTH, 40, seed=1, layer=1)}
    limits = norm_limits(model, [HOOK], examples)
    (whole,) = capture(model, saes, examples)
    (batch,) = capture(model, saes, examples, limits=limits)
    places = list(zip(batch.example.tolist(), batch.position.tolist(), strict=True))
    huge = np.array([place in HUGE for place in places])
    assert batch.massive == len(HUGE) == huge.sum()
    assert whole.massive == 0
    assert np.array_equal(batch.token_id, whole.token_id)
    for name in saes:
        ours, all_of_it = (b.saes[name].matrix.toarray() for b in (batch, whole))
        assert not ours[huge].any()
        assert np.allclose(ours[~huge], all_of_it[~huge], atol=1e-4)
        assert all_of_it[huge].any()


def test_masked_tokens_do_not_count_in_an_evaluation(examples):
    masks = [np.isin(np.arange(len(ids)), [p for e, p in HUGE if e == i])
             for i, ids in enumerate(examples)]  # fmt: skip
    given = [np.ma.MaskedArray(ids, mask) for ids, mask in zip(examples, masks, strict=True)]
    for batch in batches(given):
        for row, number in enumerate(batch.example.tolist()):
            length = len(examples[number])
            counted = set(range(1, length)) - {p for e, p in HUGE if e == number}
            assert set(batch.counted[row].nonzero().flatten().tolist()) == counted
            made = {p for p in counted if p + 1 < length}
            assert set(batch.predicted[row].nonzero().flatten().tolist()) == made
            assert batch.ids[row, :length].tolist() == examples[number].tolist()
    plain = [int(b.counted.sum()) for b in batches(examples)]
    assert sum(plain) == sum(int(b.counted.sum()) for b in batches(given)) + len(HUGE)


def test_an_example_without_a_token_that_counts_is_left_out():
    given = [np.ma.MaskedArray([1, 2, 3], [0, 1, 1]), np.array([1, 2]), np.array([1, 5, 6])]
    read = [int(number) for batch in batches(given, batch_tokens=1) for number in batch.example]
    assert sorted(read) == [1, 2]
    assert [counted_tokens(ids) for ids in given] == [0, 1, 2]


def test_what_is_no_multiple_is_refused(model):
    assert checked_times(0) is checked_times(None) is None
    for wrong in (0.5, 1, -2, float("inf"), float("nan")):
        with pytest.raises(SaematchError, match=r"it is how many times the median norm"):
            checked_times(wrong)
    with pytest.raises(SaematchError, match="no tokens besides BOS"):
        norm_limits(model, [HOOK], [np.array([1])])

"""Splicing into a running model: what is replaced, what counts, and that padding does not."""

import numpy as np
import pytest
import torch

from saematch import SaematchError
from saematch.evaluation.splice import batches, losses
from support.small_model import SmallModel, examples

SITE = "blocks.1.hook_resid_post"
MODEL = SmallModel()
EXAMPLES = examples()


def test_batches_hold_every_example_once_and_no_more_tokens_than_asked():
    seen = {}
    for batch in batches(EXAMPLES, batch_tokens=40):
        assert batch.ids.numel() <= 40
        for row, number in enumerate(batch.example.tolist()):
            assert number not in seen
            seen[number] = batch.ids[row][batch.mask[row]].tolist()
    assert seen == {i: ids.tolist() for i, ids in enumerate(EXAMPLES)}


def test_an_example_longer_than_a_batch_still_comes():
    assert [len(b.ids) for b in batches(EXAMPLES[:2], batch_tokens=1)] == [1, 1]


def test_neither_bos_nor_padding_counts():
    (batch,) = batches([np.array([0, 5, 6, 7]), np.array([0, 8])])
    assert batch.counted.tolist() == [[False, True, True, True], [False, True, False, False]]
    # what the last token predicts is not there; what BOS predicts does not count
    assert batch.predicted.tolist() == [[False, True, True], [False, False, False]]
    assert batch.token_example.tolist() == [0, 0, 0, 1]


def test_an_example_of_bos_alone_is_refused():
    with pytest.raises(SaematchError, match="example 1 has 1 tokens"):
        list(batches([np.array([0, 3]), np.array([0])]))


def test_the_true_value_spliced_in_changes_nothing():
    for batch in batches(EXAMPLES):
        value = batch.values(MODEL.run(batch.ids, [SITE])[SITE])
        plain = losses(MODEL, batch)
        torch.testing.assert_close(losses(MODEL, batch, SITE, value), plain, rtol=0, atol=1e-6)
        assert (losses(MODEL, batch, SITE, value * 1.1) - plain).abs().min() > 1e-4


def test_padding_changes_nothing():
    def total(batch_tokens: int) -> torch.Tensor:
        found = torch.zeros(len(EXAMPLES), dtype=torch.float64)
        for batch in batches(EXAMPLES, batch_tokens=batch_tokens):
            value = batch.values(MODEL.run(batch.ids, [SITE])[SITE])
            found[batch.example] = losses(MODEL, batch, SITE, value.tanh())
        return found

    torch.testing.assert_close(total(1), total(10_000), rtol=1e-6, atol=1e-6)


def test_the_loss_is_that_of_the_later_blocks_on_the_new_value():
    (batch,) = batches([np.array([0, 5, 6, 7])])
    value = torch.randn(3, 32, generator=torch.Generator().manual_seed(1))
    bos = MODEL.run(batch.ids, [SITE])[SITE][0, :1]
    x = torch.cat([bos, value])
    last = torch.cat([torch.zeros(1, 32), x[:-1]])
    out = x + torch.tanh(x @ MODEL.here[2] + last @ MODEL.before[2])
    log_p = (out @ MODEL.readout).log_softmax(-1)
    by_hand = -(log_p[1, 6] + log_p[2, 7])  # from the first real token on
    assert float(losses(MODEL, batch, SITE, value)) == pytest.approx(float(by_hand), rel=1e-5)

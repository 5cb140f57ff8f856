"""The loss that transports are finished by, token by token."""

import numpy as np
import pytest
import torch

from saematch.evaluation.downstream import Predictions
from support.small_model import SmallModel, examples

SITE = "blocks.1.hook_resid_post"


@pytest.fixture
def downstream():
    return Predictions(SmallModel(), SITE, examples(9, seed=4), batch_tokens=40)


def test_every_token_is_read_once_with_its_examples(downstream):
    found = downstream.batches(7, np.random.default_rng(0))
    counts = sorted(int(batch.counted.sum()) for batch in downstream.read)
    assert sorted(map(len, found)) == counts
    total = sum(len(ids) - 1 for ids in examples(9, seed=4))
    assert np.array_equal(np.sort(np.concatenate(found)), np.arange(total))
    orders = {tuple(map(int, map(np.min, downstream.batches(7, r)))) for r in _generators(8)}
    assert len(orders) > 1


def test_the_slope_is_that_of_the_tokens_asked_for(downstream):
    model = SmallModel()
    g = torch.Generator().manual_seed(0)
    for rows in downstream.batches(7, np.random.default_rng(1)):
        batch = next(b for b in downstream.read if _start(downstream, b) == rows[0])
        true = batch.values(model.run(batch.ids, [SITE], batch.mask)[SITE])
        far, slope = downstream.slope(rows, true)
        assert far == pytest.approx(0, abs=1e-5)
        x_hat = true + 0.2 * torch.randn(true.shape, generator=g)
        far, slope = downstream.slope(rows, x_hat)
        step = torch.randn(true.shape, generator=g)
        step /= step.norm()
        up, down = (downstream.slope(rows, x_hat + s * step)[0] for s in (0.02, -0.02))
        assert far > 0.01
        assert float((slope * step).sum()) == pytest.approx((up - down) / 0.04, rel=0.05, abs=2e-4)


def _generators(n):
    return (np.random.default_rng(seed) for seed in range(n))


def _start(downstream, batch):
    before = downstream.read[: downstream.read.index(batch)]
    return sum(int(b.counted.sum()) for b in before)

"""The divergence of the model's predictions as a loss for fitting transports."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

import numpy as np
from jaxtyping import Float
from numpy import ndarray
from torch import Tensor

from saematch.evaluation.splice import Model, PaddedBatch, batches


class Predictions:
    """The KL divergence of next-token predictions with an estimate spliced in from the model's own.

    A `saematch.transport.Downstream`. Tokens are numbered as they come in `batches`: those that
    count, example after example.

    Args:
        model: the language model.
        site: where estimates stand.
        examples: token ids of each, BOS first.
        batch_tokens: that the model reads at a time, with padding.
    """

    def __init__(
        self, model: Model, site: str, examples: Sequence[ndarray], batch_tokens: int = 1024
    ) -> None:
        self._model, self._site = model, site
        self.read: list[PaddedBatch] = list(batches(examples, model.device, batch_tokens))
        counts = [int(batch.counted.sum()) for batch in self.read]
        self._starts = [0, *accumulate(counts)]

    def batches(self, tokens: int, random: np.random.Generator) -> Sequence[ndarray]:
        """The batches it was made with, in random order; `tokens` is ignored."""
        order = random.permutation(len(self.read))
        return [np.arange(self._starts[place], self._starts[place + 1]) for place in order]

    def slope(
        self, rows: ndarray, x_hat: Float[Tensor, "rows d_out"]
    ) -> tuple[float, Float[Tensor, "rows d_out"]]:
        """The divergence in nats, summed, and its gradient by the estimate."""
        batch = self.read[self._starts.index(int(rows[0]))]
        far, slope = self._model.divergence(batch.ids, batch.mask, self._site, x_hat, batch.counted)
        return float(far.sum()), slope

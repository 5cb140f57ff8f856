"""The running model with another value at one site, and what that does to its loss.

Values are replaced at the tokens that count: all but the first of each example (BOS), whose hidden
state is unlike any other and on which no SAE here was trained, and those with massive activations
(`saematch.activations.massive`). Predictions count where they are
made from such a token: from the second token on. That of the first, made from BOS, which keeps its
own value, cannot change and would only dilute the rest.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from numpy import ndarray
from torch import Tensor

from saematch.errors import SaematchError

Replace = Callable[[Tensor, Mapping[str, Tensor]], Tensor]


class Model(Protocol):
    """What is asked of a language model: see `saematch.models.language_model.LanguageModel`."""

    def run(
        self, ids: Tensor, sites: Sequence[str], mask: Tensor | None = None
    ) -> dict[str, Tensor]:
        """The values at sites by hook, `(batch, seq, d)` float32."""
        ...

    def losses(
        self,
        ids: Tensor,
        mask: Tensor | None = None,
        replace: Mapping[str, Replace] = ...,
        read: Sequence[str] = (),
    ) -> Tensor:
        """Cross-entropy of each next token in nats, `(batch, seq - 1)` float32."""
        ...

    def resuming(self, site: str) -> AbstractContextManager[None]:
        """Within it all passes read the same tokens and differ only from `site` on."""
        ...

    def divergence(
        self, ids: Tensor, mask: Tensor | None, site: str, value: Tensor, where: Tensor
    ) -> tuple[Tensor, Tensor]:
        """KL divergence of each prediction with `value` at `site`, and its slope by `value`."""
        ...

    @property
    def device(self) -> torch.device:
        """Where it runs."""
        ...


@dataclass(frozen=True, eq=False)
class PaddedBatch:
    """Some examples side by side, padded at the end."""

    ids: Int[Tensor, "batch seq"]
    mask: Bool[Tensor, "batch seq"]  # not padding
    example: Int[Tensor, " batch"]  # the number of each in its text set
    left_out: Bool[Tensor, "batch seq"] | None = None  # further tokens that do not count

    @cached_property
    def counted(self) -> Bool[Tensor, "batch seq"]:
        """The tokens that count: neither BOS nor padding, nor left out."""
        counted = self.mask.clone() if self.left_out is None else self.mask & ~self.left_out
        counted[:, 0] = False
        return counted

    @cached_property
    def predicted(self) -> Bool[Tensor, "batch predictions"]:
        """The predictions that count: made from a token that counts, of one that exists."""
        return self.counted[:, :-1] & self.mask[:, 1:]

    @cached_property
    def token_example(self) -> Int[Tensor, " tokens"]:
        """The example of each token that counts, in the order of `values`."""
        return self.example[:, None].expand_as(self.mask)[self.counted]

    def values(self, at: Float[Tensor, "batch seq d"]) -> Float[Tensor, "tokens d"]:
        """The values at the tokens that count, row by row."""
        return at[self.counted]


def batches(
    examples: Sequence[ndarray], device: torch.device | str = "cpu", batch_tokens: int = 4096
) -> Iterator[PaddedBatch]:
    """Examples of about one length together, each once; those without a token that counts left out.

    Args:
        examples: token ids of each, BOS first; tokens that a masked array masks do not count, as
            those of `saematch.activations.without_massive`.
        device: where the model is.
        batch_tokens: at most so many tokens with padding, but one example at least.

    Raises:
        SaematchError: an example has no token besides BOS.
    """
    for number, ids in enumerate(examples):
        if len(ids) < 2:
            raise SaematchError(
                f"example {number} has {len(ids)} tokens; it takes BOS and one more at least"
            )
    order = np.argsort([-len(ids) for ids in examples], kind="stable")
    order = order[[not np.ma.getmaskarray(examples[i])[1:].all() for i in order]]
    start = 0
    while start < len(order):
        longest = len(examples[order[start]])
        some = order[start : start + max(1, batch_tokens // longest)]
        ids = torch.zeros(len(some), longest, dtype=torch.int64)
        mask, left_out = (torch.zeros(len(some), longest, dtype=torch.bool) for _ in range(2))
        for row, number in enumerate(some):
            example, length = examples[number], len(examples[number])
            ids[row, :length] = torch.as_tensor(np.ma.getdata(example), dtype=torch.int64)
            mask[row, :length] = True
            left_out[row, :length] = torch.from_numpy(np.ma.getmaskarray(example))
        numbers = torch.from_numpy(some).to(device)
        yield PaddedBatch(ids.to(device), mask.to(device), numbers, left_out.to(device))
        start += len(some)


def counted_tokens(ids: ndarray) -> int:
    """The tokens of an example that count: not the first, nor those that are masked."""
    return len(ids) - 1 - int(np.ma.getmaskarray(ids)[1:].sum())


def losses(
    model: Model,
    batch: PaddedBatch,
    site: str | None = None,
    value: Float[Tensor, "tokens d"] | None = None,
) -> Float[Tensor, " batch"]:
    """The sum of the loss over the predictions of each example that count, in nats, float64.

    Args:
        model: the language model.
        batch: what it reads.
        site: where to splice; nowhere unless given.
        value: what stands there at each token that counts, in the order of `PaddedBatch.values`.
    """

    def spliced(there: Tensor, _: Mapping[str, Tensor]) -> Tensor:
        new = there.clone()
        new[batch.counted] = value.to(there)  # pyright: ignore[reportOptionalMemberAccess]
        return new

    replace = {} if site is None else {site: spliced}
    each = model.losses(batch.ids, batch.mask, replace=replace)
    return torch.where(batch.predicted, each.double(), 0.0).sum(1)

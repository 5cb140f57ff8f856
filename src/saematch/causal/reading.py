"""What a model's SAEs do on a text, and the windows of it that experiments look at."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import scipy.sparse as sp
import torch
from jaxtyping import Bool, Int
from numpy import ndarray
from torch import Tensor

from saematch.activations.capturing import capture
from saematch.activations.table import FeatureActivations, joined
from saematch.models.language_model import LanguageModel
from saematch.models.padding import padded
from saematch.sae.sae import SAE


@dataclass(frozen=True, eq=False)
class Window:
    """Tokens of an example from `start`, 1 at least, to before `stop`."""

    example: int
    start: int
    stop: int


@dataclass(frozen=True, eq=False)
class Reading:
    """What SAEs do on a text; its tokens are numbered over all examples, without their first."""

    examples: Sequence[ndarray]  # token ids, BOS first; those that do not count masked
    active: Mapping[str, FeatureActivations]  # by the SAE's name
    example: ndarray  # int64 (tokens,)
    position: ndarray  # int64 (tokens,), in its example

    @classmethod
    def of(
        cls,
        model: LanguageModel,
        saes: Mapping[str, SAE],
        examples: Sequence[ndarray],
        limits: Mapping[str, float] | None = None,
    ) -> Reading:
        """Read a text; `limits` as of `saematch.activations.capturing.capture`."""
        parts = [*capture(model, saes, examples, limits=limits)]
        counts = [len(ids) - 1 for ids in examples]
        return cls(
            examples,
            {name: joined([part.saes[name] for part in parts]) for name in saes},
            np.repeat(np.arange(len(examples)), counts),
            np.concatenate([np.arange(1, n + 1) for n in counts]),
        )

    @property
    def n_tokens(self) -> int:
        return len(self.example)

    def frequency(self, name: str) -> ndarray:
        """`(d_sae,)`: the share of tokens on which each feature fires."""
        return self.active[name].counts() / max(1, self.n_tokens)

    def typical(self, name: str) -> ndarray:
        """`(d_sae,)`: the mean activation of each feature where it fires; 0 where it never does."""
        active = self.active[name]
        total = np.bincount(active.matrix.indices, active.matrix.data, active.d_sae)
        return total / np.maximum(active.counts(), 1)

    def firings(self, name: str, feature: int) -> ndarray:
        """The numbers of the tokens on which a feature fires, ascending."""
        columns = self._by_feature[name]
        return columns.indices[columns.indptr[feature] : columns.indptr[feature + 1]]

    @cached_property
    def _by_feature(self) -> dict[str, sp.csc_array]:
        return {name: sp.csc_array(active.matrix) for name, active in self.active.items()}


@dataclass(frozen=True, eq=False)
class Windows:
    """A batch of windows: what the model has read before them, and their tokens."""

    places: ndarray  # int64 (batch,): which of the windows that were given
    before: Int[Tensor, "batch read"]  # token ids, padded on the right
    before_mask: Bool[Tensor, "batch read"]
    ids: Int[Tensor, "batch seq"]
    mask: Bool[Tensor, "batch seq"]
    counted: Bool[Tensor, "batch seq"]  # neither padding nor masked in the example


def batched(
    examples: Sequence[ndarray],
    windows: Sequence[Window],
    device: torch.device,
    batch_tokens: int,
) -> Iterator[Windows]:
    """Windows with about as much before them together, each once.

    Args:
        examples: token ids of each, BOS first; those that do not count masked.
        windows: each begins after BOS.
        device: where the model is.
        batch_tokens: at most so many tokens of a batch with padding, but one window at least.
    """
    order = np.argsort([-window.start for window in windows], kind="stable")
    start = 0
    while start < len(order):
        width = max(w.stop - w.start for w in windows)
        longest = windows[order[start]].start + width
        places = order[start : start + max(1, batch_tokens // longest)]
        some = [windows[place] for place in places]
        before = [examples[w.example][: w.start] for w in some]
        after = [examples[w.example][w.start : w.stop] for w in some]
        ids, mask = (part.to(device) for part in padded([*map(np.ma.getdata, before)]))
        parts = (part.to(device) for part in padded([*map(np.ma.getdata, after)]))
        new, new_mask = parts
        masked, _ = padded([np.ma.getmaskarray(part).astype(np.int64) for part in after])
        yield Windows(places, ids, mask, new, new_mask, new_mask & (masked.to(device) == 0))
        start += len(places)

# pyright: strict, reportMissingTypeStubs=false, reportUnknownMemberType=false
"""What a model's SAEs do on a text, and the windows of it that experiments look at."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import scipy.sparse as sp
import torch
from jaxtyping import Bool
from numpy import ndarray
from torch import Tensor

from saematch.activations.capturing import capture
from saematch.activations.table import FeatureActivations, joined
from saematch.evaluation.splice import PaddedBatch
from saematch.models.language_model import LanguageModel
from saematch.sae.sae import SAE


@dataclass(frozen=True, eq=False)
class Window:
    """Tokens of an example, from `start` to before `stop`; the model reads all that come before."""

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
    """A batch: the examples of some windows up to where each ends."""

    batch: PaddedBatch
    within: Bool[Tensor, "batch seq"]  # tokens of the windows that count


def batched(
    examples: Sequence[ndarray],
    windows: Sequence[Window],
    device: torch.device,
    batch_tokens: int,
) -> Iterator[tuple[ndarray, Windows]]:
    """Windows of about one length together, each once, with their places in `windows`."""
    order = np.argsort([-window.stop for window in windows], kind="stable")
    start = 0
    while start < len(order):
        longest = windows[order[start]].stop
        some = order[start : start + max(1, batch_tokens // longest)]
        shape = len(some), longest
        ids = torch.zeros(shape, dtype=torch.int64)
        mask, out, within = (torch.zeros(shape, dtype=torch.bool) for _ in range(3))
        for row, number in enumerate(some.tolist()):
            window = windows[number]
            example = examples[window.example][: window.stop]
            ids[row, : window.stop] = torch.as_tensor(np.ma.getdata(example), dtype=torch.int64)
            mask[row, : window.stop] = True
            out[row, : window.stop] = torch.from_numpy(np.ma.getmaskarray(example))
            within[row, window.start : window.stop] = True
        at = torch.tensor([windows[number].example for number in some.tolist()])
        batch = PaddedBatch(*(part.to(device) for part in (ids, mask, at, out)))
        yield some, Windows(batch, within.to(device) & batch.counted)
        start += len(some)

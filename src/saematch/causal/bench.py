"""What experiments on a running model share: model, SAEs and text, and how predictions change."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from numpy import ndarray
from torch import Tensor

from saematch.causal.contributions import written_at
from saematch.causal.reading import Reading, Window, Windows
from saematch.models.continued import continued
from saematch.models.language_model import LanguageModel, Replacement
from saematch.sae.sae import SAE

BATCH_TOKENS = 4096


@dataclass(frozen=True, eq=False)
class Bench:
    """A model, the SAEs of a run and a text on which they are tried."""

    model: LanguageModel
    saes: Mapping[str, SAE]
    reading: Reading
    seed: int = 0
    batch_tokens: int = BATCH_TOKENS

    def hook(self, name: str) -> str:
        """Where an SAE's features are part of the hidden state.

        Raises:
            SaematchError: it is not known, or the SAE is a transcoder.
        """
        return written_at(self.saes[name], name)

    def chosen(self, name: str, features: int) -> Int[ndarray, " features"]:
        """Some features of an SAE that fire on the text, drawn at random."""
        sae = self.saes[name]
        usable = (self.reading.active[name].counts() > 0) & ~sae.excluded.cpu().numpy()
        # one order of all features, so that more of them begin with the same
        order = np.random.default_rng(self.seed).permutation(sae.d_sae)
        return order[usable[order]][:features]

    def windows(self, name: str, feature: int, most: int, after: int) -> list[Window]:
        """Windows that begin where a feature fires, at random tokens of different examples.

        Args:
            name: of its SAE.
            feature: the feature.
            most: windows at most.
            after: tokens of each at most.
        """
        reading, found = self.reading, dict[int, Window]()
        tokens = reading.firings(name, feature)
        for token in np.random.default_rng([self.seed, feature]).permutation(tokens).tolist():
            example, position = int(reading.example[token]), int(reading.position[token])
            stop = min(position + after, len(reading.examples[example]))
            found.setdefault(example, Window(example, position, stop))
            if len(found) == most:
                break
        return [*found.values()]


class Predictions:
    """The model's own predictions in a batch of windows, and how far others are from them."""

    def __init__(self, bench: Bench, at: Windows) -> None:
        self.at = at
        self.model = continued(bench.model, at.before, at.before_mask)
        self._own: Tensor | None = None

    def read(self, hooks: Sequence[str]) -> dict[str, Float[Tensor, "batch seq d"]]:
        """The values at hook points."""
        return self.model.run(self.at.ids, [*dict.fromkeys(hooks)], self.at.mask)

    def divergence(self, edits: Mapping[str, Replacement]) -> Float[Tensor, "batch seq"]:
        """KL divergence of each prediction from the model's own, in nats; 0 where none counts."""
        at = self.at
        if self._own is None:
            self._own = self.model.log_probabilities(at.ids, at.counted, at.mask)
        new = self.model.log_probabilities(at.ids, at.counted, at.mask, replace=edits)
        found = torch.zeros(at.ids.shape, device=new.device)
        found[at.counted] = divergences(self._own, new)
        return found


def divergences(
    own: Float[Tensor, "tokens vocabulary"], new: Float[Tensor, "tokens vocabulary"]
) -> Float[Tensor, " tokens"]:
    """KL divergence of new predictions from the model's own, given the logarithms of both."""
    pairs = zip(own.split(256), new.split(256), strict=True)
    return torch.cat([(o.exp() * (o - n)).sum(-1) for o, n in pairs]).clamp(min=0)


def spread(
    values: Float[Tensor, "tokens d"], where: Bool[Tensor, "batch seq"]
) -> Float[Tensor, "batch seq d"]:
    """Values at the tokens that are true in `where`, row by row; 0 elsewhere."""
    found = values.new_zeros(*where.shape, values.shape[-1])
    found[where] = values
    return found

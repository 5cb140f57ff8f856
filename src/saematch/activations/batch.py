"""A batch of whole examples with the activations of every SAE on them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from numpy import ndarray

from saematch.activations.table import FeatureActivations
from saematch.errors import SaematchError


@dataclass(frozen=True, eq=False)
class Batch:
    """Activations of several SAEs on the same tokens, and those tokens.

    BOS and padding are left out. Examples are numbered from the start of the whole text, so that
    batches can follow one another.

    Raises:
        SaematchError: the parts differ in their number of tokens or in their examples.
    """

    saes: Mapping[str, FeatureActivations]  # by the SAE's name
    token_id: ndarray  # int32 (tokens,)
    example: ndarray  # int32 (tokens,), ascending
    position: ndarray  # int32 (tokens,): place in its example, where BOS is 0
    massive: int = 0  # tokens with massive activations, which have no active feature

    def __post_init__(self) -> None:
        for name in ("example", "position"):
            shape = getattr(self, name).shape
            if shape != self.token_id.shape:
                raise SaematchError(
                    f"{name} has shape {shape}, token_id {self.token_id.shape}; each token has one"
                )
        for name, found in self.saes.items():
            if len(found.example) != len(self.example) or (found.example != self.example).any():
                raise SaematchError(f"{name} is not of the batch's {len(self.example):,} tokens")

    @property
    def n_tokens(self) -> int:
        return len(self.token_id)

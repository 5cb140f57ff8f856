"""What is known of an SAE before its weights are read."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from saematch.checkpoints.checkpoint import Checkpoint
from saematch.checkpoints.families import identify
from saematch.checkpoints.loading import load, opened
from saematch.sae.sae import SAE, Conventions, Site


@dataclass(frozen=True)
class Outline:
    """The conventions of an SAE, but for notes on its weights; sizes are not known."""

    conventions: Conventions
    d_in: int = 0
    d_out: int = 0

    @property
    def name(self) -> str:
        return self.conventions.name


class _KnownError(Exception):
    """Ends a reader that has told its conventions."""

    def __init__(self, conventions: Conventions) -> None:
        self.conventions = conventions


class _Unread(Checkpoint):
    """A checkpoint whose readers get tensors of the right shapes and no numbers."""

    def read(self, name: str, *shape: int) -> Tensor:
        self.used.add(name)
        return torch.empty(shape, dtype=self.dtype, device=self.device)

    def conventions(self, family: str, stored: str, **values: Any) -> Conventions:
        raise _KnownError(super().conventions(family, stored, **values))


def outline(sae: str | Path | SAE, site: str | Site | None = None) -> Outline:
    """What an SAE is called and where it reads, from its config and the names of its tensors.

    Where a reader of its format needs the weights for that, they are read.

    Args:
        sae: a name, as of `saematch.load`, or an SAE.
        site: as of `saematch.load`.

    Raises:
        CheckpointError: as of `saematch.load`.
    """
    if isinstance(sae, SAE):
        return Outline(sae.conventions)
    checkpoint = opened(_Unread, sae, device="meta", asked=site)
    with suppress(Exception):  # whatever a reader makes of tensors without numbers
        try:
            checkpoint.family, family = identify(checkpoint)
            family.read(checkpoint)
        except _KnownError as known:
            return Outline(known.conventions)
    return Outline(load(sae, site=site).conventions)

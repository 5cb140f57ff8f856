"""The families of checkpoints that can be read, in the order in which they are asked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from saematch.checkpoints.checkpoint import Checkpoint
from saematch.sae.sae import SAE


@dataclass(frozen=True)
class Family:
    """A kind of checkpoint: how it is recognised and how it is read.

    `detect` looks at file names, tensor names and shapes, never at the repository's name.
    """

    name: str
    detect: Callable[[Checkpoint], bool]
    read: Callable[[Checkpoint], SAE]


class Registry:
    """Families by name; the first that recognises a checkpoint reads it."""

    def __init__(self) -> None:
        self._families: dict[str, Family] = {}

    def register(self, family: Family) -> None:
        """Adds a family behind those that are there.

        Raises:
            ValueError: a family of that name is there already.
        """
        if family.name in self._families:
            raise ValueError(f"checkpoint family {family.name!r} is already registered")
        self._families[family.name] = family

    @property
    def names(self) -> list[str]:
        return list(self._families)

    def identify(self, checkpoint: Checkpoint) -> Family:
        """The first family that recognises `checkpoint`.

        Raises:
            CheckpointError: none does.
        """
        for family in self._families.values():
            if family.detect(checkpoint):
                return family
        raise checkpoint.error(
            f"it holds {checkpoint.tensors.describe()}",
            f"the tensors of an SAE in one of the formats {', '.join(self.names)}",
        )

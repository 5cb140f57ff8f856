"""SAEs however they are given: by name or pattern, or in memory, also as another library's."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, overload

import torch

from saematch.checkpoints import expand, load
from saematch.checkpoints.convert import converted
from saematch.checkpoints.loading import check_device
from saematch.checkpoints.locate import locate
from saematch.checkpoints.names import expand_braces
from saematch.errors import SaematchError
from saematch.numerics.held import Held
from saematch.progress import Progress, tracked
from saematch.sae.sae import SAE, Site

# a name or pattern, an SAE, or an SAE object of SAELens or sparsify
Given = str | Path | SAE | Any


class Saes(Sequence[SAE]):
    """SAEs in the order they were given; of those given by name no more than two are in memory.

    Args:
        given: names, patterns, SAEs, or SAE objects of SAELens or sparsify.
        device: where named ones are loaded to and others moved to; `auto`: where the first that is
            in memory lies, else a GPU if there is one, else the CPU.
        site: as of `saematch.load`, for those given by name.
        patterns: whether names may stand for several; a pattern is an error otherwise.

    Raises:
        SaematchError: no such device; a pattern where one name is expected; an object of a class
            that is not known.
        CheckpointError: a named SAE is not there.
    """

    def __init__(
        self,
        given: Given | Sequence[Given],
        device: str | torch.device = "auto",
        site: str | Site | None = None,
        *,
        patterns: bool = True,
    ) -> None:
        every = given if isinstance(given, (list, tuple)) else [given]
        self._given: list[str | SAE] = []
        for some in every:
            if isinstance(some, (str, Path)):
                self._given += expand(some) if patterns else [_single(str(some))]
            else:
                self._given.append(converted(some))
        here = [some.device for some in self._given if isinstance(some, SAE)]
        self.asked_device, self.site = device, site
        self.device = pick_device(device, here[0] if here else None)
        if device != "auto":
            self._given = [s if isinstance(s, str) else s.to(self.device) for s in self._given]
        self._named = Held[str, SAE](lambda name: load(name, device=self.device, site=site))

    def __len__(self) -> int:
        return len(self._given)

    @overload
    def __getitem__(self, place: int) -> SAE: ...
    @overload
    def __getitem__(self, place: slice) -> list[SAE]: ...
    def __getitem__(self, place: int | slice) -> SAE | list[SAE]:
        if isinstance(place, slice):
            return [self[k] for k in range(len(self))[place]]
        given = self._given[place]
        return given if isinstance(given, SAE) else self._named[given]

    @property
    def given(self) -> list[str | SAE]:
        """Names and SAEs, each on its own, as another `Saes` takes them."""
        return list(self._given)

    @property
    def in_memory(self) -> list[SAE]:
        """Those that were not given by name."""
        return [some for some in self._given if isinstance(some, SAE)]

    @property
    def labels(self) -> list[str]:
        """What to call each before it is loaded."""
        return [given if isinstance(given, str) else given.name for given in self._given]

    def check_once(self, error: type[SaematchError] = SaematchError) -> None:
        """Raise where an SAE is given twice, or one that is given by name is not there."""
        for place, given in enumerate(self._given):
            if any(other is given or _same(other, given) for other in self._given[:place]):
                raise error(f"{self.labels[place]} is given twice")
            if isinstance(given, str):
                locate(given)

    def read(self, progress: Progress) -> Iterator[SAE]:
        """Each in turn, told as it is read."""
        places = tracked(
            range(len(self)), progress, "reading", len(self), name=lambda k: self.labels[k]
        )
        for place in places:
            yield self[place]


def pick_device(device: str | torch.device, default: torch.device | None = None) -> torch.device:
    """The device that `auto` stands for, or the one that is named.

    Raises:
        SaematchError: torch has no such device here.
    """
    if device == "auto":
        return default or torch.device("cuda" if torch.cuda.is_available() else "cpu")
    check_device(device)
    return torch.device(device)


def _single(name: str) -> str:
    if expand_braces(name) != [name]:
        raise SaematchError(f"{name}: match takes one SAE on either side, not a pattern")
    return name


def _same(one: str | SAE, other: str | SAE) -> bool:
    return isinstance(one, str) and isinstance(other, str) and one == other

"""Forward passes over the same text that differ from a site on: what comes before runs once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import takewhile
from typing import Any

from torch import nn

from saematch.models.families import FAMILIES
from saematch.models.hook_points import Place, family_of, trunk_of


@contextmanager
def resuming(model: nn.Module, place: Place) -> Iterator[None]:
    """Meanwhile the blocks before a place run in the first pass alone.

    All passes must be of the same tokens, and none may change anything before the place. A model
    of a family that is not known is left as it is: its blocks may hand on more than they return.
    """
    blocks = _before(model, place)
    kept: list[Any] = []

    def first(forward: Any, last: bool) -> Any:
        def once(*args: Any, **kwargs: Any) -> Any:
            # only what the last of them gives is read by what runs
            if kept:
                return kept[0]
            output = forward(*args, **kwargs)
            if last:
                kept.append(output)
            return output

        return once

    try:
        for block in blocks:
            block.forward = first(block.forward, block is blocks[-1])
        yield
    finally:
        for block in blocks:
            block.__dict__.pop("forward", None)


def _before(model: nn.Module, place: Place) -> list[nn.Module]:
    """The blocks whose output nothing at the place, or after it, can change."""
    family = family_of(model)
    if family not in FAMILIES.values():
        return []
    blocks = list(trunk_of(model).get_submodule(family.blocks).children())
    if not any(place.module is part for block in blocks for part in block.modules()):
        return []
    before = list(takewhile(lambda b: all(place.module is not m for m in b.modules()), blocks))
    if place.module is blocks[len(before)] and place.side == "output":
        before.append(place.module)
    return before

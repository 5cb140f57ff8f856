"""Forward passes over the same text that differ only after a hook point: the rest runs once."""

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
    """Within the block, the model's blocks before a place run only in the first pass.

    All passes must read the same tokens, and none may change anything before the place. A model of
    an unknown family runs unchanged, because its blocks may pass on more than they return.
    """
    blocks = _before(model, place)
    kept: list[Any] = []

    def first(forward: Any, last: bool) -> Any:
        def once(*args: Any, **kwargs: Any) -> Any:
            # only the output of the last of them is used
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
    """The blocks whose output cannot be changed by anything at the place or after it."""
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

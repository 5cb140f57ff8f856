"""Attention whose patterns are constants: values flow through them, and nothing changes them.

As in attribution graphs (Ameisen et al., "Circuit Tracing", 2025): who attends to whom is taken as
it is on the prompt, so that effects say what is moved and not why it is looked for.
"""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

from torch import Tensor, nn

from saematch.errors import SaematchError
from saematch.models.hook_points import family_of, trunk_of

EAGER, INTERFACE = "eager_attention_forward", "ALL_ATTENTION_FUNCTIONS"
_PATCHING = threading.RLock()  # what is patched is put back in the reverse order


@contextlib.contextmanager
def frozen_attention(model: nn.Module) -> Iterator[None]:
    """Within the block, gradients of passes of the model do not go through attention's patterns.

    Queries and keys are detached where the model's code hands them to the function that computes
    attention, whichever that is. Values of passes are unchanged. Afterwards everything is as
    before, and other models are not affected meanwhile.

    Raises:
        SaematchError: at the end, where attention of a block of the model took another way.
    """
    blocks = trunk_of(model).get_submodule(family_of(model).blocks)
    own = {id(part) for part in model.modules()}
    frozen: set[int] = set()

    def wrapped(attend: Callable[..., Any]) -> Callable[..., Any]:
        def patterns_kept(
            module: nn.Module, query: Tensor, key: Tensor, *args: Any, **more: Any
        ) -> Any:
            if id(module) in own:
                frozen.add(id(module))
                query, key = query.detach(), key.detach()
            return attend(module, query, key, *args, **more)

        return patterns_kept

    with _PATCHING, contextlib.ExitStack() as patches:
        for code in {sys.modules[type(part).__module__] for part in model.modules()}:
            if hasattr(code, EAGER):
                _put(patches, code, EAGER, wrapped(getattr(code, EAGER)))
            if hasattr(code, INTERFACE):
                _put(patches, code, INTERFACE, _Interface(getattr(code, INTERFACE), wrapped))
        yield
    missed = [
        name
        for name, block in blocks.named_children()
        if not any(id(part) in frozen for part in block.modules())
    ]
    if missed:
        raise SaematchError(
            f"attention cannot be frozen in blocks {', '.join(missed)} of a "
            f"{type(model).__name__}, which compute it in a way of their own: take it as it is "
            'with attention="live" (--attention live)'
        )


class _Interface:
    """transformers' table of attention functions, each wrapped as it is looked up."""

    def __init__(self, table: Any, wrapped: Callable[[Any], Any]) -> None:
        self._table, self._wrapped = table, wrapped

    def __getitem__(self, name: str) -> Any:
        return self._wrapped(self._table[name])

    def get_interface(self, name: str, default: Any) -> Any:
        return self._wrapped(self._table.get_interface(name, default))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._table, name)


def _put(patches: contextlib.ExitStack, code: ModuleType, name: str, new: Any) -> None:
    patches.callback(setattr, code, name, getattr(code, name))
    setattr(code, name, new)

"""Attention by patterns that are taken from the first pass and stay, whatever passes later."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor

from saematch.models.language_model import LanguageModel


@contextmanager
def patterns_kept(model: LanguageModel) -> Iterator[None]:
    """Within the block, each module of attention keeps its first pattern."""
    own: Any = model.model
    codes: set[Any] = {sys.modules[type(part).__module__] for part in own.modules()}
    functions = {
        c: c.eager_attention_forward for c in codes if hasattr(c, "eager_attention_forward")
    }
    before, kept = own.config._attn_implementation, {}

    def instead(function: Any) -> Any:
        def attend(module: Any, query: Tensor, key: Tensor, value: Tensor, *args: Any, **more: Any):
            if module not in kept:
                kept[module] = function(module, query, key, value, *args, **more)[1].detach()
            pattern = kept[module]
            value = value.repeat_interleave(pattern.shape[1] // value.shape[1], 1)
            return (pattern @ value).transpose(1, 2).contiguous(), pattern

        return attend

    try:
        own.set_attn_implementation("eager")
        for code, function in functions.items():
            code.eager_attention_forward = instead(function)
        yield
    finally:
        for code, function in functions.items():
            code.eager_attention_forward = function
        own.set_attn_implementation(before)

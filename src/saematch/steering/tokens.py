"""Which tokens of a pass are steered, whoever runs the model: `model.generate`, or a plain call.

The first token of each text never is. It is BOS, or stands in its place: nearly all attention that
goes nowhere goes there, its hidden state is unlike any other and many times as long, and no SAE
here was trained on it. Padding is not steered either, on whichever side it stands.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Bool
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from saematch.errors import SaematchError


@dataclass(eq=False)
class SteeredTokens:
    """The tokens of the pass that is running which are to be steered.

    With `prompt` all are, but for the first of each text. Without it those from which the model
    predicts a token of its own: the last one of the prompt, and what is generated. Passes are told
    apart by the cache: one that begins without cached tokens reads a prompt (or, where nothing is
    cached at all, what an earlier pass read and more), one that continues reads new tokens. A pass
    that continues and reads several tokens counts as reading a further prompt, so speculative
    decoding needs `prompt`.
    """

    prompt: bool = True
    where: Bool[Tensor, "batch seq"] | None = field(default=None, init=False)
    _begun: Tensor | None = field(default=None, init=False)  # the prompt, where nothing is cached

    def attach(self, trunk: nn.Module) -> RemovableHandle:
        """Look at what the text model is called with, before every pass."""
        signature = inspect.signature(trunk.forward)

        def before(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            self.begin(signature.bind_partial(*args, **kwargs).arguments)

        return trunk.register_forward_pre_hook(before, with_kwargs=True)

    def begin(self, called: Mapping[str, Any]) -> None:
        """Find the tokens of a pass.

        Args:
            called: the arguments of the text model by name, as Hugging Face calls them.
        """
        ids, embeds = called.get("input_ids"), called.get("inputs_embeds")
        read = ids if ids is not None else embeds
        if read is None:
            raise SaematchError("the model was called with neither input_ids nor inputs_embeds")
        cache = called.get("past_key_values")
        past = 0 if cache is None else int(cache.get_seq_length())
        batch, length = read.shape[:2]
        place = past + torch.arange(length, device=read.device)
        seen = _seen(called.get("attention_mask"))
        if seen is None:
            real = torch.ones(batch, length, dtype=torch.bool, device=read.device)
            first = torch.zeros(batch, 1, dtype=torch.int64, device=read.device)
        else:
            seen = seen.to(read.device).expand(batch, -1)
            whole = seen.shape[1] >= past + length
            real = seen[:, past : past + length] if whole else seen[:, -length:]
            first = seen.int().argmax(1, keepdim=True)
        where = real & (place > first)
        if not self.prompt:
            where &= torch.arange(length, device=read.device) >= self._from(ids, past, real)
        self.where = where

    def of(self, value: Tensor, hook: str) -> Bool[Tensor, "batch seq"]:
        """The tokens to steer among those of a hidden state.

        Raises:
            SaematchError: the hidden state is not one of the tokens that the model was called with.
        """
        if self.where is None or self.where.shape != value.shape[:2]:
            known = None if self.where is None else tuple(self.where.shape)
            raise SaematchError(
                f"{hook}: a hidden state of shape {tuple(value.shape)} while the model reads "
                f"tokens of shape {known}: there is no telling which of them to steer"
            )
        return self.where.to(value.device)

    def _from(self, ids: Tensor | None, past: int, real: Tensor) -> Tensor:
        """The first column whose tokens the model predicts from: `(batch, 1)`."""
        length = real.shape[1]
        columns = torch.arange(length, device=real.device)
        last = torch.where(real, columns, -1).amax(1, keepdim=True)
        if past or ids is None:
            return last
        begun = self._begun
        if begun is not None and begun.shape[0] == ids.shape[0] and begun.shape[1] < length:
            read = begun.shape[1]
            if torch.equal(ids[:, :read], begun):
                return torch.full_like(last, read - 1)
        self._begun = ids.clone()
        return last


def _seen(mask: Any) -> Bool[Tensor, "batch keys"] | None:
    """Which tokens can be seen, cached ones first; None where there is no mask.

    Masks come as one number per token; or, prepared for attention, as one per query and key, then
    sometimes by kind of attention.
    """
    if isinstance(mask, Mapping):
        kinds = [one for one in mask.values() if isinstance(one, Tensor)]
        mask = mask.get("full_attention", kinds[0] if kinds else None)
    if not isinstance(mask, Tensor):
        return None
    if mask.dim() == 2:
        return mask != 0
    # what the last query sees: the others see less of what is after them, and nothing more before
    last = mask[:, 0, -1] if mask.dim() == 4 else mask[:, -1]
    return last if last.dtype == torch.bool else last == 0

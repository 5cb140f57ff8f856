"""A model over tokens that follow others: those are read once, whatever is changed afterwards."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from saematch.errors import SaematchError
from saematch.models.language_model import LanguageModel


@dataclass(frozen=True, eq=False)
class Continued(LanguageModel):
    """A model that has read the beginning of each text of a batch, and reads only what follows.

    All of `LanguageModel` works on the tokens that follow, `(batch, seq)`, as it would on them in
    the whole text. Keys and values of the beginning are kept; those of what follows are not, so
    that every pass starts at the same place.
    """

    cache: Any
    before: Bool[Tensor, "batch read"]  # tokens of the beginning; false for padding

    def _inputs(self, ids: Tensor, mask: Tensor | None) -> dict[str, Any]:
        inputs = super()._inputs(ids, mask)
        mask = inputs["attention_mask"]
        length = self.before.sum(1, keepdim=True)
        # of padding too, where any position will do
        position = length + (mask.cumsum(1) - 1).clamp(min=0)
        limit = self.max_tokens
        if limit is not None and int((length[:, 0] + mask.sum(1)).max()) > limit:
            raise SaematchError(f"{self.name} has {limit:,} positions: give shorter examples")
        return {
            "input_ids": inputs["input_ids"],
            "attention_mask": torch.cat([self.before.to(mask), mask], 1),
            "position_ids": position,
            "past_key_values": self.cache,
            "use_cache": True,
        }


def continued(
    model: LanguageModel,
    ids: Int[Tensor, "batch seq"],
    mask: Bool[Tensor, "batch seq"],
    until: str | None = None,
) -> Continued:
    """Read the beginnings of texts, and keep what their continuations attend to.

    Args:
        model: a causal language model.
        ids: token ids of the beginnings, one at least of each, padded on the right.
        mask: true for tokens.
        until: the last hook point that will be looked at; the model's end unless given.

    Raises:
        SaematchError: the model does not predict next tokens.
    """
    if not model.causal:
        raise SaematchError(
            f"{model.name} is no causal language model: what follows changes what came before"
        )
    parts = {field.name: getattr(model, field.name) for field in fields(LanguageModel)}
    started = Continued(**parts, cache=_kept(), before=mask.new_zeros(len(mask), 0))
    # padding comes first, so that nothing lies between what is read and what follows: of some
    # models a token attends only so far back
    ids, mask = _padded_before(ids, mask)
    if until is None:
        started.log_probabilities(ids, _last(mask), mask)
    else:
        started.run(ids, [until], mask)
    started.cache.kept = True
    return Continued(**parts, cache=started.cache, before=mask.to(model.device))


def _padded_before(ids: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    order = mask.int().argsort(dim=1, stable=True)
    return ids.gather(1, order), mask.gather(1, order)


def _last(mask: Tensor) -> Tensor:
    """One column of tokens, so that the head has little to do."""
    one = torch.zeros_like(mask)
    one[:, -1] = True
    return one


def _kept() -> Any:
    from transformers import DynamicCache

    class Kept(DynamicCache):
        """Keys and values that grow no more once they are `kept`."""

        kept = False

        def update(self, key_states: Tensor, value_states: Tensor, layer_idx: int, *more, **other):
            if not self.kept:
                return super().update(key_states, value_states, layer_idx, *more, **other)
            layer: Any = self.layers[layer_idx]
            return (
                torch.cat([layer.keys, key_states], -2),
                torch.cat([layer.values, value_states], -2),
            )

    return Kept()

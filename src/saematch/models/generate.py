"""Text that a language model writes itself: what to read where no other is at hand.

Every token is drawn from the model's own prediction as it is, at temperature 1, from nothing but
BOS: in the long run that is text of every kind that the model was trained on, in the shares in
which it expects them.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy import ndarray
from torch import Tensor

from saematch.errors import SaematchError
from saematch.models.language_model import LanguageModel
from saematch.models.texts import head_of

MOST = 64  # examples side by side: predictions of each take a float per token that there is


@torch.no_grad()
def write(
    model: LanguageModel,
    examples: int,
    length: int = 1024,
    seed: int = 0,
    *,
    batch_tokens: int = 16_384,
    done: Callable[[int], None] | None = None,
) -> list[ndarray]:
    """Token ids (int64) of examples that the model writes, as `tokenise` gives those of texts.

    Special tokens are never drawn: every example is one text of full length. On one machine the
    same arguments give the same examples.

    Args:
        model: a causal one.
        examples: how many.
        length: tokens of each, BOS included; at most as many as the model has positions for.
        seed: of the draws.
        batch_tokens: that are written side by side; other draws for another number.
        done: called with the number of examples written so far.

    Raises:
        SaematchError: a model that predicts no next token; a tokenizer without BOS or EOS to begin
            with; less than one example, or than 2 tokens.
    """
    if not model.causal:
        raise SaematchError(f"{model.name} is no causal language model: it cannot write text")
    if examples < 1 or length < 2:
        raise SaematchError(
            f"examples={examples}, length={length}: a model writes at least one example of 2 tokens"
        )
    length = min(length, model.max_tokens or length)
    head = head_of(model.tokenizer)
    first = head or [model.tokenizer.eos_token_id]
    if first[0] is None:
        raise SaematchError(f"{model.name} has neither BOS nor EOS to begin a text with")
    at_once = max(1, min(MOST, batch_tokens // length))
    random = torch.Generator(model.device).manual_seed(seed)
    written: list[ndarray] = []
    while len(written) < examples:
        begun = torch.tensor([first] * min(at_once, examples - len(written)), device=model.device)
        # what only begins a text where BOS is missing is no part of it
        ids = _written(model, begun, length + 1 - len(head), random)[:, 1 - len(head) :]
        written += list(ids.cpu().numpy().astype(np.int64))
        if done is not None:
            done(len(written))
    return written


def _written(model: LanguageModel, ids: Tensor, length: int, random: torch.Generator) -> Tensor:
    new, cache = ids, None
    while ids.shape[1] < length:
        found = model.model(input_ids=new, past_key_values=cache, use_cache=True)
        cache, logits = found.past_key_values, found.logits[:, -1].float()
        # a model may have more outputs than its tokenizer has tokens
        logits[:, [*model.tokenizer.all_special_ids]] = -torch.inf
        logits[:, len(model.tokenizer) :] = -torch.inf
        new = torch.multinomial(logits.softmax(-1), 1, generator=random)
        ids = torch.cat([ids, new], 1)
    return ids

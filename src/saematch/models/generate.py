"""Generated text: text that a language model samples itself, for when no other is available.

Every token is drawn from the model's own prediction at temperature 1, starting from BOS alone. In
the long run that gives every kind of text that the model was trained on, in the proportions in
which the model expects them.
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

MOST = 64  # examples at a time: each needs a float per token of the vocabulary


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
    """Token ids (int64) of examples that the model generates, like those of `tokenise`.

    Special tokens are never drawn: every example is one text of full length. On one machine the
    same arguments give the same examples.

    Args:
        model: a causal language model.
        examples: how many.
        length: tokens of each, BOS included; at most the number of the model's positions.
        seed: seed of the draws.
        batch_tokens: tokens generated at a time; another number gives other draws.
        done: called with the number of finished examples.

    Raises:
        SaematchError: the model does not predict next tokens; its tokenizer has neither BOS nor
            EOS; fewer than one example or 2 tokens are asked for.
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
        # a token that only stands in for a missing BOS is not part of the text
        ids = _written(model, begun, length + 1 - len(head), random)[:, 1 - len(head) :]
        written += list(ids.cpu().numpy().astype(np.int64))
        if done is not None:
            done(len(written))
    return written


def random_tokens(
    model: LanguageModel, examples: int = 2, length: int = 200, seed: int = 0
) -> list[ndarray]:
    """Token ids (int64) drawn uniformly from the vocabulary, after BOS: the least of texts.

    Args:
        model: any language model.
        examples: how many.
        length: tokens of each, BOS included; at most the number of the model's positions.
        seed: of the draws.
    """
    head = head_of(model.tokenizer)
    usable = np.setdiff1d(np.arange(len(model.tokenizer)), model.tokenizer.all_special_ids)
    length = min(length, model.max_tokens or length)
    random = np.random.default_rng(seed)
    return [
        np.array([*head, *random.choice(usable, length - len(head))], dtype=np.int64)
        for _ in range(examples)
    ]


def _written(model: LanguageModel, ids: Tensor, length: int, random: torch.Generator) -> Tensor:
    new, cache = ids, None
    while ids.shape[1] < length:
        found = model.model(input_ids=new, past_key_values=cache, use_cache=True)
        cache, logits = found.past_key_values, found.logits[:, -1].float()
        # a model can have more outputs than its tokenizer has tokens
        logits[:, [*model.tokenizer.all_special_ids]] = -torch.inf
        logits[:, len(model.tokenizer) :] = -torch.inf
        new = torch.multinomial(logits.softmax(-1), 1, generator=random)
        ids = torch.cat([ids, new], 1)
    return ids

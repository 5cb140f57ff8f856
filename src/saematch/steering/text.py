"""What a model writes after a prompt: many continuations at a time, as a seed has them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from saematch.errors import SaematchError
from saematch.models.language_model import LanguageModel
from saematch.models.texts import head_of

AT_ONCE = 32  # continuations that are written side by side


@dataclass(frozen=True)
class Continuation:
    """What a model wrote after a prompt."""

    prompt: str
    sample: int
    before: tuple[int, ...]  # token ids of the prompt, BOS and the chat's own words included
    ids: tuple[int, ...]  # of what it wrote, without the token that ends it
    text: str


def encoded(model: LanguageModel, prompt: str, chat: bool = False) -> tuple[int, ...]:
    """The token ids of a prompt: BOS and the text, or a user's message in the chat template.

    Raises:
        SaematchError: the model has no tokenizer or chat template, or there is no token to begin
            with.
    """
    tokenizer: Any = model.tokenizer
    if tokenizer is None:
        raise SaematchError(
            f"the tokenizer of {model.name} is not known: give the model by name, or as "
            "saematch.models.LanguageModel(model, tokenizer, name)"
        )
    if chat:
        if tokenizer.chat_template is None:
            raise SaematchError(
                f"{model.name} has no chat template: leave out chat (--chat), and write the prompt "
                "as text to be continued"
            )
        said = [{"role": "user", "content": prompt}]
        return tuple(
            tokenizer.apply_chat_template(said, add_generation_prompt=True, return_dict=False)
        )
    own = tokenizer(prompt, add_special_tokens=False)["input_ids"]
    ids = (*head_of(tokenizer), *own)
    if not ids:
        raise SaematchError("the prompt is empty, and the model has no BOS to begin a text with")
    return ids


@torch.no_grad()
def continuations(
    model: LanguageModel,
    prompts: Sequence[str],
    *,
    tokens: int = 40,
    samples: int = 1,
    temperature: float = 1.0,
    seed: int = 0,
    chat: bool = False,
) -> list[Continuation]:
    """Continuations of each prompt, in order; steered within the block of a `Steering`.

    They are drawn from the model's own predictions, nothing cut off them, and end where the model
    ends its text. The same arguments give the same on one machine.

    Args:
        model: a causal language model with its tokenizer.
        prompts: to be continued.
        tokens: written of each, at most.
        samples: of each prompt; with temperature 0 they would all be the same.
        temperature: of the draws; 0 takes the most probable token each time.
        seed: of the draws.
        chat: each prompt is a user's message, in the model's chat template.

    Raises:
        SaematchError: a number out of range; a prompt that cannot be encoded, or is too long.
    """
    for name, value, least in (("tokens", tokens, 1), ("samples", samples, 1)):
        if value < least:
            raise SaematchError(f"{name}={value}: expected {least} or more")
    if not 0 <= temperature < float("inf"):
        raise SaematchError(f"temperature={temperature}: expected a number from 0 on")
    if not prompts:
        raise SaematchError("no prompt is given (--prompt)")
    if not model.causal:
        raise SaematchError(f"{model.name} is no causal language model: it cannot write text")
    before = [encoded(model, prompt, chat) for prompt in prompts]
    longest = max(map(len, before))
    if model.max_tokens is not None and longest + tokens > model.max_tokens:
        raise SaematchError(
            f"a prompt of {longest:,} tokens and {tokens:,} more are beyond the "
            f"{model.max_tokens:,} positions of {model.name}: ask for fewer (--tokens)"
        )
    asked = [(k, sample) for k in range(len(prompts)) for sample in range(samples)]
    written: list[tuple[int, ...]] = []
    devices = [model.device] if model.device.type == "cuda" else []
    with torch.random.fork_rng(devices):
        torch.manual_seed(seed)
        for start in range(0, len(asked), AT_ONCE):
            some = [before[k] for k, _ in asked[start : start + AT_ONCE]]
            written += _written(model, some, tokens, temperature)
    return [
        Continuation(
            prompts[k],
            sample,
            before[k],
            ids,
            str(model.tokenizer.decode([*ids], skip_special_tokens=True)),
        )
        for (k, sample), ids in zip(asked, written, strict=True)
    ]


def _written(
    model: LanguageModel, prompts: Sequence[tuple[int, ...]], tokens: int, temperature: float
) -> list[tuple[int, ...]]:
    from transformers import GenerationConfig

    ends = _ends(model)
    pad = model.tokenizer.pad_token_id
    pad = next(iter(ends), 0) if pad is None else pad
    longest = max(map(len, prompts))
    # on the left, so that all go on from the same place
    ids = torch.tensor([[pad] * (longest - len(one)) + [*one] for one in prompts])
    mask = torch.tensor([[0] * (longest - len(one)) + [1] * len(one) for one in prompts])
    config = GenerationConfig(
        max_new_tokens=tokens,
        do_sample=temperature > 0,
        temperature=temperature or 1.0,
        top_k=0,
        top_p=1.0,
        repetition_penalty=1.0,
        num_beams=1,
        eos_token_id=sorted(ends) or None,
        pad_token_id=pad,
        use_cache=True,
    )
    found: Any = model.model.generate(  # pyright: ignore[reportCallIssue]
        ids.to(model.device), attention_mask=mask.to(model.device), generation_config=config
    )
    rows = found[:, longest:].tolist()
    return [
        tuple(row[: next((k for k, t in enumerate(row) if t in ends), len(row))]) for row in rows
    ]


def _ends(model: LanguageModel) -> set[int]:
    """The tokens that end a text."""
    config: Any = model.model.generation_config
    known = config.eos_token_id if config is not None else None
    known = [known] if isinstance(known, int) else list(known or ())
    own: Any = model.tokenizer.eos_token_id
    return {*known, *([] if own is None else [own])}

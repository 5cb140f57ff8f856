"""The output score of a feature: whether adding it makes the model say what it writes.

Arad, Mueller and Belinkov, "SAEs Are Good for Steering - If You Select the Right Features" (EMNLP
2025, arXiv 2505.20063): features with a high score are those worth steering, two to three times as
effective as those chosen by what they fire on. Computed as in the code of that paper:

1. M: the 20 tokens that the feature's decoder row promotes most, by the final norm and the head
   alone (its logit lens).
2. The model reads a neutral prompt. At its last token the feature's activation is raised by 10
   times the largest activation that any feature of the SAE has there.
3. The score is the largest probability that a token of M then has as the next one, times
   1 - r / V, where r is the best rank of a token of M (0 for the most probable) and V the size of
   the vocabulary.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from saematch.causal.contributions import contributions, written_at
from saematch.errors import SaematchError
from saematch.models.language_model import LanguageModel
from saematch.models.texts import head_of
from saematch.sae.sae import SAE

PROMPT = "From my experience,"
TOP = 20  # tokens of the logit lens
TIMES = 10.0  # the largest activation at the last token, which the feature is raised by


@dataclass(frozen=True)
class OutputScore:
    """The output score of a feature, and what it is made of."""

    site: str
    feature: int
    score: float
    probability: float  # of the most probable token of M
    rank: int  # of that token, from 0
    tokens: tuple[str, ...]  # M: what the decoder row promotes, the most first


@torch.no_grad()
def output_scores(
    model: LanguageModel,
    saes: Mapping[str, SAE],
    features: Sequence[tuple[str, int]],
    *,
    prompt: str = PROMPT,
    top: int = TOP,
    times: float = TIMES,
) -> list[OutputScore]:
    """The output score of each feature, in the order given.

    Args:
        model: the language model, with its tokenizer.
        saes: by name, those of the features.
        features: names of SAEs, and indices.
        prompt: read before the token that is predicted.
        top: how many tokens of the logit lens count.
        times: how strongly the feature is added, in units of the largest activation there.

    Raises:
        SaematchError: the model does not predict next tokens, or an SAE reads elsewhere than in its
            residual stream, where decoder rows cannot be read as logits.
    """
    if model.tokenizer is None:  # pyright: ignore[reportUnnecessaryComparison]
        raise SaematchError(
            f"output scores need the tokenizer of {model.name}: give the model as "
            "saematch.models.LanguageModel(model, tokenizer, name)"
        )
    own = model.tokenizer(prompt, add_special_tokens=False)["input_ids"]
    ids = torch.tensor([[*head_of(model.tokenizer), *own]])
    where = torch.zeros_like(ids, dtype=torch.bool)
    where[0, -1] = True
    found: list[OutputScore] = []
    for site, feature in features:
        sae = saes[site]
        hook = written_at(sae, site)
        lens = logit_lens(model, sae.W_dec[feature, None], site)[0]
        promoted = lens.topk(min(top, len(lens))).indices
        last = model.run(ids, [hook])[hook][:, -1].to(sae.device)
        # an SAE whose features compete over a batch has here the batch of one prompt
        largest = sae.encode(last).max()
        pushed = contributions(sae, last, torch.tensor([feature]), times * largest[None])

        def push(value: Tensor, _: Mapping[str, Tensor], pushed: Tensor = pushed) -> Tensor:
            new = value.clone()
            new[:, -1] += pushed.to(value)
            return new

        after = model.log_probabilities(ids, where, replace={hook: push})[0]
        chosen = after[promoted].max()
        rank = int((after > chosen).sum())
        probability = float(chosen.exp())
        score = probability * (1 - rank / len(after))
        words = tuple(_word(model, token) for token in promoted.tolist())
        found.append(OutputScore(site, feature, score, probability, rank, words))
    return found


def logit_lens(
    model: LanguageModel, rows: Float[Tensor, "n d"], name: str = ""
) -> Float[Tensor, "n vocabulary"]:
    """What directions of the residual stream would predict, were they its end: log-probabilities.

    The model's own final norm and head read them, whatever it calls those.

    Raises:
        SaematchError: the directions are of another width than the residual stream.
    """
    config: Any = model.model.config
    end = f"blocks.{config.get_text_config().num_hidden_layers - 1}.hook_resid_post"
    ids: Int[Tensor, "n 1"] = torch.zeros(len(rows), 1, dtype=torch.int64)
    width = model.width(end)
    if rows.shape[1] != width:
        raise SaematchError(
            f"{name or 'a feature'} writes {rows.shape[1]} dimensions, and the residual stream of "
            f"{model.name} has {width}: no logits can be read off it, so there is no output score"
        )
    put = {end: lambda value, _: rows[:, None].to(value)}
    return model.log_probabilities(ids, torch.ones_like(ids, dtype=torch.bool), replace=put)


def _word(model: LanguageModel, token: int) -> str:
    return str(model.tokenizer.decode([token]))

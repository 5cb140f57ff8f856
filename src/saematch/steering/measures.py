"""What steering did to a text: does it speak of the theme, and what did that cost?

All of it is read by the plain model: the features of the theme by their SAEs, the probability of
the text, and how often its words repeat.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from numpy import ndarray
from torch import Tensor

from saematch.models.language_model import LanguageModel
from saematch.models.padding import groups, padded
from saematch.sae.sae import SAE
from saematch.steering.text import Continuation

GRAMS = (1, 2, 3)


@dataclass(frozen=True)
class Theme:
    """Features by which a theme is told in a text, and how strongly each fires at most."""

    features: tuple[tuple[str, int], ...]
    largest: tuple[float, ...]  # activations are divided by these


@dataclass(frozen=True)
class TextMeasures:
    """Measures of a text; None where there is no text to measure."""

    activation: float | None  # of the theme, mean over its features and the tokens
    firing: float | None  # share of tokens at which a feature of the theme fires
    loss: float | None  # nats per token, by the plain model
    distinct: tuple[float | None, ...]  # share of n-grams that are different, by `GRAMS`


@torch.no_grad()
def measured(
    model: LanguageModel,
    saes: Mapping[str, SAE],
    theme: Theme,
    texts: Sequence[Continuation],
    batch_tokens: int = 4096,
) -> list[TextMeasures]:
    """Measures of each text, in order; the tokens of prompts are read and do not count.

    Args:
        model: the plain model.
        saes: by name, those of the theme.
        theme: what to look for.
        texts: what was written.
        batch_tokens: read at once, at most.
    """
    whole = [np.array([*text.before, *text.ids]) for text in texts]
    hooks = model.hooks_of({site: saes[site] for site, _ in theme.features})
    found: list[TextMeasures | None] = [None] * len(texts)
    for rows in groups([len(ids) for ids in whole], batch_tokens):
        ids, mask = padded([whole[k] for k in rows])
        losses, values = _read(model, ids, mask, sorted({*hooks.values()}))
        acts: list[ndarray] = []
        for (site, feature), largest in zip(theme.features, theme.largest, strict=True):
            encoded = saes[site].encode(values[hooks[site]].to(saes[site].device))
            acts.append(encoded[..., feature].cpu().double().numpy() / largest)
        active = np.stack(acts)
        for row, k in enumerate(rows):
            start, stop = len(texts[k].before), len(whole[k])
            if start == stop:
                found[k] = TextMeasures(None, None, None, (None,) * len(GRAMS))
                continue
            own = active[:, row, start:stop]
            found[k] = TextMeasures(
                activation=float(own.mean()),
                firing=float((own > 0).any(0).mean()),
                loss=float(losses[row, start - 1 : stop - 1].mean()),
                distinct=tuple(distinct(texts[k].ids, n) for n in GRAMS),
            )
    return [one for one in found if one is not None]


def _read(
    model: LanguageModel, ids: Tensor, mask: Tensor, hooks: Sequence[str]
) -> tuple[ndarray, dict[str, Tensor]]:
    """Losses and the values at hook points, from one pass."""
    values: dict[str, Tensor] = {}

    def keep(value: Tensor, hook: str) -> None:
        values[hook] = value.to(torch.float32, copy=True)

    with ExitStack() as attached:
        for hook in hooks:
            place = model.site(hook)
            attached.callback(place.attach(partial(keep, hook=hook)).remove)
        losses = model.losses(ids, mask)
    return losses.cpu().double().numpy(), values


def distinct(ids: Sequence[int], n: int) -> float | None:
    """The share of a text's n-grams that are different from each other; None where it has none."""
    grams = [tuple(ids[k : k + n]) for k in range(len(ids) - n + 1)]
    return len({*grams}) / len(grams) if grams else None

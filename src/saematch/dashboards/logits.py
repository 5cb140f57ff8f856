"""Which next tokens a feature speaks for, and which against.

Direct logit attribution: what one unit of a feature's activation adds to the logits, by the final
norm and the unembedding alone,

    logits = W_U (gain * row),      less their mean over the vocabulary

where `row` is the decoder row, less its own mean where the norm is a LayerNorm. The norm also
divides by the size of the hidden state, which is another at every token and the same for all
logits of it: it is left out, so that logits of one feature compare with each other, and those of
two only by their order. `carried`: of the row as it arrives at the last layer, by the mean Jacobian
of the layers between. Soft caps on logits, which keep their order, are left out too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from saematch.models.unembedding import Unembedding

SHOWN = 10  # tokens on either side
NUMBERS = 1 << 24  # most logits in memory at once


@dataclass(frozen=True, eq=False)
class Promoted:
    """For each feature the tokens with the largest logits, and those with the smallest."""

    top: Int[Tensor, "n shown"]
    top_logits: Float[Tensor, "n shown"]
    bottom: Int[Tensor, "n shown"]
    bottom_logits: Float[Tensor, "n shown"]


def promoted(unembedding: Unembedding, rows: Float[Tensor, "n d"], shown: int = SHOWN) -> Promoted:
    """The tokens that directions of the residual stream speak for, and those against.

    Args:
        unembedding: of the model.
        rows: the directions.
        shown: how many tokens on either side; fewer where the vocabulary is smaller.
    """
    shown = min(shown, unembedding.vocabulary)
    parts: list[Sequence[Tensor]] = []
    for some in rows.split(max(1, NUMBERS // unembedding.vocabulary)):
        logits = unembedding.logits(some)
        top, bottom = logits.topk(shown), logits.topk(shown, largest=False)
        parts.append((top.indices, top.values, bottom.indices, bottom.values))
    return Promoted(*(torch.cat(part) for part in zip(*parts, strict=True)))

"""A language model in which it is known what causes what, and SAEs that see all of it.

Stream of eight directions. Every word but BOS brings A (direction 0) and C (direction 1), so that
the two are always active together. Block 1 reads A alone: half its square becomes B (direction 2)
at the same token, half of what it was one token before becomes D (direction 3). Block 2 multiplies
B by D into direction 4, which the first word's logit reads twice; the second's reads C.
"""

from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn

from saematch import SAE, Conventions, Site
from saematch.models.language_model import LanguageModel

D, WORDS = 8, 4
AXES = torch.eye(D, dtype=torch.float64)
PROMPT = torch.tensor([0, 1, 1])


class _Block(nn.Module):
    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number

    def forward(self, h: Tensor, mask: Tensor, cache: Any = None) -> Tensor:
        h = h.clone()  # what a block returns is its own
        if self.number == 1:
            read = h if cache is None else cache.update(h[:, None], h[:, None], 0)[0][:, 0]
            before = torch.cat([torch.zeros_like(h[:, :1]), read * mask[..., None]], 1)
            before = before[:, -h.shape[1] - 1 : -1]
            h = h + 0.5 * h[..., :1] ** 2 * AXES[2] + 0.5 * before[..., :1] * AXES[3]
        if self.number == 2:
            h = h + h[..., 2:3] * h[..., 3:4] * AXES[4]
        return h


class _Model(nn.Module):
    """As much of a transformers model as `LanguageModel` needs."""

    def __init__(self) -> None:
        super().__init__()
        self.config = SimpleNamespace(model_type="planted causes", num_hidden_layers=3)
        self.config.get_text_config = lambda: self.config
        self.blocks = nn.ModuleList([_Block(number) for number in range(3)])
        words = torch.zeros(WORDS, D, dtype=torch.float64)
        words[0, 5] = 100.0
        words[1:, 0], words[1:, 1] = 2.0, 3.0
        self.words = nn.Parameter(words)

    def get_output_embeddings(self) -> Tensor:
        return self.words

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor, past_key_values: Any = None, **_: Any
    ) -> SimpleNamespace:
        h = self.words[input_ids]
        for block in self.blocks:
            h = block(h, attention_mask, past_key_values)
        logits = torch.stack([2 * h[..., 4], h[..., 1], 0 * h[..., 0], 0 * h[..., 0]], -1)
        return SimpleNamespace(logits=logits)


def planted_model() -> LanguageModel:
    """The model; its tokenizer is never asked."""
    return LanguageModel(_Model().eval(), None, "planted causes")  # pyright: ignore[reportArgumentType]


def planted_saes() -> dict[str, SAE]:
    """SAEs after the first two blocks: of A and C, and of B, D, A, C in this order.

    B's encoder has a slope and a bias, and its decoder undoes the slope.
    """
    one, other = AXES[[0, 1]], AXES[[2, 3, 0, 1]]
    reads, writes = other.clone(), other.clone()
    reads[0] *= 1.5
    writes[0] *= 0.8
    bias = torch.tensor([-0.5, 0, 0, 0], dtype=torch.float64)
    return {
        "resid_post_0": _sae(0, one, one, torch.zeros(2, dtype=torch.float64)),
        "resid_post_1": _sae(1, reads, writes, bias),
    }


def _sae(layer: int, reads: Tensor, writes: Tensor, bias: Tensor) -> SAE:
    return SAE(
        W_enc=reads.T.contiguous(),
        W_dec=writes,
        b_enc=bias,
        b_dec=torch.zeros(D, dtype=torch.float64),
        conventions=Conventions(
            activation="relu",
            site=Site(f"blocks.{layer}.hook_resid_post", "resid_post", layer),
            source=f"planted/resid_post_{layer}",
        ),
    )

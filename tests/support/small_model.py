"""A small language model with known blocks, where every hidden state can be worked out."""

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from saematch import SAE
from saematch.checkpoints.sites import parse_hook

VOCABULARY, D, BLOCKS = 40, 32, 3
CYCLE = torch.arange(96).roll(7)  # feature i goes to place i - 7: not its own inverse


class SmallModel:
    """Embedding, residual blocks that also look one token back, a readout: as LanguageModel runs.

    With `still`, blocks add nothing, and every residual site holds the same value.
    """

    def __init__(self, still: bool = False, seed: int = 0) -> None:
        g = torch.Generator().manual_seed(seed)
        self.embedding = 2 * torch.randn(VOCABULARY, D, generator=g)
        size = 0.0 if still else 0.15
        self.here = [size * torch.randn(D, D, generator=g) for _ in range(BLOCKS)]
        self.before = [size * torch.randn(D, D, generator=g) for _ in range(BLOCKS)]
        self.readout = 0.3 * torch.randn(D, VOCABULARY, generator=g)
        self.passes = 0

    def run(
        self, ids: Tensor, sites: Sequence[str], mask: Tensor | None = None
    ) -> dict[str, Tensor]:
        return {hook: value for hook, value in self._pass(ids, {})[0].items() if hook in sites}

    def losses(
        self,
        ids: Tensor,
        mask: Tensor | None = None,
        replace: Mapping = {},
        read: Sequence[str] = (),
    ) -> Tensor:
        self.passes += 1
        x = self._pass(ids, replace)[1]
        logits = x @ self.readout
        each = torch.nn.functional.cross_entropy(
            logits[:, :-1].flatten(0, 1), ids[:, 1:].flatten(), reduction="none"
        ).view(ids.shape[0], -1)
        return each if mask is None else each.masked_fill(~mask[:, 1:], torch.nan)

    device = torch.device("cpu")

    def resuming(self, site: str) -> nullcontext[None]:
        return nullcontext()

    def divergence(
        self, ids: Tensor, mask: Tensor | None, site: str, value: Tensor, where: Tensor
    ) -> tuple[Tensor, Tensor]:
        value = value.detach().requires_grad_()
        own = (self._pass(ids, {})[1] @ self.readout)[where].log_softmax(-1)
        with torch.enable_grad():
            put = {site: lambda there, _: there.index_put((where,), value)}
            new = (self._pass(ids, put)[1] @ self.readout)[where].log_softmax(-1)
            far = (own.exp() * (own - new)).sum(-1)
            (slope,) = torch.autograd.grad(far.sum(), value)
        return far.detach(), slope

    def _pass(self, ids: Tensor, replace: Mapping) -> tuple[dict[str, Tensor], Tensor]:
        found: dict[str, Tensor] = {}

        def at(hook: str, x: Tensor) -> Tensor:
            found[hook] = x.clone()
            return replace[hook](x, found) if hook in replace else x

        x = at("blocks.0.hook_resid_pre", self.embedding[ids])
        for layer in range(BLOCKS):
            last = torch.cat([torch.zeros_like(x[:, :1]), x[:, :-1]], 1)
            x = x + torch.tanh(x @ self.here[layer] + last @ self.before[layer])
            x = at(f"blocks.{layer}.hook_resid_post", x)
        return found, x


def examples(n: int = 12, longest: int = 20, seed: int = 0) -> list[np.ndarray]:
    """Token ids of unequal length, BOS (0) first."""
    rng = np.random.default_rng(seed)
    lengths = rng.integers(3, longest, n)
    return [np.concatenate([[0], rng.integers(1, VOCABULARY, length)]) for length in lengths]


def at(sae: SAE, layer: int, kind: str = "resid_post") -> SAE:
    """An SAE moved to a site of the model."""
    site = parse_hook(f"blocks.{layer}.hook_{kind}")
    source = f"planted/{kind}_{layer}"
    return replace(sae, conventions=replace(sae.conventions, site=site, source=source))

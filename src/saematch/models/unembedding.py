"""The way from a model's last hidden state to its logits: the final norm, and the head."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from saematch.errors import SaematchError
from saematch.models.hook_points import family_of, resolve, trunk_of
from saematch.models.language_model import LanguageModel
from saematch.sae.sae import Site

# where what a module gives is added to the residual stream, or is the stream
_STREAM = ("resid_pre", "resid_mid", "resid_post", "attn_out", "mlp_out")
_CHUNK = 1 << 15  # tokens of the vocabulary that are converted to float32 at once


@dataclass(frozen=True, eq=False)
class Unembedding:
    """How a direction of the residual stream changes logits at its end."""

    weight: Float[Tensor, "vocabulary d"]  # in the model's own dtype
    gain: Float[Tensor, " d"]  # of the final norm; float32
    centred: bool  # that norm takes the mean away, as a LayerNorm does
    last: str  # the hook point after the last block

    @property
    def vocabulary(self) -> int:
        return self.weight.shape[0]

    @property
    def d(self) -> int:
        return self.weight.shape[1]

    @torch.no_grad()
    def logits(self, rows: Float[Tensor, "n d"]) -> Float[Tensor, "n vocabulary"]:
        """What each direction adds to the logits, less the mean of that over the vocabulary.

        The final norm's division by the size of the whole hidden state is left out.
        """
        rows = rows.to(self.gain)
        if self.centred:
            rows = rows - rows.mean(-1, keepdim=True)
        rows = rows * self.gain
        found = rows.new_empty(len(rows), self.vocabulary)
        for first in range(0, self.vocabulary, _CHUNK):
            some = self.weight[first : first + _CHUNK].float()
            torch.mm(rows, some.T, out=found[:, first : first + len(some)])
        return found.sub_(found.mean(-1, keepdim=True))


def unembedding(model: LanguageModel) -> Unembedding:
    """The unembedding of a model.

    Raises:
        SaematchError: the model does not predict next tokens, or what stands between its last block
            and its head is no single norm.
    """
    head: Any = model.model.get_output_embeddings()
    if not model.causal or head is None:
        raise SaematchError(f"{model.name} does not predict next tokens: features have no logits")
    weight = head.weight.detach()
    norm = _final_norm(model)
    if isinstance(norm, nn.LayerNorm):
        gain = torch.ones(weight.shape[1]) if norm.weight is None else norm.weight.detach()
    else:
        # the norm of ones gives its gain, whether that is stored as it is or minus one
        gain = norm(torch.ones(1, weight.shape[1]).to(weight))[0].detach()
    gain = gain.float().to(weight.device)
    if gain.shape != weight.shape[1:] or not bool(gain.any()):
        raise SaematchError(
            f"{model.name}: logits cannot be read off its residual stream, by a final norm of type "
            f"{type(norm).__name__} and a head of {weight.shape[1]} dimensions"
        )
    depth = len(trunk_of(model.model).get_submodule(family_of(model.model).blocks))  # pyright: ignore[reportArgumentType]
    last = f"blocks.{depth - 1}.hook_resid_post"
    return Unembedding(weight, gain, isinstance(norm, nn.LayerNorm), last)


def writes_to_stream(model: LanguageModel, site: Site) -> str | None:
    """The hook point at which an SAE of that site writes, if it is the residual stream, or added
    to it; else None.
    """
    hook = site.hook_out or site.hook
    try:
        place = resolve(model.model, hook)
    except SaematchError:
        return None
    if hook == "hook_embed":
        return hook
    for kind in _STREAM if site.layer is not None else ():
        try:
            own = resolve(model.model, f"blocks.{site.layer}.hook_{kind}")
        except SaematchError:
            continue
        if (own.path, own.side) == (place.path, place.side):
            return hook
    return None


def _final_norm(model: LanguageModel) -> nn.Module:
    """The module that the last block's output goes through before the head."""
    trunk = trunk_of(model.model)
    path = family_of(model.model).blocks
    blocks = trunk.get_submodule(path)
    after = [
        module
        for module in trunk.get_submodule(path.rpartition(".")[0]).children()
        if module is not blocks and "norm" in type(module).__name__.lower()
    ]
    if len(after) != 1:
        raise SaematchError(
            f"{model.name}: it is not known how its last hidden state becomes logits; there is no "
            f"single norm beside its blocks ({path})"
        )
    return after[0]

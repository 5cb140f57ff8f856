"""The hook points of each family of models, as data.

The names are those of TransformerLens (after `blocks.LAYER.`), and so is their meaning:

- `hook_resid_pre`, `hook_resid_post`: the residual stream before and after a block. After the last
  block it is the block's output, whereas a library's last hidden state is already normed.
- `hook_resid_mid`: the stream between attention and MLP; models with parallel residuals have none.
- `hook_attn_out`, `hook_mlp_out`: what is added to the stream, hence after the norms that Gemma 2
  and 3 have there; `attn.hook_out` and `mlp.hook_out` are the modules' own outputs, before them.
- `hook_mlp_in`: the input of the MLP's branch, before the norm; `mlp.hook_in`: the input of the MLP
  itself, after it. `ln2.hook_normalized`: between the two, normed but not yet scaled by the norm's
  gain (nor shifted by its bias).
- `attn.hook_z`: the input of attention's output projection, all heads side by side.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Side = Literal["input", "output"]
# stream: its value goes on past the module as well; normalised: the input, normed without gain
Form = Literal["plain", "stream", "normalised"]


@dataclass(frozen=True)
class Tap:
    """A module's input or output; no module: the block itself."""

    module: str
    side: Side
    form: Form = "plain"


@dataclass(frozen=True)
class Family:
    """The blocks of one kind of model and the hook points in each."""

    blocks: str  # the list of blocks inside the trunk
    taps: Mapping[str, Tap]  # by the part of a hook's name after `blocks.LAYER.`
    embedding: Tap | None = None  # in the trunk: embeddings in the scale of the stream
    unused_positions: int = 0  # positions in the configuration that are never used


BLOCK = {"hook_resid_pre": Tap("", "input"), "hook_resid_post": Tap("", "output")}


def _pre_norm(
    attn: str,
    projection: str,
    norm: str,
    mlp: str = "mlp",
    *,
    after_attn: str | None = None,
    after_mlp: str | None = None,
) -> dict[str, Tap]:
    """Blocks that norm the input of each branch, and may norm its output."""
    return {
        **BLOCK,
        "hook_resid_mid": Tap(norm, "input", "stream"),
        "hook_attn_out": Tap(after_attn or attn, "output"),
        "hook_mlp_out": Tap(after_mlp or mlp, "output"),
        "hook_mlp_in": Tap(norm, "input"),
        "ln2.hook_normalized": Tap(norm, "input", "normalised"),
        "attn.hook_z": Tap(f"{attn}.{projection}", "input"),
        "hook_z": Tap(f"{attn}.{projection}", "input"),
        "attn.hook_out": Tap(attn, "output"),
        "mlp.hook_in": Tap(mlp, "input"),
        "mlp.hook_out": Tap(mlp, "output"),
    }


_GPT2 = Family("h", _pre_norm("attn", "c_proj", "ln_2"), embedding=Tap("wte", "output"))
# no positions are added; some versions scale the embeddings outside the embedding's module
_ENTRY = Tap("layers.0", "input")
_LLAMA = Family("layers", _pre_norm("self_attn", "o_proj", "post_attention_layernorm"), _ENTRY)
_NEOX = Family("layers", _pre_norm("attention", "dense", "post_attention_layernorm"), _ENTRY)
_GEMMA = Family(
    "layers",
    _pre_norm(
        "self_attn",
        "o_proj",
        "pre_feedforward_layernorm",
        after_attn="post_attention_layernorm",
        after_mlp="post_feedforward_layernorm",
    ),
    _ENTRY,
)
# BERT norms the stream itself after each branch, so what its blocks pass on is normed.
# TransformerLens' HookedEncoder and bridge differ in what they call resid_mid, attn_out and mlp_in
# there: ask for those by module.
_BERT_TAPS = {
    **BLOCK,
    "hook_mlp_out": Tap("output.dense", "output"),
    "attn.hook_z": Tap("attention.output.dense", "input"),
    "hook_z": Tap("attention.output.dense", "input"),
}
_BERT = Family("encoder.layer", _BERT_TAPS)
_ROBERTA = Family("encoder.layer", _BERT_TAPS, unused_positions=2)

# by the `model_type` of the configuration (of its text part)
FAMILIES: dict[str, Family] = {
    "gpt2": _GPT2,
    "gpt_neox": _NEOX,
    "llama": _LLAMA,
    "mistral": _LLAMA,
    "qwen2": _LLAMA,
    "qwen3": _LLAMA,
    "gemma": _LLAMA,
    "gemma2": _GEMMA,
    "gemma3_text": _GEMMA,
    "bert": _BERT,
    "roberta": _ROBERTA,
}

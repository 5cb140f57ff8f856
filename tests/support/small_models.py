"""Models of every family, small and random, with no weight at a value that hides a mistake."""

from functools import cache

import torch

from saematch.models.language_model import LanguageModel
from saematch.models.opening import prepared

WORDS = 97
LAYERS = 3
WIDTH = 32
_SIZES = {
    "vocab_size": WORDS,
    "hidden_size": WIDTH,
    "intermediate_size": 48,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": 4,
    "max_position_embeddings": 64,
}
# keys and values of fewer heads than queries, and heads that do not add up to the width
_GROUPED = {**_SIZES, "num_key_value_heads": 2, "head_dim": 12}
_GEMMA = {**_GROUPED, "sliding_window": 8, "query_pre_attn_scalar": 12}

CAUSAL = {
    "gpt2": (
        "GPT2",
        {"vocab_size": WORDS, "n_embd": WIDTH, "n_layer": LAYERS, "n_head": 4, "n_positions": 64},
    ),
    "pythia": ("GPTNeoX", _SIZES),
    "neox-in-sequence": ("GPTNeoX", {**_SIZES, "use_parallel_residual": False}),
    "llama": ("Llama", _GROUPED),
    "mistral": ("Mistral", _GROUPED),
    "qwen2": ("Qwen2", {**_SIZES, "num_key_value_heads": 2}),
    "qwen3": ("Qwen3", _GROUPED),
    "gemma": ("Gemma", _GROUPED),
    "gemma2": ("Gemma2", _GEMMA),
    "gemma3": ("Gemma3Text", {**_GEMMA, "architectures": ["Gemma3ForCausalLM"]}),
}
ENCODERS = {"bert": ("Bert", _SIZES)}


@cache
def small(name: str, dtype: torch.dtype = torch.float32) -> LanguageModel:
    """A model by its name above; tests must not change it."""
    import transformers

    kind, sizes = (CAUSAL | ENCODERS)[name]
    config = getattr(transformers, f"{kind}Config")(**sizes)
    maker = transformers.AutoModelForCausalLM if name in CAUSAL else transformers.AutoModel
    with torch.random.fork_rng():
        torch.manual_seed(5)
        model = maker.from_config(config)
        for parameter in model.parameters():
            parameter.data.add_(torch.randn_like(parameter) * 0.1)
    return LanguageModel(prepared(model.to(dtype)), None, name)  # pyright: ignore[reportArgumentType]


def some_ids(batch: int = 2, length: int = 13, seed: int = 0) -> torch.Tensor:
    """Token ids; longer than the window of models that have one."""
    return torch.randint(0, WORDS, (batch, length), generator=torch.Generator().manual_seed(seed))

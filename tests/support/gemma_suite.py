"""A small model of Gemma 2's architecture, and SAEs laid out as Gemma Scope's on the hub."""

import json
from pathlib import Path

import numpy as np
import torch

from checkpoints.hub_cache import GEMMA, MAIN
from support.small_models import LAYERS, WIDTH, WORDS, small

FEATURES = 48
# average L0 of `layer_N/width_16k/canonical` in SAELens' registry
CANONICAL = {0: 105, 1: 102, 2: 141}
OTHER = 40  # a control, of layer 1
VOCABULARY = {"<bos>": 0, "[UNK]": 1} | {f"word{n}": n for n in range(2, WORDS)}


def write_model(folder: Path) -> Path:
    """The model with a tokenizer of whole words."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    small("gemma2").model.save_pretrained(folder)
    inner = Tokenizer(models.WordLevel(VOCABULARY, unk_token="[UNK]"))
    inner.pre_tokenizer = pre_tokenizers.Whitespace()
    fast = PreTrainedTokenizerFast(tokenizer_object=inner, bos_token="<bos>", unk_token="[UNK]")
    fast.save_pretrained(folder)
    return folder


def write_saes(hub: Path) -> None:
    """A cache of the hub with an SAE after every layer, and another of layer 1."""
    root = hub / f"models--{GEMMA.replace('/', '--')}"
    (root / "refs").mkdir(parents=True)
    (root / "refs" / "main").write_text(MAIN)
    for layer in range(LAYERS):
        for l0 in (CANONICAL[layer], *([OTHER] if layer == 1 else [])):
            inner = root / "snapshots" / MAIN / f"layer_{layer}/width_16k/average_l0_{l0}"
            inner.mkdir(parents=True)
            np.savez(inner / "params.npz", **_arrays(10 * layer + l0))


def write_texts(folder: Path, n: int = 12) -> dict[str, str]:
    """Two text sets of sentences that the tokenizer knows, by name."""
    rng = np.random.default_rng(0)
    folder.mkdir(parents=True)
    found = {}
    for name in ("short", "long"):
        length = 14 if name == "short" else 40
        texts = [" ".join(f"word{k}" for k in rng.integers(2, WORDS, length)) for _ in range(n)]
        found[name] = str(folder / f"{name}.jsonl")
        Path(found[name]).write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    return found


def _arrays(seed: int) -> dict[str, np.ndarray]:
    """Features of unit norm; half of them are in every SAE, in another order and turned."""
    random, shared = (torch.Generator().manual_seed(some) for some in (seed, 0))
    rows = torch.randn(FEATURES, WIDTH, generator=random)
    common = torch.randn(FEATURES // 2, WIDTH, generator=shared)
    rows[: FEATURES // 2] = common + 0.2 * rows[: FEATURES // 2]
    rows = rows[torch.randperm(FEATURES, generator=random)]
    rows = (rows / rows.norm(dim=1, keepdim=True)).numpy()
    level = np.full(FEATURES, 1.5, np.float32) + np.arange(FEATURES, dtype=np.float32) / FEATURES
    zero = np.zeros(FEATURES, np.float32), np.zeros(WIDTH, np.float32)
    return {
        "W_enc": rows.T, "W_dec": rows, "b_enc": zero[0], "b_dec": zero[1], "threshold": level,
    }  # fmt: skip

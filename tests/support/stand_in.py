"""A stand-in for the shipped SAEs, small and made on the spot: same folders, same formats."""

import json
from collections.abc import Sequence
from pathlib import Path

import polars as pl
import torch
from safetensors.torch import save_file

from saematch.sae import shipped

WORDS = (
    "river",
    " of",
    "\n",
    "    ",
    " return",
    " Darcy",
    "ing",
    "(",
    " the",
    " 1813",
    "🙂",
    "日本",
)


def write_shipped(root: Path, d_in: int = 16, d_sae: int = 48, contexts: bool = True) -> Path:
    """SAEs of two models, each the one before it turned, shuffled and renewed a little; a seed."""
    _stream(root, shipped.RESIDUAL, d_in, d_sae, contexts)
    _stream(root, shipped.SMOLLM2, d_in, d_sae, contexts)
    return root


def _stream(root: Path, names: Sequence[str], d_in: int, d_sae: int, contexts: bool) -> None:
    generator = torch.Generator().manual_seed(5)

    def random(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator)

    words = torch.arange(d_sae)
    rows = torch.nn.functional.normalize(random(d_sae, d_in), dim=1)
    for full in names:
        model, _, name = full.rpartition("/")
        saes = root / model / "saes"
        order = torch.randperm(d_sae, generator=generator)
        # from feature to feature between a copy and a stranger
        noise = torch.linspace(0, 1.5, d_sae)[:, None] / d_in**0.5
        rows = (rows + noise * random(d_sae, d_in))[order]
        rows, words = torch.nn.functional.normalize(rows, dim=1), words[order]
        _write(saes / name, rows, words, random, contexts)
        if full == "resid_post_3":
            order = torch.randperm(d_sae, generator=generator)
            near = torch.nn.functional.normalize(rows + 0.1 * random(d_sae, d_in), dim=1)
            _write(saes / f"{name}_seed2", near[order], words[order], random, contexts)


def _write(folder: Path, rows, words, random, contexts: bool) -> None:
    folder.mkdir(parents=True)
    d_sae, d_in = rows.shape
    save_file(
        {
            "W_enc": (rows * 1.3 + 0.05 * random(d_sae, d_in)).T.contiguous(),
            "W_dec": rows.contiguous(),
            "b_enc": 0.1 * random(d_sae),
            "b_dec": random(d_in),
            "threshold": random(d_sae).abs() * 0.2 + 0.5,
        },
        str(folder / "sae_weights.safetensors"),
    )
    kind, layer = folder.name.removesuffix("_seed2").rsplit("_", 1)
    config = {
        "architecture": "jumprelu",
        "d_in": d_in,
        "d_sae": d_sae,
        "apply_b_dec_to_input": False,
        "normalize_activations": "none",
        "metadata": {"hook_name": f"blocks.{layer}.hook_{kind}", "model_name": "toy"},
    }
    (folder / "cfg.json").write_text(json.dumps(config))
    if contexts:
        sidecar(words.tolist()).write_parquet(folder / "features.parquet")


def sidecar(words: list[int]) -> pl.DataFrame:
    """A table of features, of which number i fires on the i-th of `WORDS`."""
    rows = [
        {
            "feature": i,
            "frequency": 0.001 * (word + 1),
            "mean_activation": 2.0,
            "max_activation": 9.0,
            "contexts": [
                {
                    "before": f"[bold]line {word}\n    before no. {n}, rather long, was\tcut",
                    "token": WORDS[word % len(WORDS)],
                    "after": " and then\r\n  what follows\x1b[31m goes on for quite some time yet",
                    "activation": 9.0 - n,
                    "source": "austen",
                }
                for n in range(4)
            ],
        }
        for i, word in enumerate(words)
    ]
    kinds = {"frequency": pl.Float32, "mean_activation": pl.Float32, "max_activation": pl.Float32}
    return pl.DataFrame(rows, schema_overrides=kinds)

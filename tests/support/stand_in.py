"""A stand-in for the shipped SAEs, small and made on the spot: same folders, same formats."""

import json
from pathlib import Path

import polars as pl
import torch
from safetensors.torch import save_file

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
    """Seven residual SAEs, each the one before it turned, shuffled and renewed a little; a seed."""
    generator = torch.Generator().manual_seed(5)

    def random(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator)

    names = ["resid_pre_0", *(f"resid_post_{layer}" for layer in range(6))]
    words = torch.arange(d_sae)
    rows = torch.nn.functional.normalize(random(d_sae, d_in), dim=1)
    for place, name in enumerate(names):
        order = torch.randperm(d_sae, generator=generator)
        # from feature to feature between a copy and a stranger
        noise = torch.linspace(0, 1.5, d_sae)[:, None] / d_in**0.5
        rows = (rows + noise * random(d_sae, d_in))[order]
        rows, words = torch.nn.functional.normalize(rows, dim=1), words[order]
        _write(root / "saes" / name, rows, words, random, max(0, place - 1), contexts)
        if name == "resid_post_3":
            order = torch.randperm(d_sae, generator=generator)
            near = torch.nn.functional.normalize(rows + 0.1 * random(d_sae, d_in), dim=1)
            _write(root / "saes" / f"{name}_seed2", near[order], words[order], random, 3, contexts)
    return root


def _write(folder: Path, rows, words, random, layer: int, contexts: bool) -> None:
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
    hook = "hook_resid_pre" if "pre" in folder.name else "hook_resid_post"
    config = {
        "architecture": "jumprelu",
        "d_in": d_in,
        "d_sae": d_sae,
        "apply_b_dec_to_input": False,
        "normalize_activations": "none",
        "metadata": {"hook_name": f"blocks.{layer}.{hook}", "model_name": "toy"},
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

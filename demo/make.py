"""Make the small language model and the SAEs that ship with saematch, from text to package folder.

    python -m demo.make --work FOLDER --debian FOLDER --device cpu

Stages are kept in `--work` and not made again; remove what is to be remade. On two CPU cores the
whole takes about two hours with the settings given here; with a GPU raise `--model-tokens` to 100M
and `--sae-tokens` to 20M.
"""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from transformers import PreTrainedTokenizerFast

from demo.card import write_card
from demo.corpus import make_corpus
from demo.describe import FIGURES, describe, described, draw, load_saes, measure, write_features
from demo.excerpts import write_texts
from demo.licences import write_licences
from demo.model import (
    CONTEXT,
    KINDS,
    bigram_loss,
    held_out_loss,
    make_tokenizer,
    make_windows,
    train_model,
)
from demo.trainee import Plan, save_sae
from demo.training import train_saes, windows
from saematch.models import open_model

MODEL_NAME = "saematch/demo-gpt2-6l"
PACKAGE = Path(__file__).parent.parent / "src" / "saematch" / "data"
D_MODEL = 128
PER_KIND = 1400  # windows in which top contexts are looked for


def plans() -> list[Plan]:
    """Seven residual sites with a seed each; variants at layer 3; module outputs at 2 and 3."""
    wide = 12 * D_MODEL
    found = [Plan("resid_pre_0", "blocks.0.hook_resid_pre", wide, 16, seed=100)]
    for layer in range(6):
        hook = f"blocks.{layer}.hook_resid_post"
        found.append(Plan(f"resid_post_{layer}", hook, wide, 24 if layer else 20, 101 + layer))
    middle = "blocks.3.hook_resid_post"
    found += [
        Plan("resid_post_3_seed2", middle, wide, 24, seed=203),
        Plan("resid_post_3_wide", middle, 2 * wide, 24, seed=303),
        Plan("resid_post_3_topk", middle, wide, 24, seed=403, activation="topk"),
    ]
    for layer in (2, 3):
        for kind, l0, seed in (("mlp_out", 24, 500), ("attn_out", 14, 600)):
            hook = f"blocks.{layer}.hook_{kind}"
            found.append(Plan(f"{kind}_{layer}", hook, 8 * D_MODEL, l0, seed + layer))
    return found


def main() -> None:
    options = _options()
    work, device = options.work, torch.device(options.device)
    if not (work / "corpus").exists():
        make_corpus(work / "corpus", options.debian)
    if not (work / "model" / "tokenizer.json").exists():
        make_tokenizer(work / "corpus", work / "model")
    tokenizer = PreTrainedTokenizerFast.from_pretrained(work / "model")
    train, held_out = _windows(work, tokenizer)
    if not (work / "model" / "model.safetensors").exists():
        model = train_model(
            train, device, d_model=D_MODEL, tokens=options.model_tokens,
            minutes=options.model_minutes,
        )  # fmt: skip
        model.save_pretrained(work / "model")
    make_saes(work, device, options.sae_tokens, plans())
    package(work, options.package, train, held_out, device)
    write_licences(options.debian, options.package / "texts" / "LICENSES.txt")


def make_saes(work: Path, device: torch.device, tokens: int, wanted: list[Plan]) -> None:
    """Train the SAEs that `work` does not have yet, all in one pass."""
    missing = [p for p in wanted if not (work / "saes" / p.name / "cfg.json").exists()]
    if not missing:
        return
    model, state = open_model(str(work / "model"), device, torch.bfloat16), work / "training.pt"
    specs = [str(work / "corpus" / f"{kind}.train.jsonl") for kind in KINDS]
    rows = windows(model, specs, CONTEXT, seed=1)
    trained = train_saes(model, rows, missing, tokens=tokens, learning_rate=2e-3, state=state)
    for name, trainee in trained.items():
        save_sae(trainee, work / "saes" / name, MODEL_NAME, CONTEXT)
    state.unlink(missing_ok=True)


def package(
    work: Path,
    folder: Path,
    train: dict[str, np.ndarray],
    held_out: dict[str, np.ndarray],
    device: torch.device,
) -> None:
    """Everything that ships, into `folder`: model, SAEs with their features, texts, model card."""
    _copy_model(work / "model", folder / "model")
    shutil.copytree(work / "saes", folder / "saes", dirs_exist_ok=True)
    model = open_model(str(folder / "model"), device, torch.float32)
    saes = load_saes(folder / "saes", device)
    specs = [str(work / "corpus" / f"{kind}.train.jsonl") for kind in KINDS]
    read = draw(model, specs, PER_KIND, CONTEXT, seed=7)
    write_features(folder / "saes", describe(model, saes, read))
    some = {k: torch.from_numpy(rows[:64].astype(np.int64)) for k, rows in held_out.items()}
    own, found = measure(model, saes, some)
    seeds = [saes[n].W_dec / saes[n].W_dec.norm(dim=1, keepdim=True)
             for n in ("resid_post_3", "resid_post_3_seed2")]  # fmt: skip
    report = {
        "losses": {
            kind: {
                "model": held_out_loss(model.model, rows[:400]),
                "bigram": bigram_loss(train, rows[:400]),
            }
            for kind, rows in held_out.items()
        },
        "described": sum(len(rows) for rows in read.values()) * (CONTEXT - 1),
        "seed_stability": float((seeds[0] @ seeds[1].T).amax(1).median()),
        "saes": {n: described(folder / "saes" / n, saes[n]) | found[n] for n in saes},
    }
    print("losses", report["losses"], "on fewer windows", own, flush=True)
    write_texts(work / "corpus", folder / "texts")
    (folder / FIGURES).write_text(json.dumps(report, indent=1) + "\n")
    lines = [f"| {k} | {v['model']:.3f} | {v['bigram']:.3f} |" for k, v in report["losses"].items()]
    write_card(
        "toy",
        folder,
        report,
        d_model=D_MODEL,
        parameters=model.model.num_parameters() / 1e6,
        loss_table="\n".join(["| text | model | bigram |", "|---|---|---|", *lines]),
    )


def _copy_model(source: Path, folder: Path) -> None:
    """Copy with matrices in float16; transformers reads them back into float32 when asked to."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in (
        "config.json",
        "generation_config.json",
        "tokenizer.json",
        "tokenizer_config.json",
    ):
        if (source / name).exists():
            shutil.copy(source / name, folder / name)
    weights = load_file(source / "model.safetensors")
    half = {name: v.half() if v.ndim == 2 else v for name, v in weights.items()}
    save_file(half, folder / "model.safetensors", metadata={"format": "pt"})


def _windows(work: Path, tokenizer) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    file = work / "windows.npz"
    if not file.exists():
        parts = {
            f"{kind}_{part}": rows
            for part in ("train", "held_out")
            for kind, rows in make_windows(work / "corpus", tokenizer, part).items()
        }
        np.savez(file, **parts)  # pyright: ignore[reportArgumentType]
    with np.load(file) as stored:
        train, held_out = (
            {kind: stored[f"{kind}_{part}"] for kind in KINDS} for part in ("train", "held_out")
        )
    return train, held_out


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--work", type=Path, required=True, help="folder for what is made")
    parser.add_argument("--debian", type=Path, help="folder with the unpacked Debian packages")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--model-tokens", type=int, default=40_000_000)
    parser.add_argument("--model-minutes", type=float, help="stop training the model after this")
    parser.add_argument("--sae-tokens", type=int, default=8_000_000)
    parser.add_argument("--package", type=Path, default=PACKAGE, help="where what ships goes")
    return parser.parse_args()


if __name__ == "__main__":
    main()

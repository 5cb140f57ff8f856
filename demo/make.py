"""Make the language model and the SAEs that ship with saematch, from text to package folder.

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
from transformers import GPT2LMHeadModel, PreTrainedTokenizerFast

import saematch
from demo.card import write_card
from demo.corpus import make_corpus
from demo.describe import describe_features, figures, mixed, write_texts
from demo.licences import write_licences
from demo.model import (
    KINDS,
    bigram_loss,
    held_out_loss,
    make_tokenizer,
    make_windows,
    train_model,
)
from demo.saes import plans, save_frequency, save_sae, train_saes

MODEL_NAME = "saematch/demo-gpt2-6l"
PACKAGE = Path(__file__).parent.parent / "src" / "saematch" / "data"


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
            train, device, d_model=128, tokens=options.model_tokens, minutes=options.model_minutes
        )
        model.save_pretrained(work / "model")
    model = GPT2LMHeadModel.from_pretrained(work / "model").eval()
    model.to(device)  # pyright: ignore[reportArgumentType]

    which = [p for p in plans() if not (work / "saes" / p.name / "cfg.json").exists()]
    if options.only:
        which = [p for p in which if p.name in options.only]
    if which:
        trained = train_saes(
            model,
            train,
            which,
            tokens=options.sae_tokens,
            minutes=options.sae_minutes,
            start_from=options.start_from,
        )
        for name, trainee in trained.items():
            save_sae(trainee, work / "saes" / name, MODEL_NAME)
    if not options.only:
        package(work, options.package, tokenizer, train, held_out, device)
        write_licences(options.debian, options.package / "texts" / "LICENSES.txt")


def package(work, folder, tokenizer, train, held_out, device) -> None:
    """Everything that ships, into `folder`: model, SAEs with their features, texts, model card."""
    _copy_model(work / "model", folder / "model")
    model = GPT2LMHeadModel.from_pretrained(folder / "model", dtype=torch.float32).eval()
    model.to(device)  # pyright: ignore[reportArgumentType]
    saes = {}
    for plan in plans():
        shutil.copytree(work / "saes" / plan.name, folder / "saes" / plan.name, dirs_exist_ok=True)
        saes[plan.name] = saematch.load(folder / "saes" / plan.name, device=device)
    ids, kinds = mixed(train, per_kind=1400, seed=7)
    frames = describe_features(model, tokenizer, saes, ids, kinds)
    found = {}
    for name, frame in frames.items():
        frame.write_parquet(
            folder / "saes" / name / "features.parquet", compression="zstd", compression_level=19
        )
        save_frequency(frame["frequency"].to_torch(), folder / "saes" / name)
        saes[name] = saematch.load(folder / "saes" / name, device=device)
        dead = (frame["frequency"] == 0).sum() / frame.height
        found[name] = figures(model, saes[name], held_out) | {"dead": dead}
        print(name, {k: round(v, 4) for k, v in found[name].items()}, flush=True)
    losses = {
        kind: {
            "model": held_out_loss(model, held_out[kind][:400]),
            "bigram": bigram_loss(train, held_out[kind][:400]),
        }
        for kind in KINDS
    }
    seeds = [saes[n].W_dec / saes[n].W_dec.norm(dim=1, keepdim=True)
             for n in ("resid_post_3", "resid_post_3_seed2")]  # fmt: skip
    stability = float((seeds[0] @ seeds[1].T).amax(1).median())
    print("losses", losses, "seed stability", stability, flush=True)
    write_texts(work / "corpus", folder / "texts")
    report = {"losses": losses, "seed_stability": stability, "saes": found}
    (folder / "figures.json").write_text(json.dumps(report, indent=1) + "\n")
    tokens = len(ids) * (ids.shape[1] - 1)
    write_card(folder, report, saes, described=tokens, parameters=model.num_parameters())


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
    parser.add_argument("--sae-minutes", type=float, help="stop training the SAEs after this")
    parser.add_argument("--start-from", type=Path, help="folder of SAEs to go on training from")
    parser.add_argument("--package", type=Path, default=PACKAGE, help="where what ships goes")
    parser.add_argument("--only", nargs="*", help="train only these SAEs, and do not package")
    return parser.parse_args()


if __name__ == "__main__":
    main()

"""What SAEs fire on, and how good they are: `python -m demo.describe FOLDER MODEL ...`.

Two kinds of tokens are left out of every number and every context, as they are of training: the
first of each window (BOS), and those of massive activations, whose norm at the SAE's site is more
than four times the median. Where a reconstruction is spliced in, they keep their own values.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated

import numpy as np
import polars as pl
import torch
import typer
from torch import Tensor

import saematch
from demo.card import table
from demo.trainee import MASSIVE, save_frequency
from saematch import SAE
from saematch.models import LanguageModel, open_model, open_texts, tokenise
from saematch.models.texts import head_of
from saematch.models.token_text import Pieces
from saematch.sae.contexts import FILE
from saematch.workflows.saes import pick_device

CONTEXTS = 10
BEFORE, AFTER = 12, 6  # tokens shown around the active one
NEAR = 5  # contexts with the same last tokens count as one
SPARE = 4  # how many more places than contexts are kept, because some are duplicates
AT_ONCE = 16  # windows in one forward pass
FIGURES = "figures.json"
_CONTEXT = {
    "before": pl.String,
    "token": pl.String,
    "after": pl.String,
    "activation": pl.Float32,
    "source": pl.String,
}


def kind_of(spec: str) -> str:
    """`prose` for `corpus/prose.train.jsonl` and for `saematch:prose`."""
    return Path(spec.rpartition(":")[2]).name.split(".")[0]


def draw(
    model: LanguageModel, specs: list[str], count: int, length: int, seed: int
) -> dict[str, Tensor]:
    """Per text, up to `count` whole windows `(count, length)` of it, drawn at random, BOS first."""
    found = {}
    for spec in specs:
        texts = open_texts(spec, n=count, seed=seed).texts
        every = tokenise(texts, model.tokenizer, length, model.max_tokens, long="split")
        rows = np.stack([ids for ids in every if len(ids) == length])
        chosen = np.random.default_rng(seed).permutation(len(rows))[:count]
        found[kind_of(spec)] = torch.from_numpy(rows[chosen])
    return found


@torch.no_grad()
def describe(
    model: LanguageModel, saes: Mapping[str, SAE], texts: Mapping[str, Tensor]
) -> dict[str, pl.DataFrame]:
    """Per SAE and feature: frequency, mean and maximum activation, and top contexts.

    A context is the place in a window where the feature is strongest; the ten strongest windows
    are kept whose text there differs. The columns are those of `saematch.sae.contexts`.
    """
    ids = torch.cat(list(texts.values()))
    kinds = [kind for kind, rows in texts.items() for _ in rows]
    kept = {name: _Kept(sae) for name, sae in saes.items()}
    for first, found in _passes(model, saes, ids):
        for name, sae in saes.items():
            kept[name].add(sae, *found[str(sae.conventions.site)], first)
    pieces = Pieces(model.tokenizer)
    head = _head(model)
    words = [[*[""] * head, *pieces(row[head:])] for row in ids.tolist()]
    return {name: some.frame(ids.numpy(), words, kinds, head) for name, some in kept.items()}


class _Kept:
    """The sums over tokens and the strongest windows of each feature of one SAE."""

    def __init__(self, sae: SAE) -> None:
        self.tokens = 0
        self.count, self.total = torch.zeros(2, sae.d_sae, dtype=torch.float64)
        self.value = torch.zeros(SPARE * CONTEXTS, sae.d_sae)
        self.window, self.place = torch.full((2, *self.value.shape), -1)

    def add(self, sae: SAE, x: Tensor, usual: Tensor, first: int) -> None:
        f = sae.encode(x) * usual.unsqueeze(-1)
        self.tokens += int(usual.sum())
        self.count += (f > 0).sum((0, 1)).cpu()
        self.total += f.sum((0, 1)).cpu()
        peak = f.max(1)
        value = torch.cat([self.value, peak.values.cpu()])
        window = torch.arange(first, first + len(x))[:, None].expand(-1, sae.d_sae)
        best = value.topk(len(self.value), dim=0)
        self.value = best.values
        self.window = torch.cat([self.window, window]).gather(0, best.indices)
        self.place = torch.cat([self.place, peak.indices.cpu()]).gather(0, best.indices)

    def frame(
        self, ids: np.ndarray, words: list[list[str]], kinds: list[str], head: int
    ) -> pl.DataFrame:
        contexts = [
            self._contexts(feature, ids, words, kinds, head)
            for feature in range(self.value.shape[1])
        ]
        return pl.DataFrame(
            {
                "feature": np.arange(len(contexts)),
                "frequency": (self.count / self.tokens).float().numpy(),
                "mean_activation": (self.total / self.count.clamp(min=1)).float().numpy(),
                "max_activation": self.value[0].numpy(),
                "contexts": pl.Series(contexts, dtype=pl.List(pl.Struct(_CONTEXT))),
            }
        )

    def _contexts(self, feature, ids, words, kinds, head) -> list[dict]:
        kept, seen = [], set()
        best = (self.value, self.window, self.place)
        for value, window, place in zip(*(b[:, feature].tolist() for b in best), strict=True):
            at = head + place
            near = tuple(ids[window, max(head, at + 1 - NEAR) : at + 1])
            if value <= 0 or near in seen:
                continue
            seen.add(near)
            text = words[window]
            before, after = "".join(text[max(head, at - BEFORE) : at]), text[at + 1 :][:AFTER]
            values = (before, text[at], "".join(after), value, kinds[window])
            kept.append(dict(zip(_CONTEXT, values, strict=True)))
            if len(kept) == CONTEXTS:
                break
        return kept


@torch.no_grad()
def measure(
    model: LanguageModel, saes: Mapping[str, SAE], texts: Mapping[str, Tensor]
) -> tuple[dict[str, float], dict[str, dict[str, float]]]:
    """The model's own loss per kind of text, and per SAE what it explains and what it costs.

    Variance explained is one minus the sum over tokens and dimensions of the squared error, over
    that of the squared distance from the mean. Delta-loss, per kind, is the model's loss with the
    reconstruction spliced in, less its own, in nats per token.
    """
    ids = torch.cat(list(texts.values()))
    sums = {
        name: dict.fromkeys(("tokens", "massive", "error", "square", "l0"), 0.0) for name in saes
    }
    mean = {name: torch.zeros(sae.d_in, dtype=torch.float64) for name, sae in saes.items()}
    for _, found in _passes(model, saes, ids):
        for name, sae in saes.items():
            x, usual = found[str(sae.conventions.site)]
            sums[name]["massive"] += int((~usual).sum())
            x = x[usual]
            f = sae.encode(x)
            sums[name]["tokens"] += len(x)
            sums[name]["error"] += (sae.decode(f) - x).pow(2).sum().item()
            sums[name]["square"] += x.double().pow(2).sum().item()
            sums[name]["l0"] += (f > 0).sum().item()
            mean[name] += x.double().sum(0).cpu()
    figures = {}
    for name, s in sums.items():
        variance = s["square"] - mean[name].pow(2).sum().item() / s["tokens"]
        figures[name] = {
            "variance_explained": 1 - s["error"] / variance,
            "l0": s["l0"] / s["tokens"],
            "tokens": int(s["tokens"]),
            "massive": int(s["massive"]),
        }
    own = {}
    for kind, rows in texts.items():
        own[kind] = _loss(model, rows)
        for name, sae in saes.items():
            figures[name][f"delta_loss_{kind}"] = _loss(model, rows, sae) - own[kind]
    return own, figures


def _loss(model: LanguageModel, ids: Tensor, sae: SAE | None = None) -> float:
    head, replace = _head(model), {}
    if sae is not None:

        def splice(x: Tensor, _: Mapping[str, Tensor]) -> Tensor:
            body = x[:, head:]
            new = torch.where(_usual(body).unsqueeze(-1), sae.reconstruct(body), body)
            return torch.cat([x[:, :head], new], dim=1)

        replace[str(sae.conventions.site)] = splice
    total = sum(model.losses(part, replace=replace).sum().item() for part in ids.split(AT_ONCE))
    return total / (len(ids) * (ids.shape[1] - 1))


def _passes(
    model: LanguageModel, saes: Mapping[str, SAE], ids: Tensor
) -> Iterator[tuple[int, dict[str, tuple[Tensor, Tensor]]]]:
    """By hook, activations `(batch, seq, d)` without BOS, and which tokens are no massive ones."""
    hooks, head = sorted({str(sae.conventions.site) for sae in saes.values()}), _head(model)
    for first in range(0, len(ids), AT_ONCE):
        found = model.run(ids[first : first + AT_ONCE], hooks)
        body = {hook: value[:, head:] for hook, value in found.items()}
        yield first, {hook: (x, _usual(x)) for hook, x in body.items()}


def _usual(x: Tensor) -> Tensor:
    norm = x.norm(dim=-1)
    return norm <= MASSIVE * norm.median()


def _head(model: LanguageModel) -> int:
    return len(head_of(model.tokenizer)) or 1


def write_features(folder: Path, frames: Mapping[str, pl.DataFrame]) -> None:
    """Write `features.parquet` and `sparsity.safetensors` beside the weights of each SAE."""
    for name, frame in frames.items():
        frame.write_parquet(folder / name / FILE, compression="zstd", compression_level=19)
        save_frequency(frame["frequency"].to_torch(), folder / name)


def load_saes(folder: Path, device: torch.device | str = "cpu") -> dict[str, SAE]:
    """Every SAE in a folder of folders, layer by layer."""
    found = {
        file.parent.name: saematch.load(file.parent, device=device)
        for file in sorted(folder.glob("*/cfg.json"))
    }
    if not found:
        raise typer.BadParameter(f"no SAE in {folder}")

    def place(name: str) -> tuple[str, int, str]:
        site = found[name].conventions.site
        assert site is not None
        return site.kind, -1 if site.layer is None else site.layer, name

    return {name: found[name] for name in sorted(found, key=place)}


def main(
    folder: Annotated[Path, typer.Argument(help="Folder of SAEs, as demo.train writes them.")],
    model: Annotated[str, typer.Argument(help="Their model: its name on the hub, or its folder.")],
    texts: Annotated[list[str], typer.Option(help="For features and contexts; repeatable.")],
    held_out: Annotated[list[str], typer.Option(help="For the figures; repeatable.")],
    windows: Annotated[int, typer.Option(help="Windows of each of the texts.")] = 400,
    measured: Annotated[int, typer.Option(help="Windows of each of the held-out texts.")] = 48,
    context: Annotated[int, typer.Option(help="Tokens in a window, BOS included.")] = 256,
    dtype: Annotated[
        str, typer.Option(help="The model's for the figures; for features always bfloat16.")
    ] = "float32",
    device: Annotated[str, typer.Option(help="cpu, cuda, or auto.")] = "auto",
) -> None:
    """Write what each SAE's features fire on beside it, and figures of all into figures.json.

    Prints the figures as a table. SAEs that have both are left as they are.
    """
    where = pick_device(device)
    saes = load_saes(folder, where)
    file = folder / FIGURES
    report = json.loads(file.read_text()) if file.exists() else {"saes": {}}
    new = {n: sae for n, sae in saes.items() if not (folder / n / FILE).exists()}
    if new:
        read = open_model(model, where, torch.bfloat16)
        some = draw(read, texts, windows, context, seed=7)
        write_features(folder, describe(read, new, some))
        report["described"] = sum(len(rows) for rows in some.values()) * (context - 1)
    new = {n: sae for n, sae in saes.items() if n not in report["saes"]}
    if new:
        read = open_model(model, where, getattr(torch, dtype))
        losses, found = measure(read, new, draw(read, held_out, measured, context, seed=8))
        report |= {"losses": losses, "dtype": dtype}
        for name, sae in new.items():
            report["saes"][name] = described(folder / name, sae) | found[name]
    file.write_text(json.dumps(report, indent=1) + "\n")
    typer.echo(table(report))


def described(folder: Path, sae: SAE) -> dict:
    """What is known of an SAE without running it: its files say it."""
    config = json.loads((folder / "cfg.json").read_text())
    frequency = pl.read_parquet(folder / FILE, columns=["frequency"])["frequency"]
    found: dict = {
        "hook": str(sae.conventions.site),
        "features": sae.d_sae,
        "activation": config["architecture"] + (f" k={config['k']}" if "k" in config else ""),
        "seed": config["metadata"]["seed"],
        "dead": (frequency == 0).mean(),
    }
    if sae.threshold is not None:
        found["threshold"] = [float(sae.threshold.quantile(q)) for q in (0.05, 0.5, 0.95)]
    if (folder / "training.json").exists():
        trained = json.loads((folder / "training.json").read_text())
        found |= {f"trained_{name}": trained[name] for name in ("tokens", "massive")}
    return found


if __name__ == "__main__":
    typer.run(main)

"""What ships beside the weights: features with their contexts, evaluation texts, figures."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import polars as pl
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy
from transformers import GPT2LMHeadModel, PreTrainedTokenizerFast

from demo.model import CONTEXT, KINDS, documents
from demo.saes import activations, site_module
from saematch import SAE

CONTEXTS = 10
BEFORE, AFTER = 12, 6  # tokens shown around the active one
CHUNK = 32  # windows at once


def mixed(windows: dict[str, np.ndarray], per_kind: int, seed: int) -> tuple[Tensor, list[str]]:
    """`per_kind` windows of each kind and, for each window, its kind."""
    rng = np.random.default_rng(seed)
    rows = [windows[kind][rng.permutation(len(windows[kind]))[:per_kind]] for kind in KINDS]
    kinds = [kind for kind, part in zip(KINDS, rows, strict=True) for _ in part]
    return torch.from_numpy(np.concatenate(rows).astype(np.int64)), kinds


@torch.no_grad()
def describe_features(
    model: GPT2LMHeadModel,
    tokenizer: PreTrainedTokenizerFast,
    saes: dict[str, SAE],
    ids: Tensor,
    kinds: list[str],
) -> dict[str, pl.DataFrame]:
    """Per SAE and feature: frequency, mean and maximum activation, and top contexts on `ids`.

    A context is the place in a window where the feature is strongest; the ten strongest windows
    are kept whose text there differs.
    """
    hooks = {str(sae.conventions.site) for sae in saes.values()}
    count = {n: torch.zeros(s.d_sae) for n, s in saes.items()}
    total = {n: torch.zeros(s.d_sae) for n, s in saes.items()}
    peaks: dict[str, list[Tensor]] = {n: [] for n in saes}
    places: dict[str, list[Tensor]] = {n: [] for n in saes}
    for part in ids.split(CHUNK):
        found = activations(model, part.to(model.device), hooks)
        for name, sae in saes.items():
            f = sae.encode(found[str(sae.conventions.site)][:, 1:])
            count[name] += (f > 0).sum((0, 1)).cpu()
            total[name] += f.sum((0, 1)).cpu()
            peak = f.max(1)
            peaks[name].append(peak.values.cpu())
            places[name].append(peak.indices.cpu().to(torch.int16) + 1)
    tokens = len(ids) * (CONTEXT - 1)
    rows = ids.numpy()
    frames = {}
    for name, sae in saes.items():
        peak, place = torch.cat(peaks[name]), torch.cat(places[name])
        best = peak.topk(min(4 * CONTEXTS, len(peak)), dim=0)
        frames[name] = pl.DataFrame(
            {
                "feature": np.arange(sae.d_sae),
                "frequency": (count[name] / tokens).numpy(),
                "mean_activation": (total[name] / count[name].clamp(min=1)).numpy(),
                "max_activation": peak.amax(0).numpy(),
                "contexts": [
                    _contexts(tokenizer, rows, kinds, i, best, place) for i in range(sae.d_sae)
                ],
            }
        ).with_columns(
            pl.col("contexts").cast(
                pl.List(
                    pl.Struct(
                        {
                            "before": pl.String,
                            "token": pl.String,
                            "after": pl.String,
                            "activation": pl.Float32,
                            "source": pl.String,
                        }
                    )
                )
            )
        )
    return frames


def _contexts(tokenizer, rows: np.ndarray, kinds: list[str], feature: int, best, place) -> list:
    kept, seen = [], set()
    for value, window in zip(
        best.values[:, feature].tolist(), best.indices[:, feature].tolist(), strict=True
    ):
        at = int(place[window, feature])
        row = rows[window]
        near = tuple(row[max(1, at - 4) : at + 1])
        if value <= 0 or near in seen:
            continue
        seen.add(near)
        before, token, after = (
            tokenizer.decode(row[start:stop], skip_special_tokens=False)
            for start, stop in ((max(1, at - BEFORE), at), (at, at + 1), (at + 1, at + 1 + AFTER))
        )
        kept.append(
            {
                "before": before,
                "token": token,
                "after": after,
                "activation": value,
                "source": kinds[window],
            }
        )
        if len(kept) == CONTEXTS:
            break
    return kept


@torch.no_grad()
def figures(model: GPT2LMHeadModel, sae: SAE, held_out: dict[str, np.ndarray]) -> dict[str, float]:
    """Held-out quality of one SAE: variance explained, L0, and delta-loss in nats per kind.

    Variance explained is one minus the sum over tokens and dimensions of the squared error, over
    that of the squared distance from the mean. Delta-loss is the model's loss with the
    reconstruction spliced in, less its own. BOS is left out of all of it.
    """
    hook = str(sae.conventions.site)
    xs, errors, l0, result = [], 0.0, 0.0, {}
    tokens = 0
    for kind, windows in held_out.items():
        ids = torch.from_numpy(windows[:64].astype(np.int64))
        own = spliced = 0.0
        for part in ids.split(CHUNK):
            part = part.to(model.device)
            x = activations(model, part, {hook})[hook][:, 1:]
            f = sae.encode(x)
            errors += (sae.decode(f) - x).pow(2).sum().item()
            l0 += (f > 0).sum().item()
            tokens += x.shape[0] * x.shape[1]
            xs.append(x.flatten(0, 1))
            own += _loss(model, part)
            spliced += _loss(model, part, hook, sae)
        result[f"delta_loss_{kind}"] = (spliced - own) / (ids.shape[0] * (CONTEXT - 1))
    x = torch.cat(xs)
    result["variance_explained"] = 1 - errors / (x - x.mean(0)).pow(2).sum().item()
    result["l0"] = l0 / tokens
    return result


def _loss(model: GPT2LMHeadModel, ids: Tensor, hook: str = "", sae: SAE | None = None) -> float:
    handle = None
    if sae is not None:

        def replace(x: Tensor) -> Tensor:
            return torch.cat([x[:, :1], sae.reconstruct(x[:, 1:])], dim=1)

        def before(module, inputs):
            return (replace(inputs[0]), *inputs[1:])

        def after(module, inputs, output):
            if isinstance(output, tuple):
                return (replace(output[0]), *output[1:])
            return replace(output)

        module = site_module(model, hook)
        if hook.endswith("resid_pre"):
            handle = module.register_forward_pre_hook(before)
        else:
            handle = module.register_forward_hook(after)
    logits = model(ids, use_cache=False).logits[:, :-1].flatten(0, 1)
    if handle is not None:
        handle.remove()
    return cross_entropy(logits, ids[:, 1:].flatten(), reduction="sum").item()


def write_texts(corpus: Path, folder: Path, examples: int = 120, characters: int = 1500) -> None:
    """Excerpts of held-out documents as `<kind>.jsonl`: `{"text", "source"}`, sources in turn."""
    folder.mkdir(parents=True, exist_ok=True)
    for kind in KINDS:
        by_source: dict[str, list[str]] = {}
        for document in documents(corpus, kind, "held_out"):
            found = by_source.setdefault(document["source"], [])
            found += _excerpts(document["text"], characters)
        rng = np.random.default_rng(0)
        for texts in by_source.values():
            rng.shuffle(texts)
        chosen = []
        while len(chosen) < examples and any(by_source.values()):
            for source, texts in by_source.items():
                if texts and len(chosen) < examples:
                    chosen.append({"text": texts.pop(), "source": source})
        lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in chosen)
        (folder / f"{kind}.jsonl").write_text(lines)


def _excerpts(text: str, characters: int, most: int = 4) -> list[str]:
    """Up to `most` excerpts apart from one another, from a line's start to a word's end."""
    found, start = [], 0
    while len(found) < most and len(text) - start > 0.9 * characters:
        found.append(text[start : start + characters].rsplit(maxsplit=1)[0])
        start = text.find("\n", start + characters) + 1 or len(text)
    return found

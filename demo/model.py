"""The language model: byte-level BPE, then a small GPT-2 trained from scratch."""

from __future__ import annotations

import json
import math
import time
from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from torch.nn.functional import cross_entropy
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

KINDS = ("prose", "code", "reference")
SHARE = {"prose": 0.4, "code": 0.3, "reference": 0.3}
VOCABULARY = 4096
CONTEXT = 256
BOS = "<|endoftext|>"


def documents(corpus: Path, kind: str, part: str) -> list[dict]:
    with (corpus / f"{kind}.{part}.jsonl").open() as file:
        return [json.loads(line) for line in file]


def make_tokenizer(corpus: Path, folder: Path) -> PreTrainedTokenizerFast:
    """Train the tokenizer on the training text of every kind and save it in `folder`."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=[BOS],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )

    def texts():
        rng = np.random.default_rng(0)
        for kind in KINDS:
            docs = documents(corpus, kind, "train")
            for i in rng.permutation(len(docs))[:1500]:
                yield docs[i]["text"]

    tokenizer.train_from_iterator(texts(), trainer)
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token=BOS, eos_token=BOS, model_max_length=CONTEXT
    )
    fast.save_pretrained(folder)
    return fast


def make_windows(
    corpus: Path, tokenizer: PreTrainedTokenizerFast, part: str, seed: int = 0
) -> dict[str, np.ndarray]:
    """Per kind, all text of `part` as windows `(n, CONTEXT)` of uint16, each starting with BOS.

    Documents are shuffled and joined; a BOS stands between them and at the head of every window.
    """
    rng = np.random.default_rng(seed)
    windows = {}
    for kind in KINDS:
        docs = documents(corpus, kind, part)
        order = rng.permutation(len(docs))
        encoded = tokenizer.backend_tokenizer.encode_batch([docs[i]["text"] for i in order])
        bos = tokenizer.bos_token_id
        stream = np.concatenate([np.array([*e.ids, bos], dtype=np.uint16) for e in encoded])
        rows = len(stream) // (CONTEXT - 1)
        body = stream[: rows * (CONTEXT - 1)].reshape(rows, CONTEXT - 1)
        windows[kind] = np.concatenate([np.full((rows, 1), bos, np.uint16), body], axis=1)
    return windows


def batches(windows: dict[str, np.ndarray], size: int, seed: int):
    """Endless batches `(size, CONTEXT)` of token ids, kinds mixed by SHARE."""
    rng = np.random.default_rng(seed)
    order = {kind: rng.permutation(len(w)) for kind, w in windows.items()}
    used = dict.fromkeys(windows, 0)
    while True:
        rows = []
        for kind in rng.choice(KINDS, size=size, p=[SHARE[k] for k in KINDS]):
            rows.append(windows[kind][order[kind][used[kind] % len(order[kind])]])
            used[kind] += 1
        yield torch.from_numpy(np.stack(rows).astype(np.int64))


def train_model(
    windows: dict[str, np.ndarray],
    device: torch.device,
    *,
    d_model: int,
    tokens: int,
    minutes: float | None = None,
    batch: int = 32,
    learning_rate: float = 3e-3,
    seed: int = 0,
) -> GPT2LMHeadModel:
    """Train for `tokens` tokens, or, where given, for as many of them as `minutes` allow.

    The schedule (linear warm-up, cosine decay) follows whichever limit is nearer.
    """
    torch.manual_seed(seed)
    config = GPT2Config(
        vocab_size=VOCABULARY, n_positions=CONTEXT, n_embd=d_model, n_layer=6, n_head=d_model // 32,
        resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0, bos_token_id=0, eos_token_id=0,
    )  # fmt: skip
    model = GPT2LMHeadModel(config).train()
    model.to(device)  # pyright: ignore[reportArgumentType]
    decayed = [p for p in model.parameters() if p.ndim == 2]
    plain = [p for p in model.parameters() if p.ndim != 2]
    optimizer = torch.optim.AdamW(
        [{"params": decayed, "weight_decay": 0.1}, {"params": plain, "weight_decay": 0.0}],
        lr=learning_rate, betas=(0.9, 0.95), fused=True,
    )  # fmt: skip

    @torch.compile
    def loss_of(ids: torch.Tensor) -> torch.Tensor:
        with torch.autocast(device.type, torch.bfloat16):
            logits = model(ids, use_cache=False).logits
        return cross_entropy(logits[:, :-1].flatten(0, 1).float(), ids[:, 1:].flatten())

    steps = tokens // (batch * CONTEXT)
    start, running = time.monotonic(), 0.0
    for step, ids in enumerate(batches(windows, batch, seed)):
        elapsed = (time.monotonic() - start) / 60
        done = max(step / steps, elapsed / minutes if minutes else 0.0)
        if done >= 1.0:
            break
        rate = min((step + 1) / 200, 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * done)))
        for group in optimizer.param_groups:
            group["lr"] = learning_rate * rate
        loss = loss_of(ids.to(device))
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        running += loss.item()
        if step % 100 == 99:
            print(
                f"step {step + 1}  {(step + 1) * batch * CONTEXT / 1e6:.2f}M tokens  "
                f"loss {running / 100:.3f}  {elapsed:.1f} min",
                flush=True,
            )
            running = 0.0
    return model.eval()


@torch.no_grad()
def held_out_loss(model: GPT2LMHeadModel, rows: np.ndarray) -> float:
    """Mean cross-entropy in nats per predicted token of `rows` (n, CONTEXT)."""
    total = 0.0
    for part in torch.from_numpy(rows.astype(np.int64)).split(32):
        part = part.to(model.device)
        logits = model(part).logits[:, :-1].flatten(0, 1)
        total += cross_entropy(logits, part[:, 1:].flatten(), reduction="sum").item()
    return total / (rows.shape[0] * (rows.shape[1] - 1))


def bigram_loss(train: dict[str, np.ndarray], rows: np.ndarray) -> float:
    """The same for a bigram model of the training text, interpolated with its unigrams.

    The weight of the bigram is n / (n + 5 u), with n the count of the first token and u the number
    of different tokens seen after it (Witten-Bell with its usual constant).
    """
    counts = np.zeros((VOCABULARY, VOCABULARY))
    tokens = sum(windows.size for windows in train.values())
    for kind, windows in train.items():
        pair = windows[:, :-1].astype(np.int64) * VOCABULARY + windows[:, 1:]
        found = np.bincount(pair.ravel(), minlength=VOCABULARY**2).reshape(counts.shape)
        # kinds in the proportions in which the model saw them
        counts += found * (SHARE[kind] * tokens / windows.size)
    unigram = (counts.sum(0) + 1) / (counts.sum() + VOCABULARY)
    n, u = counts.sum(1), (counts > 0).sum(1)
    weight = np.divide(n, n + 5 * u, out=np.zeros_like(n), where=n > 0)
    first, second = rows[:, :-1].astype(np.int64).ravel(), rows[:, 1:].astype(np.int64).ravel()
    bigram = counts[first, second] / np.maximum(n[first], 1)
    p = weight[first] * bigram + (1 - weight[first]) * unigram[second]
    return float(-np.log(p).mean())

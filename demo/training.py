"""A language model's activations, streamed to several SAEs that are trained at once."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from demo.trainee import Plan, Trainee
from saematch.files.atomic import whole
from saematch.models import LanguageModel, open_texts, texts, tokenise

BATCH = 1024
ROWS = 128  # windows whose activations are shuffled together
AT_ONCE = 16  # windows in one forward pass
MIXED = 64  # documents whose windows are shuffled together
EVERY = 4  # buffers of activations between two saved states


def windows(
    model: LanguageModel, specs: Sequence[str], length: int, seed: int
) -> Iterator[np.ndarray]:
    """Endless windows `(length,)` of token ids from several texts in equal parts, BOS first.

    `specs` are as for `saematch.models.open_texts`. Ends of texts that fill no window are left out.
    """
    rng = np.random.default_rng(seed)
    sets = [open_texts(spec, n=None).texts for spec in specs]
    order = [rng.permutation(len(some)) for some in sets]
    used = [0] * len(sets)
    while True:
        pool: list[np.ndarray] = []
        for _ in range(MIXED):
            i = int(np.argmin(used))
            # the set of which the fewest windows were taken is next
            text = sets[i][order[i][0]]
            order[i] = np.roll(order[i], -1)
            found = tokenise([text], model.tokenizer, length, model.max_tokens, long="split")
            found = [ids for ids in found if len(ids) == length]
            used[i] += max(len(found), 1)
            pool += found
        rng.shuffle(pool)
        yield from pool


def train_saes(
    model: LanguageModel,
    rows: Iterable[np.ndarray],
    plans: Sequence[Plan],
    *,
    tokens: int,
    learning_rate: float = 1.5e-3,
    state: Path | None = None,
) -> dict[str, Trainee]:
    """Train every plan on the same `tokens` activations.

    Args:
        model: whose activations they are.
        rows: token ids of the windows, each `(length,)` with BOS first, which is not trained on.
            Given the same model, rows and plans, training can be resumed.
        plans: the SAEs.
        tokens: how many activations.
        learning_rate: Adam's, after 100 steps of warm-up; falls to zero over the last 40 %.
        state: a file in which to keep the state of training, and to resume from if it is there.
    """
    hooks = sorted({plan.hook for plan in plans})
    taken = _buffers(rows)
    kept = torch.load(state, weights_only=True) if state and state.exists() else None
    first = _activations(model, next(taken), hooks, seed=0)
    trainees = {plan.name: Trainee(plan, first[plan.hook].float()) for plan in plans}
    optimizers = {
        name: torch.optim.Adam(t.parameters(), lr=learning_rate, betas=(0.9, 0.999), fused=True)
        for name, t in trainees.items()
    }
    del first
    step, buffers, steps, start = 0, 0, tokens // BATCH, time.monotonic()
    if kept is not None:
        step, buffers = kept["step"], kept["buffers"]
        for name, t in trainees.items():
            t.load_state_dict(kept["trainees"][name])
            optimizers[name].load_state_dict(kept["optimizers"][name])
        for _ in range(buffers):
            next(taken)
        print(f"resumed at {step * BATCH / 1e6:.2f}M tokens", flush=True)
    for ids in taken:
        if step >= steps:
            break
        values = _activations(model, ids, hooks, seed=buffers)
        report = {}
        for at in range(0, len(values[hooks[0]]) - BATCH + 1, BATCH):
            if step >= steps:
                break
            for name, t in trainees.items():
                x = t.prepare(values[t.plan.hook][at : at + BATCH].float())
                report[name] = _step(t, optimizers[name], x, step, steps, learning_rate)
            step += 1
        buffers += 1
        shown = "  ".join(f"{n} {1 - e:.3f}/{l0:.0f}/{dead}" for n, (e, l0, dead) in report.items())
        spent = (time.monotonic() - start) / 60
        print(f"{step * BATCH / 1e6:.2f}M tokens  {spent:.1f} min  {shown}", flush=True)
        if state is not None and buffers % EVERY == 0:
            _keep(state, trainees, optimizers, step, buffers)
    return trainees


def _step(
    t: Trainee,
    optimizer: torch.optim.Optimizer,
    x: Tensor,
    step: int,
    steps: int,
    learning_rate: float,
) -> tuple[float, float, int]:
    """One step; returns the share of variance left over, the L0, and how many features are dead."""
    done = step / steps
    rate = min((step + 1) / 100, 1.0, (1 - done) / 0.4)
    optimizer.param_groups[0]["lr"] = learning_rate * rate
    error, l0 = t.backward(x)
    optimizer.step()
    t.after_step()
    target = t.plan.l0 * (1 + 2 * max(0.0, 1 - 3 * done))
    gain = max(0.02, 40 / steps)  # a short run has to get there as well
    t.penalty *= math.exp(gain * max(-1.0, min(1.0, math.log((l0 + 1e-3) / target))))
    if step % 50 == 49 and done < 0.9:
        t.wake(x)
    return error / x.pow(2).sum(1).mean().item(), l0, t.dead


def _buffers(rows: Iterable[np.ndarray]) -> Iterator[Tensor]:
    some: list[np.ndarray] = []
    for row in rows:
        some.append(row)
        if len(some) == ROWS:
            yield torch.from_numpy(np.stack(some).astype(np.int64))
            some = []


def _activations(
    model: LanguageModel, ids: Tensor, hooks: Sequence[str], seed: int
) -> dict[str, Tensor]:
    """`{hook: (tokens, d)}` without BOS, in the same shuffled order at every site, half precision.

    The model's own numbers lose nothing where it runs in bfloat16.
    """
    found: dict[str, list[Tensor]] = {hook: [] for hook in hooks}
    head = len(texts.head_of(model.tokenizer)) or 1
    for part in ids.split(AT_ONCE):
        for hook, value in model.run(part, hooks).items():
            found[hook].append(value[:, head:].flatten(0, 1).to(torch.bfloat16))
    tokens = sum(map(len, found[hooks[0]]))
    order = torch.randperm(tokens, generator=torch.Generator().manual_seed(seed)).to(model.device)
    return {hook: torch.cat(parts)[order] for hook, parts in found.items()}


def _keep(state: Path, trainees: dict, optimizers: dict, step: int, buffers: int) -> None:
    content = {
        "step": step,
        "buffers": buffers,
        "trainees": {name: t.state_dict() for name, t in trainees.items()},
        "optimizers": {name: o.state_dict() for name, o in optimizers.items()},
    }
    state.parent.mkdir(parents=True, exist_ok=True)
    with whole(state) as partial:
        torch.save(content, partial)

"""The SAEs: JumpReLU (and one TopK) on the activations of the shipped model, all in one pass.

What is particular here, and why:

- Inputs are centred and scaled to a mean squared norm of d_model for training, and both are folded
  back into the weights afterwards, so that one set of hyperparameters serves every site and users
  see plain SAEs on raw activations.
- Thresholds learn through a rectangle kernel (straight-through; Rajamanoharan et al., 2024,
  "Jumping ahead"). A small controller moves the weight of the L0 penalty towards a target L0, which
  itself goes from three times its value to its value over the first third of training.
- Dead features learn to explain what the others leave over, and their thresholds sink until they
  fire again.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import GPT2LMHeadModel

from demo.model import CONTEXT, batches

BATCH = 1024
BANDWIDTH = 0.5  # of the rectangle kernel, in units of the scaled inputs
PATIENCE = 60_000  # tokens without firing after which a feature is taken for dead
AUXILIARY = 16  # dead features per token that are taught to explain its error


@dataclass(frozen=True)
class Plan:
    """One SAE to be trained."""

    name: str  # its folder
    hook: str  # TransformerLens' name of its site
    width: int  # d_sae as a multiple of d_model
    l0: float  # target (jumprelu) or k (topk)
    seed: int
    activation: str = "jumprelu"


def plans() -> list[Plan]:
    """Seven residual sites with a seed each; variants at layer 3; module outputs at 2 and 3."""
    found = [Plan("resid_pre_0", "blocks.0.hook_resid_pre", 12, 16, seed=100)]
    for layer in range(6):
        hook = f"blocks.{layer}.hook_resid_post"
        found.append(Plan(f"resid_post_{layer}", hook, 12, 24 if layer else 20, 101 + layer))
    middle = "blocks.3.hook_resid_post"
    found += [
        Plan("resid_post_3_seed2", middle, 12, 24, seed=203),
        Plan("resid_post_3_wide", middle, 24, 24, seed=303),
        Plan("resid_post_3_topk", middle, 12, 24, seed=403, activation="topk"),
    ]
    for layer in (2, 3):
        found.append(Plan(f"mlp_out_{layer}", f"blocks.{layer}.hook_mlp_out", 8, 24, 500 + layer))
        found.append(Plan(f"attn_out_{layer}", f"blocks.{layer}.hook_attn_out", 8, 14, 600 + layer))
    return found


def site_module(model: GPT2LMHeadModel, hook: str) -> torch.nn.Module:
    """The module whose output (for resid_pre: input) is the activation of `hook`."""
    block = model.transformer.get_submodule(f"h.{hook.split('.')[1]}")
    kind = hook.rsplit("hook_", 1)[1]
    return block.get_submodule({"mlp_out": "mlp", "attn_out": "attn"}.get(kind, ""))


@torch.no_grad()
def activations(model: GPT2LMHeadModel, ids: Tensor, hooks: set[str]) -> dict[str, Tensor]:
    """`{hook: (batch, CONTEXT, d_model)}` in float32 for token ids `(batch, CONTEXT)`."""
    found: dict[str, Tensor] = {}
    handles = []

    def keep(hook: str):
        def take(module, inputs, output):
            value = inputs[0] if hook.endswith("resid_pre") else output
            found[hook] = (value[0] if isinstance(value, tuple) else value).float()

        return take

    for hook in hooks:
        handles.append(site_module(model, hook).register_forward_hook(keep(hook)))
    with torch.autocast(ids.device.type, torch.bfloat16):
        model.transformer(ids, use_cache=False)
    for handle in handles:
        handle.remove()
    return found


class Trainee(torch.nn.Module):
    """An SAE in training, on centred and scaled inputs."""

    def __init__(self, plan: Plan, sample: Tensor):
        super().__init__()
        self.plan = plan
        d_model = sample.shape[1]
        d_sae = plan.width * d_model
        self.mean = sample.mean(0)
        self.scale = (d_model / (sample - self.mean).pow(2).sum(1).mean()).sqrt()
        x = self.prepare(sample)
        generator = torch.Generator(device="cpu").manual_seed(plan.seed)
        rows = torch.randint(len(x), (d_sae,), generator=generator).to(x.device)
        random = torch.randn(d_sae, d_model, generator=generator).to(x)
        data = x[rows] - x[rows.roll(1)]
        start = unit(unit(random) + unit(data))
        self.W_dec = torch.nn.Parameter(start.clone())
        self.b_enc = torch.nn.Parameter(torch.zeros(d_sae, device=x.device))
        self.b_dec = torch.nn.Parameter(torch.zeros(d_model, device=x.device))
        # each feature fires at about three times the target rate at first, and the encoder is
        # scaled so that the sum of all that fire has the size of the input
        quantile = 1 - min(0.5, 3 * plan.l0 / d_sae)
        with torch.no_grad():
            pre = x[:4096] @ start.T
            threshold = pre.quantile(quantile, dim=0)
            x_hat = (pre * (pre > threshold)) @ start
            size = (x[:4096] * x_hat).sum() / x_hat.pow(2).sum()
        self.W_enc = torch.nn.Parameter((size * start.T).contiguous())
        self.threshold = torch.nn.Parameter(size * threshold)
        self.since_fired = torch.zeros(d_sae, device=x.device)
        self.penalty = 0.03

    def prepare(self, x: Tensor) -> Tensor:
        return (x - self.mean) * self.scale

    @torch.no_grad()
    def backward(self, x: Tensor) -> tuple[float, float]:
        """Set every gradient for scaled inputs `x`; returns the error per token and the L0.

        Written out rather than left to autograd: half the memory traffic, and bfloat16 for all
        that has the size of the batch times the features, at which a processor spends its time.
        """
        half = x.to(torch.bfloat16)
        W_enc, W_dec = self.W_enc.to(torch.bfloat16), self.W_dec.to(torch.bfloat16)
        pre = torch.addmm(self.b_enc.to(torch.bfloat16), half, W_enc)
        threshold = self.threshold.to(torch.bfloat16)
        if self.plan.activation == "topk":
            top = pre.relu().topk(int(self.plan.l0), dim=1)
            gate = torch.zeros_like(pre).scatter(1, top.indices, (top.values > 0).to(pre))
        else:
            gate = (pre > threshold).to(pre)
        f = pre * gate
        error = (torch.addmm(self.b_dec.to(torch.bfloat16), f, W_dec).float() - x) / len(x)
        slope = (2 * error).to(torch.bfloat16)
        ones = half.new_ones(1, len(x))
        fired = (ones @ gate)[0].float()

        W_dec_slope = (f.T @ slope).float()
        # the decoder moves on the sphere: its norm is fixed after every step
        W_dec_slope -= (W_dec_slope * self.W_dec).sum(1, keepdim=True) * self.W_dec
        self.W_dec.grad = W_dec_slope
        self.b_dec.grad = slope.sum(0).float()
        f_slope = slope @ W_dec.T
        if self.plan.activation == "jumprelu":
            # the step at the threshold, seen through the rectangle kernel
            near = ((pre - threshold).abs_() < BANDWIDTH / 2).to(pre)
            cost = self.threshold * (ones @ (f_slope * near))[0].float()
            cost += self.penalty / len(x) * (ones @ near)[0].float()
            self.threshold.grad = -cost / BANDWIDTH
        pre_slope = f_slope.mul_(gate)
        self.W_enc.grad = (half.T @ pre_slope).float()
        self.b_enc.grad = (ones @ pre_slope)[0].float()
        self.since_fired += len(x)
        self.since_fired[fired > 0] = 0.0
        self._teach_dead(half, pre, -error * len(x))
        return float(error.pow(2).sum() * len(x)), float(fired.sum() / len(x))

    @torch.no_grad()
    def after_step(self) -> None:
        self.W_dec.copy_(unit(self.W_dec))
        self.threshold.clamp_(min=1e-2)

    def _teach_dead(self, x: Tensor, pre: Tensor, error: Tensor) -> None:
        """Gradients for features that do not fire: to explain what the others leave over.

        The auxiliary loss of Gao et al. (2024), "Scaling and evaluating sparse autoencoders",
        appendix A.2: the largest dead features of each token reconstruct its error.
        """
        dead = (self.since_fired > PATIENCE).nonzero().squeeze(1)
        if len(dead) < 2:
            return
        W_dec = self.W_dec[dead].to(torch.bfloat16)
        pre = pre[:, dead].relu()
        top = pre.topk(min(AUXILIARY, len(dead)), dim=1)
        f = torch.zeros_like(pre).scatter(1, top.indices, top.values)
        slope = (2 / len(x)) * ((f @ W_dec).float() - error)
        slope = slope.to(torch.bfloat16)
        pre_slope = (slope @ W_dec.T) * (f > 0)
        assert self.W_dec.grad is not None
        assert self.W_enc.grad is not None
        assert self.b_enc.grad is not None
        self.W_dec.grad[dead] += (f.T @ slope).float()
        self.W_enc.grad[:, dead] += (x.T @ pre_slope).float()
        self.b_enc.grad[dead] += pre_slope.sum(0).float()

    @torch.no_grad()
    def wake(self, x: Tensor) -> int:
        """Lower the thresholds of dead features until each would fire on one token of `x`."""
        dead = (self.since_fired > PATIENCE).nonzero().squeeze(1)
        if len(dead):
            pre = x @ self.W_enc[:, dead] + self.b_enc[dead]
            # the second largest: strictly below the largest, whatever the rounding
            self.threshold[dead] = pre.topk(2, dim=0).values.mean(0).clamp(min=1e-2)
        return len(dead)

    @torch.no_grad()
    def resume(self, weights: dict[str, Tensor]) -> None:
        """Take up weights as `raw` gives them."""
        w = {name: value.float().to(self.mean.device) for name, value in weights.items()}
        self.W_enc.copy_(w["W_enc"])
        self.W_dec.copy_(unit(w["W_dec"]))
        self.b_enc.copy_((w["b_enc"] + self.mean @ w["W_enc"]) * self.scale)
        self.b_dec.copy_((w["b_dec"] - self.mean) * self.scale)
        if "threshold" in w:
            self.threshold.copy_(w["threshold"] * self.scale)
        self.since_fired.fill_(PATIENCE / 2)

    @torch.no_grad()
    def raw(self) -> dict[str, Tensor]:
        """Weights for raw inputs: unit decoder rows, activations in the site's own units."""
        weights = {
            "W_enc": self.W_enc,
            "W_dec": self.W_dec,
            "b_enc": self.b_enc / self.scale - self.mean @ self.W_enc,
            "b_dec": self.b_dec / self.scale + self.mean,
        }
        if self.plan.activation == "jumprelu":
            weights["threshold"] = self.threshold / self.scale
        return {name: value.detach().float().cpu().contiguous() for name, value in weights.items()}


def unit(rows: Tensor) -> Tensor:
    return rows / rows.norm(dim=-1, keepdim=True).clamp(min=1e-8)


def train_saes(
    model: GPT2LMHeadModel,
    windows: dict[str, np.ndarray],
    which: list[Plan],
    *,
    tokens: int,
    learning_rate: float = 2e-3,
    minutes: float | None = None,
    start_from: Path | None = None,
) -> dict[str, Trainee]:
    """Train every plan on the same `tokens` activations (or as many as `minutes` allow).

    With `start_from`, a folder of saved SAEs, go on from those: their L0 is not annealed again.
    """
    hooks = {plan.hook for plan in which}
    source = _shuffled(model, windows, hooks)
    first = next(source)
    trainees = {plan.name: Trainee(plan, first[plan.hook]) for plan in which}
    if start_from is not None:
        for name, t in trainees.items():
            t.resume(load_file(start_from / name / "sae_weights.safetensors"))
    optimizers = {
        name: torch.optim.Adam(t.parameters(), lr=learning_rate, betas=(0.9, 0.999), fused=True)
        for name, t in trainees.items()
    }
    steps, step, start = tokens // BATCH, 0, time.monotonic()
    report = {name: [0.0, 0.0] for name in trainees}
    dead = dict.fromkeys(trainees, 0)
    while True:
        buffer = next(source)
        for rows in range(0, len(next(iter(buffer.values()))) - BATCH + 1, BATCH):
            elapsed = (time.monotonic() - start) / 60
            done = max(step / steps, elapsed / minutes if minutes else 0.0)
            if done >= 1.0:
                return trainees
            rate = min((step + 1) / 100, 1.0, (1 - done) / 0.4)
            for name, t in trainees.items():
                x = t.prepare(buffer[t.plan.hook][rows : rows + BATCH])
                optimizer = optimizers[name]
                optimizer.param_groups[0]["lr"] = learning_rate * rate
                error, l0 = t.backward(x)
                optimizer.step()
                t.after_step()
                annealed = 0.0 if start_from else max(0.0, 1 - 3 * done)
                target = t.plan.l0 * (1 + 2 * annealed)
                t.penalty *= math.exp(0.02 * max(-1.0, min(1.0, math.log((l0 + 1e-3) / target))))
                if step % 50 == 49 and done < 0.9:
                    dead[name] = t.wake(x)
                report[name] = [error / x.pow(2).sum(1).mean().item(), l0]
            step += 1
            if step % 100 == 0:
                shown = "  ".join(
                    f"{n} {1 - e:.3f}/{a:.0f}/{dead[n]}" for n, (e, a) in report.items()
                )
                print(
                    f"step {step}  {step * BATCH / 1e6:.2f}M  {elapsed:.1f} min  {shown}",
                    flush=True,
                )


def _shuffled(
    model: GPT2LMHeadModel, windows: dict[str, np.ndarray], hooks: set[str], rows: int = 192
) -> Iterator[dict[str, Tensor]]:
    """Activations of `rows` windows at a time, positions shuffled alike at every site, no BOS."""
    generator = torch.Generator().manual_seed(0)
    for ids in batches(windows, rows, seed=1):
        parts = [activations(model, part.to(model.device), hooks) for part in ids.split(32)]
        order = torch.randperm(rows * (CONTEXT - 1), generator=generator).to(model.device)
        yield {
            hook: torch.cat([p[hook][:, 1:].flatten(0, 1) for p in parts])[order] for hook in hooks
        }


def save_sae(t: Trainee, folder: Path, model_name: str) -> None:
    """Write the SAE as SAELens does: cfg.json and sae_weights.safetensors.

    Matrices are stored in float16 (half the size; SAELens and saematch read them into float32),
    vectors, on which activity turns, in float32.
    """
    folder.mkdir(parents=True, exist_ok=True)
    weights = {name: value.half() if value.ndim == 2 else value for name, value in t.raw().items()}
    save_file(weights, str(folder / "sae_weights.safetensors"))
    d_in, d_sae = t.W_enc.shape
    config = {
        "architecture": t.plan.activation,
        "d_in": d_in,
        "d_sae": d_sae,
        "dtype": "float32",
        "device": "cpu",
        "apply_b_dec_to_input": False,
        "normalize_activations": "none",
        "reshape_activations": "none",
        "metadata": {
            "model_name": model_name,
            "hook_name": t.plan.hook,
            "context_size": CONTEXT,
            "prepend_bos": True,
            "seed": t.plan.seed,
        },
    }
    if t.plan.activation == "topk":
        config |= {"k": int(t.plan.l0), "rescale_acts_by_decoder_norm": False}
    (folder / "cfg.json").write_text(json.dumps(config, indent=2) + "\n")


def save_frequency(frequency: Tensor, folder: Path) -> None:
    """Write `sparsity.safetensors` as SAELens does: the logarithm to base 10 of the frequency."""
    log_frequency = (frequency.float() + 1e-10).log10()
    save_file({"sparsity": log_frequency}, str(folder / "sparsity.safetensors"))

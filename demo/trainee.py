"""One SAE in training: JumpReLU or TopK, its gradients written out, and its files.

What is particular here, and why:

- Inputs are centred and scaled to a mean squared norm of d_model for training, and both are folded
  back into the weights afterwards, so that one set of hyperparameters serves every site of every
  model, and users see plain SAEs on raw activations.
- Tokens whose norm is more than four times the median are left out. Language models have a few with
  a hundred times the norm of all others (massive activations; Sun et al., 2024, arXiv 2402.17762):
  one of them in a batch is its whole loss, and ruins what the optimiser has averaged.
- Thresholds learn through a rectangle kernel (straight-through; Rajamanoharan et al., 2024,
  "Jumping ahead"). A small controller moves the weight of the L0 penalty towards a target L0, which
  itself goes from three times its value to its value over the first third of training.
- Dead features learn to explain what the others leave over, and their thresholds sink until they
  fire again.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from saematch.numerics.hardware import emulated

BANDWIDTH = 0.5  # of the rectangle kernel, in units of the scaled inputs
PATIENCE = 60_000  # tokens without firing after which a feature is taken for dead
AUXILIARY = 16  # dead features per token that are taught to explain its error
MASSIVE = 4.0  # times the median norm: tokens beyond are left out


@dataclass(frozen=True)
class Plan:
    """One SAE to be trained."""

    name: str  # its folder
    hook: str  # TransformerLens' name of its site
    d_sae: int
    l0: float  # target (jumprelu) or k (topk)
    seed: int
    activation: str = "jumprelu"


class Trainee(torch.nn.Module):
    """An SAE in training, on centred and scaled inputs.

    `sample` are some thousands of activations `(tokens, d_model)`, for the mean, the scale, the
    largest norm that is taken, and weights to start from.
    """

    mean: Tensor
    scale: Tensor
    largest: Tensor
    since_fired: Tensor
    taken: Tensor

    def __init__(self, plan: Plan, sample: Tensor):
        super().__init__()
        self.plan = plan
        d_model, d_sae = sample.shape[1], plan.d_sae
        norm = sample.norm(dim=1)
        self.register_buffer("largest", MASSIVE * norm.median())
        usual = sample[norm <= self.largest]
        self.register_buffer("mean", usual.mean(0))
        variance = (usual - self.mean).pow(2).sum(1).mean()
        self.register_buffer("scale", (d_model / variance).sqrt())
        self.register_buffer("taken", torch.zeros(2))  # tokens trained on, and tokens left out
        x = (usual - self.mean) * self.scale
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
        self.register_buffer("since_fired", torch.zeros(d_sae, device=x.device))
        self.penalty = 0.03

    def get_extra_state(self) -> float:
        return self.penalty

    def set_extra_state(self, state: float) -> None:
        self.penalty = state

    def prepare(self, x: Tensor) -> Tensor:
        """Centred, scaled, and without the tokens of massive activations."""
        usual = x[x.norm(dim=1) <= self.largest]
        self.taken[1] += len(x) - len(usual)
        return (usual - self.mean) * self.scale

    @property
    def dead(self) -> int:
        """How many features have not fired for some time."""
        return int((self.since_fired > PATIENCE).sum())

    @torch.no_grad()
    def backward(self, x: Tensor) -> tuple[float, float]:
        """Set every gradient for scaled inputs `x`; returns the error per token and the L0.

        Written out rather than left to autograd: half the memory traffic, and bfloat16 for all
        that has the size of the batch times the features, at which a processor spends its time
        (float32 on one that has no bfloat16).
        """
        dtype = torch.float32 if emulated(torch.bfloat16, x.device) else torch.bfloat16
        half = x.to(dtype)
        W_enc, W_dec = self.W_enc.to(dtype), self.W_dec.to(dtype)
        pre = torch.addmm(self.b_enc.to(dtype), half, W_enc)
        threshold = self.threshold.to(dtype)
        if self.plan.activation == "topk":
            top = pre.relu().topk(int(self.plan.l0), dim=1)
            gate = torch.zeros_like(pre).scatter(1, top.indices, (top.values > 0).to(pre))
        else:
            gate = (pre > threshold).to(pre)
        f = pre * gate
        error = (torch.addmm(self.b_dec.to(dtype), f, W_dec).float() - x) / len(x)
        slope = (2 * error).to(dtype)
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
        self.taken[0] += len(x)
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
        W_dec = self.W_dec[dead].to(x)
        pre = pre[:, dead].relu()
        top = pre.topk(min(AUXILIARY, len(dead)), dim=1)
        f = torch.zeros_like(pre).scatter(1, top.indices, top.values)
        slope = (2 / len(x)) * ((f @ W_dec).float() - error)
        slope = slope.to(x)
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


def save_sae(t: Trainee, folder: Path, model_name: str, context: int) -> None:
    """Write the SAE as SAELens does: cfg.json and sae_weights.safetensors.

    Matrices are stored in float16 (half the size; SAELens and saematch read them into float32),
    vectors, on which activity turns, in float32. `context` is the length of the examples that it
    was trained on, BOS included.
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
            "context_size": context,
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

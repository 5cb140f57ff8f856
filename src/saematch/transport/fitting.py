"""Fitting a sparse transport: which edges, and how strong, so that B's hidden state comes out.

Minimised over weights W and biases c, with at most k sources per target, is the error of the
hidden state, not of each feature on its own, so that what one feature misses another can make good:

    E = mean over tokens |x_b - carried - b_dec - f_b @ W_dec_b|^2,   f_b = activation_b(f_a W + c)

1. **Start** at the virtual weights `W_dec_a @ W_enc_b` and the bias that goes with them: what the
   residual stream carries over by itself, which is `b.encode(a.decode(f_a))`.
2. **Fit** by Adam, with the slope `s = 1[pre > t] + 1[|pre - t| < w t / 2] / w` in place of the
   activation's derivative: the threshold moves activations in and out, which the rectangle kernel
   of JumpReLU training lets the gradient see.
3. **Prune** in steps of one half to the k edges per target with the largest saliency
   `W_ij^2 * mean of (f_i^2 s_j^2)`, and fit again after every step: to second order, with the
   Gauss-Newton diagonal, the saliency is what the error rises by when an edge is taken away
   (optimal brain damage). It sees an edge only where its target is active or nearly so, which
   the size of virtual weights or plain correlation do not.

Sources: virtual weights, Elhage et al. 2021, "A Mathematical Framework for Transformer Circuits";
optimal brain damage, LeCun, Denker, Solla, NIPS 1989; the kernel, Rajamanoharan et al. 2024, arXiv
2407.14435; Adam, Kingma and Ba, arXiv 1412.6980.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
import torch
from jaxtyping import Float
from torch import Tensor

from saematch.activations.feature_activations import FeatureActivations
from saematch.errors import SaematchError
from saematch.sae import SAE
from saematch.transport.sparse import SparseTransport, as_torch, threshold

CHUNK = 2048  # tokens at a time, where no batch is asked for


@dataclass(frozen=True)
class Schedule:
    """How long and how fast to fit; an epoch is once over all tokens."""

    dense: int = 4  # epochs with all edges
    between: int = 2  # epochs after each halving
    final: int = 8  # epochs at each number of edges that was asked for
    batch: int = 1024  # tokens a step
    rate: float = 0.01  # of Adam, while sparse; falls to 0 in the final epochs
    dense_rate: float = 0.003
    width: float = 0.5  # of the rectangle kernel, in thresholds
    widest: int = 128  # edges per feature after the first pruning


def fit_transport(
    a: SAE,
    b: SAE,
    activations_a: FeatureActivations,
    target: Float[Tensor, "tokens d_out"],
    *,
    k: int | None = 32,
    carried: Float[Tensor, "tokens d_out"] | None = None,
    schedule: Schedule | None = None,
    seed: int = 0,
) -> SparseTransport:
    """The sparse transport from `a` to `b` with at most `k` edges per feature of `b`.

    Args:
        a: the SAE whose features are read.
        b: the SAE whose features are estimated; in the space that `a` writes to.
        activations_a: what A's features do on the tokens.
        target: raw activations at the site that B writes, on the same tokens.
        k: the most edges per feature of B; None for all of them.
        carried: what will be added to B's reconstruction, such as A's error `x_a - x_hat_a`.
        schedule: how long and how fast to fit.
        seed: of the order of tokens.

    Raises:
        SaematchError: SAEs or arrays that do not go together, no tokens, or a k below 1.
    """
    found = fit_transports(
        a, b, activations_a, target, ks=(k,), carried=carried, schedule=schedule, seed=seed
    )
    return found[k]


def fit_transports(
    a: SAE,
    b: SAE,
    activations_a: FeatureActivations,
    target: Float[Tensor, "tokens d_out"],
    *,
    ks: Sequence[int | None] = (None, 64, 32, 16, 8, 4),
    carried: Float[Tensor, "tokens d_out"] | None = None,
    schedule: Schedule | None = None,
    seed: int = 0,
) -> dict[int | None, SparseTransport]:
    """Transports of several sparsities from one fit, each pruned from the one before; by k.

    Arguments and errors are those of `fit_transport`.
    """
    schedule = schedule or Schedule()
    _check(a, b, activations_a, target, carried, ks)
    fit = _Fit(a, b, activations_a, target, carried, schedule, seed)
    fit.run(schedule.dense, schedule.dense_rate)
    found: dict[int | None, SparseTransport] = {}
    if None in ks:
        fit.loss = fit.run(schedule.dense, schedule.dense_rate, falling=True)
        found[None] = fit.result(None)
    reached = 2 * schedule.widest
    for k in sorted({k for k in ks if k is not None}, reverse=True):
        while reached // 2 > k:
            reached //= 2
            fit.prune(reached)
            fit.run(schedule.between, schedule.rate)
        reached = k
        fit.prune(k)
        fit.loss = fit.run(schedule.final, schedule.rate, falling=True)
        found[k] = fit.result(k)
    return found


class _Fit:
    """Weights in the course of being fitted; dense, with a mask of the edges there are."""

    def __init__(self, a, b, activations_a, target, carried, schedule, seed):
        self.a, self.b, self.schedule = a, b, schedule
        self.F = sp.csr_array(activations_a.matrix, dtype=np.float32)
        self.F.sum_duplicates()
        self.tokens = activations_a.n_tokens
        rest = target if carried is None else target - carried
        self.rest = (rest.to(b.device) - b.b_dec).float()
        self.carried = carried is not None
        open_a, open_b = (~a.excluded).to(b.device), ~b.excluded
        self.W_dec = torch.where(open_b[:, None], b.W_dec, 0.0).float()
        W_enc = torch.where(open_b, b.W_enc, 0.0).float()
        W_dec_a = torch.where(open_a[:, None], a.W_dec.to(b.device), 0.0).float()
        before = a.b_dec.to(b.device).float()
        if b.conventions.centred:
            before = before - b.b_dec.float()
        self.mask = (open_a[:, None] & open_b).float()
        self.W = W_dec_a @ W_enc
        self.bias = torch.where(open_b, before @ W_enc + b.b_enc.float(), 0.0)
        limit = threshold(b)
        self.threshold = None if limit is None else limit.float()
        self.random = np.random.default_rng(seed)
        self.loss = float("nan")

    def forward(self, rows) -> tuple[sp.csr_array, Tensor, Tensor, Tensor]:
        """Of some tokens: f_a, f_b, the slope of the activation, the error of the state."""
        f_a = self.F[rows]
        pre = torch.sparse.mm(as_torch(f_a, self.b.device), self.W).add_(self.bias)
        if self.threshold is None:
            f_b = self.b.activate(pre)
            slope = (f_b != 0).float()
        else:
            gate = (pre > self.threshold).float()
            f_b = pre * gate
            width = self.schedule.width
            near = (pre - self.threshold).abs_() < self.threshold * (width / 2)
            slope = gate.add_(near, alpha=1 / width)
        return f_a, f_b, slope, f_b @ self.W_dec - self.rest[rows]

    @torch.no_grad()
    def run(self, epochs: int, rate: float, falling: bool = False) -> float:
        """Epochs of Adam, its memory new; returns the mean squared error over the last."""
        tokens = self.tokens
        steps = -(-tokens // self.schedule.batch)
        moments = [torch.zeros_like(p) for p in (self.W, self.W, self.bias, self.bias)]
        squared = float("nan")
        for epoch in range(epochs):
            squared = 0.0
            parts = np.array_split(self.random.permutation(tokens), steps)
            for step, rows in enumerate(parts, epoch * steps):
                f_a, _, slope, error = self.forward(np.sort(rows))
                squared += float(error.square().sum()) / tokens
                pull = (error @ self.W_dec.T).mul_(slope).mul_(2 / len(rows))
                pull_W = torch.sparse.mm(self._transposed(f_a), pull).mul_(self.mask)
                now = rate * (1 - step / (epochs * steps)) if falling else rate
                _adam(self.W, pull_W, moments[0], moments[1], now, step + 1)
                _adam(self.bias, pull.sum(0), moments[2], moments[3], now, step + 1)
                self.W *= self.mask
        return squared

    @torch.no_grad()
    def prune(self, k: int) -> None:
        """Keep the k edges of each target whose loss would cost most."""
        if k >= self.a.d_sae:
            return
        curvature = torch.zeros_like(self.W)
        tokens = self.tokens
        for start in range(0, tokens, CHUNK):
            f_a, _, slope, _ = self.forward(slice(start, start + CHUNK))
            curvature += torch.sparse.mm(self._transposed(f_a.power(2)), slope.square_())
        # where the tokens say nothing of an edge, its virtual weight decides
        floor = 1e-6 * max(1.0, float(curvature.mean()))
        saliency = self.W.abs() * (curvature + floor).sqrt() * self.mask
        kept = saliency.topk(k, dim=0)
        self.mask = torch.zeros_like(self.mask).scatter_(0, kept.indices, (kept.values > 0).float())
        self.W *= self.mask

    @torch.no_grad()
    def result(self, k: int | None) -> SparseTransport:
        drive = torch.zeros_like(self.W)
        fired = torch.zeros_like(self.bias)
        for start in range(0, self.tokens, CHUNK):
            f_a, f_b, _, _ = self.forward(slice(start, start + CHUNK))
            active = (f_b != 0).float()
            fired += active.sum(0)
            drive += torch.sparse.mm(self._transposed(f_a), active)
        drive = drive * self.W / fired.clamp(min=1)
        weight = sp.csr_array(self.W.T.contiguous().cpu().numpy())
        places = weight.tocoo().coords
        driven = weight.copy()
        driven.data = drive.T.contiguous().cpu().numpy()[places]
        count = np.bincount(self.F.indices, minlength=self.a.d_sae)
        total = np.asarray(self.F.sum(axis=0), dtype=np.float32)
        size = np.divide(total, count, out=np.full(len(count), np.nan), where=count > 0)
        return SparseTransport(
            a=self.a,
            b=self.b,
            k=k,
            weight=weight,
            bias=self.bias.clone(),
            drive=driven,
            source_size=torch.from_numpy(size.astype(np.float32)).to(self.b.device),
            carried=self.carried,
            tokens=self.tokens,
            loss=self.loss,
        )

    def _transposed(self, f_a: sp.csr_array) -> Tensor:
        return as_torch(sp.csr_array(f_a.T), self.b.device)


def _adam(p: Tensor, pull: Tensor, mean: Tensor, square: Tensor, rate: float, step: int) -> None:
    first, second = 0.9, 0.98  # forgets sooner than is usual: there are few steps
    mean.mul_(first).add_(pull, alpha=1 - first)
    square.mul_(second).addcmul_(pull, pull, value=1 - second)
    size = square.div(1 - second**step).sqrt_().add_(1e-8)
    p.addcdiv_(mean, size, value=-rate / (1 - first**step))


def _check(a, b, activations_a, target, carried, ks) -> None:
    if a.d_out != b.d_in:
        raise SaematchError(
            f"{a.name} writes {a.d_out} dimensions, {b.name} reads {b.d_in}: there are no virtual "
            "weights between them"
        )
    scaled = b.conventions.normalisation != "none" and b.conventions.denormalised
    if scaled or b.W_skip is not None:
        what = "a skip connection" if b.W_skip is not None else "normalises each token"
        raise SaematchError(
            f"{b.name} {'has ' if b.W_skip is not None else ''}{what}: its reconstruction needs "
            "B's own input, which a transport is to do without"
        )
    if activations_a.d_sae != a.d_sae:
        raise SaematchError(
            f"activations_a has {activations_a.d_sae} features, {a.name} {a.d_sae}: give those of a"
        )
    expected = (activations_a.n_tokens, b.d_out)
    for name, value in (("target", target), ("carried", carried)):
        if value is not None and tuple(value.shape) != expected:
            raise SaematchError(
                f"{name} has shape {tuple(value.shape)}; expected {expected}: one row for each "
                f"token of activations_a, in the space that {b.name} writes"
            )
    if not activations_a.n_tokens:
        raise SaematchError("activations_a has no tokens to fit on; 10,000 are enough")
    if not ks or any(k is not None and k < 1 for k in ks):
        raise SaematchError(f"k is {list(ks)}; each must be 1 or more, or None for all edges")

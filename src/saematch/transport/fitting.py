"""Fitting a sparse transport: its edges and their weights, so that the model continues as before.

The pre-activations of B's features are a sparse sum over sources: A's features on the same token
and on earlier ones, `f_b = activation_b(sources @ weight.T + bias)`. Edges are chosen jointly, by
the error of the hidden state that B decodes, so that one feature can make up for another:

    E = sum over tokens |x_b - error - b_dec - f_b @ W_dec_b|^2

1. **Start** from all virtual weights, `W_dec_a @ W_enc_b`: what the residual stream carries over by
   itself, `b.encode(a.decode(f_a))`. Earlier tokens have no weights yet.
2. **Choose** edges among all possible ones by the gain of each at its best weight. With `G` and `H`
   the slope and curvature of E along its weight,

       best = weight - G / H,      gain = H best^2 / 2,

   which is how much E rises if an existing edge is removed, and how much it falls if a new one is
   added (to second order, with the Gauss-Newton diagonal: optimal brain damage, and the step of
   matching pursuit). Each target keeps the k edges of largest gain.
3. **Fit** weights and biases by Adam, with `1[pre > t] + 1[|pre - t| < w t / 2] / w` for the
   activation's slope: the threshold moves activations in and out, which the rectangle kernel of
   JumpReLU training lets the gradient see. Where a feature never fires and should, the slope is 1.
4. **Repeat** with half as many edges each time, and several times at the number asked for: now
   that all weights are fitted, edges of little gain are exchanged for others.
5. **Finish** with the edges fixed, on the final loss: the error of the hidden state, or a loss
   further down the model, such as the divergence of its predictions.

Sources: virtual weights, Elhage et al. 2021, "A Mathematical Framework for Transformer Circuits";
optimal brain damage, LeCun, Denker, Solla, NIPS 1989; matching pursuit, Mallat and Zhang 1993; the
kernel, Rajamanoharan et al. 2024, arXiv 2407.14435; Adam, Kingma and Ba, arXiv 1412.6980.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import scipy.sparse as sp
import torch
from jaxtyping import Float
from numpy import ndarray
from torch import Tensor

from saematch.activations.table import FeatureActivations
from saematch.errors import SaematchError
from saematch.sae.sae import SAE
from saematch.transport.downstream import Downstream, HiddenState
from saematch.transport.edges import Edges
from saematch.transport.reading import REACHES, Reach, check_reaches, read_sparse
from saematch.transport.sparse import SparseTransport, as_torch, threshold

ENOUGH = 10_000  # tokens to fit on; with fewer, edges are chosen by chance
CHUNK = 1024  # tokens at a time, where all edges are looked at
BLOCK = 2**27  # edges that are looked at together: five float32 matrices of them, 2.5 GB
LOOKED = 16_384  # tokens that edges are chosen on, at most; drawn anew each time
BETAS = (0.9, 0.98)  # of Adam, which forgets sooner than is usual: there are few steps
DENSE = 32  # a table with one value in as many is the faster as a dense matrix


@dataclass(frozen=True)
class Schedule:
    """How long and how fast to fit; an epoch is once over all tokens."""

    widest: int = 256  # edges per feature that are fitted first
    between: int = 2  # epochs after each choice of edges
    exchanges: int = 3  # times that edges are chosen again at each number asked for
    final: int = 8  # epochs at the end, with the edges fixed
    batch: int = 1024  # tokens a step
    rate: float = 0.003  # of Adam
    final_rate: float = 0.005  # falling to 0
    width: float = 0.5  # of the rectangle kernel, in thresholds
    ridge: float = 0.01  # added to the curvature, in units of its mean over a target's edges


def fit_transport(
    a: SAE,
    b: SAE,
    activations_a: FeatureActivations,
    target: Float[Tensor, "tokens d_out"],
    *,
    k: int = 32,
    error: Float[Tensor, "tokens d_out"] | None = None,
    reaches: Sequence[Reach] = tuple(REACHES),
    downstream: Downstream | None = None,
    schedule: Schedule | None = None,
    seed: int = 0,
) -> SparseTransport:
    """The sparse transport from `a` to `b` with at most `k` edges per feature of `b`.

    Args:
        a: the SAE whose features are read.
        b: the SAE whose features are estimated; in the space that `a` writes to.
        activations_a: what A's features do on the tokens.
        target: raw activations at the site that B writes, on the same tokens.
        k: the most edges per feature of B.
        error: what will be added to B's reconstruction: A's error, `x_a - a.reconstruct(x_a)`.
        reaches: where features of A are read: "here", on the "previous" token, on "recent" ones,
            "so far".
        downstream: the loss of the last step; the error of the hidden state unless given.
        schedule: how long and how fast to fit.
        seed: of the order of tokens.

    Raises:
        SaematchError: SAEs or arrays that do not go together, no tokens, a k below 1, or an
            unknown reach.
    """
    found = fit_transports(
        a,
        b,
        activations_a,
        target,
        ks=(k,),
        error=error,
        reaches=reaches,
        downstream=downstream,
        schedule=schedule,
        seed=seed,
    )
    return found[k]


def fit_transports(
    a: SAE,
    b: SAE,
    activations_a: FeatureActivations,
    target: Float[Tensor, "tokens d_out"],
    *,
    ks: Sequence[int] = (64, 32, 16, 8, 4),
    error: Float[Tensor, "tokens d_out"] | None = None,
    reaches: Sequence[Reach] = tuple(REACHES),
    downstream: Downstream | None = None,
    schedule: Schedule | None = None,
    seed: int = 0,
) -> dict[int, SparseTransport]:
    """Transports of several sparsities from one fit, each chosen from the one before; by k.

    Arguments and errors are those of `fit_transport`.
    """
    schedule = schedule or Schedule()
    _check(a, b, activations_a, target, error, ks)
    check_reaches(reaches)
    fit = _Fit(a, b, activations_a, target, error, tuple(reaches), schedule, seed)
    found: dict[int, SparseTransport] = {}
    reached = 2 * schedule.widest
    for k in sorted(set(ks), reverse=True):
        while reached // 2 > k:
            reached //= 2
            fit.choose(reached)
            fit.run(schedule.between, schedule.rate)
        reached = k
        for _ in range(1 + schedule.exchanges):
            fit.choose(k)
            fit.run(schedule.between, schedule.rate)
        found[k] = fit.finished(k, downstream)
    return found


@dataclass
class _State:
    """The fitted values; without edges, all virtual weights are used."""

    bias: Float[Tensor, " d_sae_b"]
    edges: Edges | None = None


class _Fit:
    """Edges and weights in the course of being chosen and fitted."""

    def __init__(self, a, b, activations_a, target, error, reaches, schedule, seed) -> None:
        self.a, self.b, self.reaches, self.schedule = a, b, reaches, schedule
        self.F = read_sparse(activations_a, reaches)
        self.tokens, self.sources = activations_a.n_tokens, len(reaches) * a.d_sae
        self.error = None if error is None else error.to(b.device).float()
        self.x_b = target.to(b.device).float()
        open_a, open_b = (~a.excluded).to(b.device), ~b.excluded
        self.open_b = open_b
        self.open_sources = open_a.repeat(len(reaches))
        self.W_dec = torch.where(open_b[:, None], b.W_dec, 0.0).float()
        self.W_enc = torch.where(open_b, b.W_enc, 0.0).float()
        self.W_dec_a = torch.where(open_a[:, None], a.W_dec.to(b.device), 0.0).float()
        self.b_dec = b.b_dec.float()
        limit = threshold(b)
        self.threshold = None if limit is None else limit.float()
        before = a.b_dec.to(b.device).float()
        if b.conventions.centred:
            before = before - self.b_dec
        bias = torch.where(open_b, before @ self.W_enc + b.b_enc.float(), 0.0)
        self.now = _State(bias)
        self.random = np.random.default_rng(seed)
        self.stuck = torch.zeros_like(open_b)

    def forward(self, rows: ndarray) -> tuple[Tensor, Tensor, Tensor]:
        """f_b, the slope of the activation, and the estimate of x_b, for some tokens."""
        edges = self.now.edges
        if edges is None:
            here = self._matrix(self._rows(rows)[:, : self.a.d_sae])
            pre = here @ self.W_dec_a @ self.W_enc
        else:
            pre = edges.forward(self.F, rows).to(self.b.device)
        pre += self.now.bias
        if self.threshold is None:
            f_b = self.b.activate(pre)
            slope = (f_b != 0).float()
        else:
            gate = (pre > self.threshold).float()
            f_b = pre * gate
            width = self.schedule.width
            near = (pre - self.threshold).abs_() < self.threshold * (width / 2)
            slope = gate.add_(near, alpha=1 / width)
        slope.masked_fill_(self.stuck, 1.0)
        x_hat = f_b @ self.W_dec + self.b_dec
        return f_b, slope, x_hat if self.error is None else x_hat + self.error[rows]

    @torch.no_grad()
    def choose(self, k: int) -> None:
        """Keep the k edges of largest gain of each target, among all possible ones."""
        self._find_stuck()
        some = self._some()
        width = max(1, BLOCK // self.sources)
        found = [
            self._worthy(slice(start, start + width), some, k)
            for start in range(0, self.b.d_sae, width)
        ]
        edges = (torch.cat(parts) for parts in zip(*found, strict=True))
        self.now.edges = Edges.of(*edges, shape=(self.sources, self.b.d_sae))

    def _worthy(self, block: slice, some: ndarray, k: int) -> tuple[Tensor, Tensor, Tensor]:
        """Source, target and weight of the k edges of largest gain of some targets."""
        weight, W_dec = self._weights(block), self.W_dec[block]
        G, H = torch.zeros_like(weight), torch.zeros_like(weight)
        for rows in np.array_split(some, -(-len(some) // CHUNK)):
            _, slope, x_hat = self.forward(rows)
            slope = slope[:, block]
            pull = ((x_hat - self.x_b[rows]) @ W_dec.T).mul_(slope)
            F = self._rows(rows)
            G += self._matrix(F).T @ pull
            H += self._matrix(F.power(2)).T @ slope.square()
        H *= W_dec.square().sum(1)
        ridge = self.schedule.ridge * H.mean(0)
        best = weight - G.div_((H + ridge).clamp_(min=torch.finfo(H.dtype).tiny))
        gain = best.square_().mul_(H).mul_(self.open_sources[:, None] & self.open_b[block])
        kept = gain.topk(min(k, self.sources), dim=0)
        place, target = (kept.values > 0).nonzero(as_tuple=True)
        source = kept.indices[place, target]
        return source, target + block.start, weight[source, target]

    @torch.no_grad()
    def run(
        self, epochs: int, rate: float, downstream: Downstream | None = None, falling: bool = False
    ) -> None:
        """Epochs of Adam, its memory new; by the hidden state, or by what comes downstream."""
        edges, bias = self.now.edges, self.now.bias
        assert edges is not None
        loss = downstream or HiddenState(self.x_b)
        adam = torch.optim.Adam([edges.weight, bias], betas=BETAS, fused=True)
        for epoch in range(epochs):
            batches = loss.batches(self.schedule.batch, self.random)
            for step, rows in enumerate(batches):
                done = (epoch + step / len(batches)) / epochs
                adam.param_groups[0]["lr"] = rate * (1 - done) if falling else rate
                _, slope, x_hat = self.forward(rows)
                _, up = loss.slope(rows, x_hat)
                pull = (up.to(self.W_dec) @ self.W_dec.T).mul_(slope).div_(len(rows))
                edges.weight.grad, bias.grad = edges.back(self.F, rows, pull), pull.sum(0)
                adam.step()
        edges.weight.grad = bias.grad = None

    def finished(self, k: int, downstream: Downstream | None) -> SparseTransport:
        """The transport with the present edges, fitted to the end; `now` is left unchanged."""
        edges, schedule = self.now.edges, self.schedule
        assert edges is not None
        before, self.now = (
            self.now,
            _State(self.now.bias.clone(), replace(edges, weight=edges.weight.clone())),
        )
        self.run(schedule.final, schedule.final_rate, downstream, falling=True)
        found = self._result(k)
        self.now = before
        return found

    @torch.no_grad()
    def _result(self, k: int) -> SparseTransport:
        edges = self.now.edges
        assert edges is not None
        drive, fired = torch.zeros_like(edges.weight), torch.zeros_like(self.now.bias)
        loss = 0.0
        for rows in _chunks(self.tokens, CHUNK):
            f_b, _, x_hat = self.forward(rows)
            active = (f_b != 0).float()
            fired += active.sum(0)
            drive += edges.back(self.F, rows, active)
            loss += float((x_hat - self.x_b[rows]).square().sum())
        drive *= edges.weight / fired.cpu().clamp(min=1)[torch.from_numpy(edges.target).long()]
        count = np.bincount(self.F.indices, minlength=self.sources)
        total = np.asarray(self.F.sum(axis=0), dtype=np.float32)
        size = np.divide(total, count, out=np.full(len(count), np.nan), where=count > 0)
        return SparseTransport(
            a=self.a,
            b=self.b,
            k=k,
            reaches=self.reaches,
            weight=edges.by_target(edges.weight),
            bias=self.now.bias.clone(),
            drive=edges.by_target(drive),
            source_size=torch.from_numpy(size.astype(np.float32)).to(self.b.device),
            with_error=self.error is not None,
            tokens=self.tokens,
            loss=loss / self.tokens,
        )

    @torch.no_grad()
    def _find_stuck(self) -> None:
        """Targets that should fire and never do, which no slope would show."""
        fires, spoken = (torch.zeros_like(self.open_b) for _ in range(2))
        for rows in _chunks(self.tokens, CHUNK):
            spoken |= (self.forward(rows)[0] != 0).any(0)
            fires |= (self.b.encode(self.x_b[rows].to(self.b.dtype)) != 0).any(0)
        self.stuck = fires & ~spoken

    def _weights(self, block: slice) -> Float[Tensor, "sources block"]:
        if self.now.edges is not None:
            return self.now.edges.dense(self.now.edges.weight, block, self.b.device)
        others = (len(self.reaches) - 1) * self.a.d_sae
        here = self.W_dec_a @ self.W_enc[:, block]
        return torch.nn.functional.pad(here, (0, 0, 0, others))

    def _rows(self, rows: ndarray) -> sp.csr_array:
        return sp.csr_array(self.F[rows])

    def _some(self) -> ndarray:
        """Tokens to choose by."""
        return np.sort(self.random.permutation(self.tokens)[:LOOKED])

    def _matrix(self, F: sp.csr_array) -> Tensor:
        """A table as a matrix, dense or sparse, whichever is the faster."""
        if F.nnz * DENSE > (len(F.indptr) - 1) * self.sources:
            return torch.from_numpy(F.toarray()).to(self.b.device)
        return as_torch(F, self.b.device)


def _chunks(tokens: int, size: int) -> Iterator[ndarray]:
    return (np.arange(start, min(start + size, tokens)) for start in range(0, tokens, size))


def _check(a, b, activations_a, target, error, ks) -> None:
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
    if not isinstance(activations_a, FeatureActivations):
        raise SaematchError(
            f"activations_a is a {type(activations_a).__name__}; give FeatureActivations(matrix, "
            "example): a scipy csr_array (tokens, d_sae) and the example that each token is of"
        )
    if activations_a.d_sae != a.d_sae:
        raise SaematchError(
            f"activations_a has {activations_a.d_sae} features, {a.name} {a.d_sae}: give those of a"
        )
    expected = (activations_a.n_tokens, b.d_out)
    for name, value in (("target", target), ("error", error)):
        if value is not None and tuple(value.shape) != expected:
            raise SaematchError(
                f"{name} has shape {tuple(value.shape)}; expected {expected}: one row for each "
                f"token of activations_a, in the space that {b.name} writes"
            )
    if not activations_a.n_tokens:
        raise SaematchError(f"activations_a has no tokens to fit on; give {ENOUGH:,} or more")
    if not ks or any(k < 1 for k in ks):
        raise SaematchError(f"k is {list(ks)}; each must be 1 or more")

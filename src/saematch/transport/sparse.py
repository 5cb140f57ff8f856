"""A sparse map from the features of A to those of B, the target's non-linearity included.

    f_b = activation_b(f_a @ weight.T + bias)

Every feature of B reads at most k features of A. A gate is a setting of weights and threshold:
where each of two sources alone lifts the target above its threshold, it is an OR; where only both
together do, an AND.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
import scipy.sparse as sp
import torch
from jaxtyping import Float
from numpy import ndarray
from torch import Tensor

from saematch.errors import SaematchError
from saematch.sae import SAE

DENSE = 32  # one weight in as many, from which on a dense product is the faster one


@dataclass(frozen=True, eq=False)
class SparseTransport:
    """Edges from the features of `a` to those of `b`; made by `fit_transport`."""

    a: SAE
    b: SAE
    k: int | None  # the most edges a feature of B may have; None: any number
    weight: sp.csr_array  # float32 (d_sae_b, d_sae_a): activation of B per activation of A
    bias: Float[Tensor, " d_sae_b"]
    drive: sp.csr_array  # as weight: mean of weight * f_a over the tokens on which the target fired
    source_size: Float[Tensor, " d_sae_a"]  # mean activation where active; NaN: never
    carried: bool  # whether it was fitted with something carried along, such as A's error
    tokens: int  # it was fitted on
    loss: float  # mean squared error per token, |x_b - estimate|^2, at the end of the fit

    @property
    def threshold(self) -> Float[Tensor, " d_sae_b"] | None:
        """What a pre-activation must exceed; None where B keeps the largest k of a token."""
        return threshold(self.b)

    @property
    def n_edges(self) -> int:
        return int(self.weight.nnz)

    def apply(self, f_a: Float[Tensor, "... d_sae_a"]) -> Float[Tensor, "... d_sae_b"]:
        """Activations of B's features from those of A's.

        Raises:
            SaematchError: `f_a` is not of that shape.
        """
        if f_a.ndim == 0 or f_a.shape[-1] != self.a.d_sae:
            raise SaematchError(
                f"f_a has shape {tuple(f_a.shape)}; expected {self.a.d_sae} activations in its "
                f"last dimension, one for each feature of {self.a.name}"
            )
        flat = f_a.reshape(-1, self.a.d_sae).to(self.bias.dtype)
        pre = self._carried_over(flat) + self.bias.to(f_a.device)
        return self.b.activate(pre).reshape(*f_a.shape[:-1], self.b.d_sae)

    def _carried_over(self, f_a: Tensor) -> Tensor:
        if self.weight.nnz * DENSE > self.a.d_sae * self.b.d_sae:
            return f_a @ torch.from_numpy(self.weight.toarray()).to(f_a).T
        return torch.sparse.mm(as_torch(self.weight, f_a.device, f_a.dtype), f_a.T).T

    def estimate(
        self, f_a: Float[Tensor, "... d_sae_a"], carried: Float[Tensor, "... d_out"] | None = None
    ) -> Float[Tensor, "... d_out"]:
        """The hidden state at B's site: `b.decode(apply(f_a))`, plus what is carried along.

        `carried` is `x_a - a.reconstruct(x_a)` where A's error goes along, as in feature circuits.
        """
        x_hat = self.b.decode(self.apply(f_a).to(self.b.dtype))
        return x_hat if carried is None else x_hat + carried

    def edges(self) -> pl.DataFrame:
        """One row per edge, by target and share.

        Columns: `source` and `target`, feature indices; `weight`; `share`, the edge's part in the
        absolute drive of its target over the tokens on which that fired (null: it never fired);
        `sufficient`, whether the source alone, at its mean activation, lifts the target above its
        threshold (null: never active, or B has no thresholds). Two edges that are both sufficient
        make an OR, two that are not, but are together, an AND.
        """
        weight = self.weight.tocoo()
        target, source = weight.coords
        drive = np.abs(self.drive.tocoo().data)
        whole = np.bincount(target, weights=drive, minlength=self.b.d_sae)[target]
        share = np.divide(drive, whole, out=np.full(len(drive), np.nan), where=whole > 0)
        size = self.source_size.cpu().numpy()[source]
        sufficient: list[bool] | list[None] = [None] * len(source)
        if self.threshold is not None:
            alone = self.bias.cpu().numpy()[target] + weight.data * size
            above = alone > self.threshold.float().cpu().numpy()[target]
            sufficient = pl.Series(above).set(pl.Series(np.isnan(size)), None).to_list()
        frame = pl.DataFrame(
            {
                "source": source.astype(np.int32),
                "target": target.astype(np.int32),
                "weight": weight.data,
                "share": share.astype(np.float32),
                "sufficient": pl.Series(sufficient, dtype=pl.Boolean),
            }
        )
        frame = frame.with_columns(pl.col("share").fill_nan(None))
        return frame.sort("target", "share", descending=[False, True], nulls_last=True)

    def __repr__(self) -> str:
        most = "any number of" if self.k is None else f"at most {self.k}"
        return (
            f"SparseTransport({self.a.name} -> {self.b.name}: {self.n_edges:,} edges, {most} "
            f"a feature, fitted on {self.tokens:,} tokens)"
        )


def threshold(b: SAE) -> Tensor | None:
    """What a pre-activation of B must exceed to be active, `(d_sae,)`; None for top-k and its kin.

    A negative threshold counts as 0, since an activation is not negative.
    """
    if b.threshold is not None and b.conventions.activation in ("jumprelu", "batchtopk"):
        return b.threshold.clamp(min=0)
    return torch.zeros_like(b.b_enc) if b.conventions.activation == "relu" else None


def as_torch(matrix: sp.csr_array, device: torch.device, dtype=torch.float32) -> Tensor:
    """A scipy matrix as a sparse tensor, its entries in the order they have."""
    height, width = matrix.shape  # pyright: ignore[reportGeneralTypeIssues]
    rows = np.repeat(np.arange(height), np.diff(matrix.indptr))
    place: ndarray = np.stack([rows, matrix.indices.astype(np.int64)])
    return torch.sparse_coo_tensor(
        torch.from_numpy(place),
        torch.from_numpy(matrix.data),
        (height, width),
        dtype=dtype,
        device=device,
        is_coalesced=matrix.has_canonical_format,
        check_invariants=False,
    )

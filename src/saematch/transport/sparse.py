"""A sparse map from the features of A to those of B, the target's non-linearity included.

    f_b = activation_b(sources @ weight.T + bias)

Every feature of B reads at most k sources: features of A, on the same token or on earlier ones
(`saematch.transport.reading`). A gate is a setting of weights and threshold:
where each of two sources alone lifts the target above its threshold, it is an OR; where only both
together do, an AND.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
import scipy.sparse as sp
import torch
from jaxtyping import Float, Int
from numpy import ndarray
from torch import Tensor

from saematch.errors import SaematchError
from saematch.sae.sae import SAE
from saematch.transport.reading import Reach, read


@dataclass(frozen=True, eq=False)
class SparseTransport:
    """Edges from the features of `a` to those of `b`; made by `fit_transport`."""

    a: SAE
    b: SAE
    k: int  # the most edges a feature of B may have
    reaches: tuple[Reach, ...]  # where features of A are read
    weight: sp.csr_array  # float32 (d_sae_b, len(reaches) * d_sae_a): activation of B per source's
    bias: Float[Tensor, " d_sae_b"]
    drive: (
        sp.csr_array
    )  # as weight: mean of weight * source over the tokens on which the target fired
    source_size: Float[Tensor, " sources"]  # mean where it is not zero; NaN: never
    with_error: bool  # whether it was fitted for use with A's error added
    tokens: int  # it was fitted on
    loss: float  # mean squared error per token, |x_b - estimate|^2, at the end of the fit

    @property
    def threshold(self) -> Float[Tensor, " d_sae_b"] | None:
        """What a pre-activation must exceed; None where B keeps the largest k of a token."""
        return threshold(self.b)

    @property
    def n_edges(self) -> int:
        return int(self.weight.nnz)

    def apply(
        self,
        f_a: Float[Tensor, "... tokens d_sae_a"],
        example: Int[Tensor, " tokens"] | None = None,
    ) -> Float[Tensor, "... tokens d_sae_b"]:
        """Activations of B's features from those of A's.

        Args:
            f_a: token after token, BOS left out; any dimensions before are of other texts.
            example: which example each token is of, where several follow one another.

        Raises:
            SaematchError: `f_a` is not of that shape, or `example` not one number for each token.
        """
        if f_a.ndim < 2 or f_a.shape[-1] != self.a.d_sae:
            raise SaematchError(
                f"f_a has shape {tuple(f_a.shape)}; expected (tokens, {self.a.d_sae}): for each "
                f"token one activation of each feature of {self.a.name}"
            )
        if example is not None and example.shape != f_a.shape[:-1]:
            raise SaematchError(
                f"example has shape {tuple(example.shape)}; expected {tuple(f_a.shape[:-1])}, one "
                "number for each token of a single sequence"
            )
        if example is None:
            number = torch.arange(f_a.shape[:-2].numel(), device=f_a.device)
            example = number.repeat_interleave(f_a.shape[-2])
        flat = f_a.reshape(-1, self.a.d_sae).to(self.bias.dtype)
        sources = read(flat, example, self.reaches)
        weight = as_torch(self.weight, f_a.device, sources.dtype)
        pre = torch.sparse.mm(weight, sources.T).T + self.bias.to(f_a.device)
        return self.b.activate(pre).reshape(*f_a.shape[:-1], self.b.d_sae)

    def estimate(
        self,
        f_a: Float[Tensor, "... tokens d_sae_a"],
        error: Float[Tensor, "... tokens d_out"] | None = None,
        example: Int[Tensor, " tokens"] | None = None,
    ) -> Float[Tensor, "... tokens d_out"]:
        """The hidden state at B's site: `b.decode(apply(f_a))`, plus `error` if given.

        `error` is A's, `x_a - a.reconstruct(x_a)`, added as in sparse feature circuits.
        """
        x_hat = self.b.decode(self.apply(f_a, example).to(self.b.dtype))
        return x_hat if error is None else x_hat + error

    def edges(self) -> pl.DataFrame:
        """One row per edge, by target and share.

        Columns: `source` and `target`, feature indices; `reach`, where the source is read;
        `weight`; `share`, the edge's part in the
        absolute drive of its target over the tokens on which that fired (null: it never fired);
        `sufficient`, whether the source alone, at its mean activation, lifts the target above its
        threshold (null: never active, or B has no thresholds). Two edges that are both sufficient
        make an OR, two that are not, but are together, an AND.
        """
        weight = self.weight.tocoo()
        target, source = weight.coords
        place, feature = np.divmod(source, self.a.d_sae)
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
                "source": feature.astype(np.int32),
                "target": target.astype(np.int32),
                "reach": pl.Series(place.tolist(), dtype=pl.Int32).replace_strict(
                    dict(enumerate(self.reaches)), return_dtype=pl.String
                ),
                "weight": weight.data,
                "share": share.astype(np.float32),
                "sufficient": pl.Series(sufficient, dtype=pl.Boolean),
            }
        )
        frame = frame.with_columns(pl.col("share").fill_nan(None))
        return frame.sort("target", "share", descending=[False, True], nulls_last=True)

    def __repr__(self) -> str:
        return (
            f"SparseTransport({self.a.name} -> {self.b.name}: {self.n_edges:,} edges, at most "
            f"{self.k} a feature, read {', '.join(self.reaches)}, fitted on {self.tokens:,} tokens)"
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

"""The activations of one SAE on text: a sparse table of tokens by features."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import scipy.sparse as sp
import torch
from jaxtyping import Float
from numpy import ndarray
from torch import Tensor

from saematch.errors import SaematchError


@dataclass(frozen=True, eq=False)
class FeatureActivations:
    """The non-zero activations of the features of one SAE on tokens.

    BOS and padding are left out. Tokens come example after example, in the same order for all SAEs,
    so that row t of two SAEs is the same token.

    Raises:
        SaematchError: `example` does not have one number per token, in ascending order.
    """

    matrix: sp.csr_array  # float32 (tokens, d_sae), in the SAE's own activation units
    example: ndarray  # int32 (tokens,): which example each token is of, ascending
    generated: bool = False  # the model wrote the text itself: it stands in for text that matters

    def __post_init__(self) -> None:
        if self.example.shape != (self.n_tokens,) or (np.diff(self.example) < 0).any():
            raise SaematchError(
                f"example has shape {self.example.shape}; expected one number for each of "
                f"{self.n_tokens:,} tokens, ascending"
            )

    @property
    def shape(self) -> tuple[int, int]:
        """Tokens and features."""
        tokens, features = self.matrix.shape  # pyright: ignore[reportGeneralTypeIssues]
        return tokens, features

    @property
    def n_tokens(self) -> int:
        return self.shape[0]

    @property
    def d_sae(self) -> int:
        return self.shape[1]

    def take(self, tokens: slice | ndarray) -> FeatureActivations:
        """The activations on some tokens, given by place or by mask."""
        return replace(self, matrix=self.matrix[tokens].tocsr(), example=self.example[tokens])

    def counts(self) -> ndarray:
        """`(d_sae,)` int64: the number of tokens on which each feature fired."""
        return np.bincount(self.matrix.indices, minlength=self.d_sae)

    def deviations(self, unit: bool = False) -> Float[Tensor, "d_sae tokens"]:
        """Activations minus their mean over tokens, divided by the root of the number of tokens.

        Inner products of the rows of two SAEs are covariances; of rows of `unit` norm, Pearson
        correlations, zeros included. A feature that never fires has a row of zeros. Dense.
        """
        mean, deviation = self.moments()
        scale = np.full(self.d_sae, max(1, self.n_tokens) ** -0.5)
        if unit:
            scale *= np.divide(1, deviation, out=np.zeros_like(scale), where=deviation > 0)
        rows = torch.from_numpy(self.matrix.T.toarray(order="C"))
        rows -= torch.from_numpy(mean).to(rows)[:, None]
        return rows.mul_(torch.from_numpy(scale).to(rows)[:, None])

    def moments(self) -> tuple[ndarray, ndarray]:
        """Mean and standard deviation `(d_sae,)` of each feature over all tokens, in float64."""
        tokens, index = max(1, self.n_tokens), self.matrix.indices
        values = self.matrix.data.astype(np.float64)
        mean = np.bincount(index, values, self.d_sae) / tokens
        square = np.bincount(index, values * values, self.d_sae) / tokens
        # a feature that is constant over tokens has no deviation but rounding
        variance = square - mean * mean
        return mean, np.sqrt(np.where(variance > 1e-12 * square, variance, 0.0))

    def same_tokens(self, other: FeatureActivations) -> bool:
        """Whether two have the same number of tokens in the same examples."""
        return np.array_equal(self.example, other.example)


def joined(parts: Sequence[FeatureActivations]) -> FeatureActivations:
    """Parts one after another; the examples of each are numbered after those before."""
    examples, after = [], 0
    for part in parts:
        examples.append(part.example + after)
        after += int(part.example[-1]) + 1 if part.n_tokens else 0
    matrix = sp.csr_array(sp.vstack([part.matrix for part in parts]))
    generated = any(part.generated for part in parts)
    return FeatureActivations(matrix, np.concatenate(examples).astype(np.int32), generated)

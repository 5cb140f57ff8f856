"""What the features of one SAE do on text: a sparse table of tokens by features."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from numpy import ndarray

from saematch.errors import SaematchError


@dataclass(frozen=True, eq=False)
class FeatureActivations:
    """Activations of the features of one SAE over tokens, where they are not zero.

    Tokens are those that count (BOS and padding are left out), example after example, and in one
    order for all SAEs, so that row t of two SAEs is the same token.

    Raises:
        SaematchError: as many examples as tokens are needed, in ascending order.
    """

    matrix: sp.csr_array  # float32 (tokens, d_sae), in the SAE's own activation units
    example: ndarray  # int32 (tokens,): which example each token is of, ascending

    def __post_init__(self) -> None:
        if self.example.shape != (self.matrix.shape[0],) or (np.diff(self.example) < 0).any():
            raise SaematchError(
                f"example has shape {self.example.shape}; expected one number for each of "
                f"{self.matrix.shape[0]:,} tokens, ascending"
            )

    @property
    def n_tokens(self) -> int:
        return self.matrix.shape[0]

    @property
    def d_sae(self) -> int:
        return self.matrix.shape[1]

    def take(self, tokens: slice | ndarray) -> FeatureActivations:
        """Those of some tokens, given by place or by mask."""
        return FeatureActivations(self.matrix[tokens].tocsr(), self.example[tokens])

    def counts(self) -> ndarray:
        """`(d_sae,)` int64: the tokens on which each feature fired."""
        return np.bincount(self.matrix.indices, minlength=self.d_sae)

    def same_tokens(self, other: FeatureActivations) -> bool:
        """Whether two are of the same number of tokens in the same examples."""
        return np.array_equal(self.example, other.example)


def joined(parts: Sequence[FeatureActivations]) -> FeatureActivations:
    """Parts one after another; the examples of each are numbered after those before."""
    examples, after = [], 0
    for part in parts:
        examples.append(part.example + after)
        after += int(part.example[-1]) + 1 if part.n_tokens else 0
    matrix = sp.vstack([part.matrix for part in parts], format="csr")
    return FeatureActivations(matrix, np.concatenate(examples).astype(np.int32))

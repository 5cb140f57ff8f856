"""Sparse edges from sources to targets, and products with them forward and back, token by token.

Few sources are active on a token and few edges leave each: going along those takes far fewer
products than the weights as a matrix.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
import torch
from jaxtyping import Float, Int
from numpy import ndarray
from torch import Tensor

from saematch.numerics.compiled import compiled


@dataclass(frozen=True, eq=False)
class Edges:
    """Edges in the order of their sources, then of their targets."""

    first: ndarray  # int64 (sources + 1,): where the edges of each source begin
    target: ndarray  # int32 (edges,)
    weight: Float[Tensor, " edges"]  # float32, on the CPU; changed in place by a fit
    targets: int  # how many there may be

    @classmethod
    def of(
        cls,
        source: Int[Tensor, " edges"],
        target: Int[Tensor, " edges"],
        weight: Float[Tensor, " edges"],
        shape: tuple[int, int],
    ) -> Edges:
        """Edges in any order, of so many sources and targets."""
        order = (source * shape[1] + target).argsort()
        counts = torch.bincount(source, minlength=shape[0])
        first = np.concatenate([[0], counts.cumsum(0).cpu().numpy()])
        return cls(first, target[order].int().cpu().numpy(), weight[order].float().cpu(), shape[1])

    @property
    def source(self) -> ndarray:
        return np.repeat(np.arange(len(self.first) - 1), np.diff(self.first))

    def dense(
        self, values: Tensor, block: slice, device: torch.device
    ) -> Float[Tensor, "sources block"]:
        """A value per edge as a matrix, of some targets; 0 where there is no edge."""
        start, end, _ = block.indices(self.targets)
        there = (self.target >= start) & (self.target < end)
        whole = torch.zeros(len(self.first) - 1, end - start, device=device)
        row = torch.from_numpy(self.source[there]).to(device)
        column = torch.from_numpy(self.target[there].astype(np.int64) - start).to(device)
        whole[row, column] = values[torch.from_numpy(there)].to(whole)
        return whole

    def by_target(self, values: Tensor) -> sp.csr_array:
        """A value per edge as `(targets, sources)`, sparse."""
        shape = (self.targets, len(self.first) - 1)
        return sp.csr_array((values.numpy(), (self.target, self.source)), shape=shape)

    def forward(self, F: sp.csr_array, rows: ndarray) -> Float[Tensor, "rows targets"]:
        """The drive of each target on some tokens of `F` (tokens, sources)."""
        found = np.zeros((len(rows), self.targets), np.float32)
        _forward(
            F.indptr, F.indices, F.data, rows, self.first, self.target, self.weight.numpy(), found
        )
        return torch.from_numpy(found)

    def back(
        self, F: sp.csr_array, rows: ndarray, pull: Float[Tensor, "rows targets"]
    ) -> Float[Tensor, " edges"]:
        """Of each edge, the sum over tokens of its source's activation times its target's pull."""
        found = np.zeros(len(self.target), np.float32)
        along = np.ascontiguousarray(pull.cpu().numpy(), np.float32)
        _back(F.indptr, F.indices, F.data, rows, self.first, self.target, along, found)
        return torch.from_numpy(found)


@compiled
def _forward(start, source, value, rows, first, target, weight, out):
    for r in range(rows.shape[0]):
        t = rows[r]
        for q in range(start[t], start[t + 1]):
            for e in range(first[source[q]], first[source[q] + 1]):
                out[r, target[e]] += value[q] * weight[e]


@compiled
def _back(start, source, value, rows, first, target, pull, out):
    for r in range(rows.shape[0]):
        t = rows[r]
        for q in range(start[t], start[t + 1]):
            for e in range(first[source[q]], first[source[q] + 1]):
                out[e] += value[q] * pull[r, target[e]]

"""Sparse edges from sources to targets, and what they carry forward and back, token by token.

Few sources are active on a token and few edges leave each: going along those costs a hundredth of
a product with the weights as a matrix.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
import torch
from jaxtyping import Bool, Float
from numpy import ndarray
from torch import Tensor

from saematch.assignment.compiled import compiled


@dataclass(frozen=True, eq=False)
class Edges:
    """Edges in the order of their sources, then of their targets."""

    first: ndarray  # int64 (sources + 1,): where the edges of each source begin
    target: ndarray  # int32 (edges,)
    weight: Float[Tensor, " edges"]  # float32, on the CPU; changed in place by a fit
    targets: int  # how many there may be

    @classmethod
    def of(
        cls, weight: Float[Tensor, "sources targets"], kept: Bool[Tensor, "sources targets"]
    ) -> Edges:
        """Those of a matrix that are kept."""
        source, target = kept.nonzero(as_tuple=True)
        counts = torch.bincount(source, minlength=len(kept))
        first = np.concatenate([[0], counts.cumsum(0).cpu().numpy()])
        values = weight[source, target].float().cpu()
        return cls(first, target.int().cpu().numpy(), values, kept.shape[1])

    @property
    def source(self) -> ndarray:
        return np.repeat(np.arange(len(self.first) - 1), np.diff(self.first))

    def dense(self, values: Tensor, device: torch.device) -> Float[Tensor, "sources targets"]:
        """A value per edge as a matrix, 0 where there is no edge."""
        whole = torch.zeros(len(self.first) - 1, self.targets, device=device)
        place = torch.from_numpy(self.source), torch.from_numpy(self.target).long()
        whole[place[0].to(device), place[1].to(device)] = values.to(whole)
        return whole

    def by_target(self, values: Tensor) -> sp.csr_array:
        """A value per edge as `(targets, sources)`, sparse."""
        shape = (self.targets, len(self.first) - 1)
        return sp.csr_array((values.numpy(), (self.target, self.source)), shape=shape)

    def forward(self, F: sp.csr_array, rows: ndarray) -> Float[Tensor, "rows targets"]:
        """What some tokens of `F` (tokens, sources) drive each target with."""
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

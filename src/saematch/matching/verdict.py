"""Verdict: what separates significant pairs from the others."""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from saematch.matching.significance import Significance


@dataclass(frozen=True, eq=False)
class Verdict:
    """How the pairs of a matching were tested, and where the line was drawn."""

    significance: Significance  # as asked for
    p_cut: float | None = None  # the largest p-value that matches; None: no null, or given targets
    null_best: Float[Tensor, " draws"] | None = None  # best scores with null dictionaries

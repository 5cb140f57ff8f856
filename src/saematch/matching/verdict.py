# pyright: strict
"""Verdict: what separates significant pairs from the others."""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from saematch.matching.significance import Significance, Test


@dataclass(frozen=True, eq=False)
class Verdict:
    """How the pairs of a matching were tested, and where the line was drawn."""

    significance: Significance  # as asked for
    test: Test = "score"  # what was tested: the score too where it is of directions alone
    p_cut: float | None = None  # the largest p-value that matches; None: no null, or given targets
    statistic: Float[Tensor, " d_sae_a"] | None = None  # what was tested of each pair
    null_best: Float[Tensor, " draws"] | None = None  # the best of it with null dictionaries

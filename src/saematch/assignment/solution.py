"""The output of a solver: targets and duals, as arrays over rows and columns."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class Solution:
    """Targets and duals of the gains, as arrays over rows and columns."""

    target: np.ndarray
    own: np.ndarray
    row_dual: np.ndarray
    price: np.ndarray
    gap: float

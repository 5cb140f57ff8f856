# pyright: strict
"""How strongly each of several features is steered: a weight for each, by layer or by feature.

By layer, with l counted from the first steered layer on:

- `constant`: 1;
- `linear`: falls in equal steps from 1 at the first layer; a layer after the last would have 0;
- `exponential`: exp(alpha l), with alpha = -0.05 unless given (Feature Flow, arXiv 2502.03032).

By feature, relative to the feature that was named, whose weight is 1:

- `threshold`: its threshold. A coefficient between SAEs that are folded by threshold (SAE Match,
  arXiv 2410.07656) is spread in this way: each feature gets the coefficient times its threshold;
- `activation`: its mean activation where it is active, as folding by activation does, for SAEs that
  have no threshold of each feature.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, get_args

from saematch.errors import SaematchError

Schedule = Literal["constant", "linear", "exponential", "threshold", "activation"]
SCHEDULES: tuple[Schedule, ...] = get_args(Schedule)
BY_FEATURE: dict[Schedule, str] = {"threshold": "threshold", "activation": "mean_activation"}
ALPHA = -0.05  # of Feature Flow


def checked(schedule: str) -> Schedule:
    """The schedule of that name.

    Raises:
        SaematchError: there is none.
    """
    for known in SCHEDULES:
        if schedule == known:
            return known
    raise SaematchError(f"schedule is {schedule!r}; it is one of {', '.join(SCHEDULES)}")


def by_layer(schedule: Schedule, layers: Sequence[int], alpha: float = ALPHA) -> list[float]:
    """The weight of each feature, given the layer of each.

    Args:
        schedule: `constant`, `linear` or `exponential`; others give 1, for they weigh features.
        layers: of the features, in any order.
        alpha: of `exponential`: by how much the logarithm of the weight grows from layer to layer.
    """
    first, last = min(layers), max(layers)
    if schedule == "linear":
        return [1 - (layer - first) / (last - first + 1) for layer in layers]
    if schedule == "exponential":
        return [math.exp(alpha * (layer - first)) for layer in layers]
    return [1.0] * len(layers)

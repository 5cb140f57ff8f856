"""Average effects: what a feature does to a later one over text at large, from weights alone.

    effect_ij = dec_i . J . enc_j

with the mean Jacobian J from A's hook point to B's: how much more feature j of B reads for each
unit of activation of feature i of A, the virtual weights of the two through what lies between.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import polars as pl
import torch
from jaxtyping import Float
from torch import Tensor

from saematch.causal.predecessors import top
from saematch.layers.layers import Pair
from saematch.models.jacobian import Jacobian
from saematch.sae.sae import SAE

TOP = 5  # of each feature, forward and backward, that are kept beside those of the run
EDGES: dict[str, Any] = {
    "a": pl.String,
    "b": pl.String,
    "source": pl.Int64,
    "target": pl.Int64,
    "effect": pl.Float64,  # of one unit of the source's activation on the target's pre-activation
    "cosine": pl.Float64,  # of the decoder rows
}


def average_effects(a: SAE, b: SAE, jacobian: Jacobian | None) -> Float[Tensor, "d_sae_a d_sae_b"]:
    """How much more each feature of B reads for each unit of one of A, on average over text.

    Args:
        a: the SAE of the earlier features.
        b: the SAE of the later ones. Where it normalises its inputs per token, what counts is their
            change before that.
        jacobian: from A's hook point to B's; none where both are the same.
    """
    written = a.W_dec.float()
    return (written if jacobian is None else jacobian.carried(written)) @ b.W_enc.float()


def effect_edges(
    names: tuple[str, str], a: SAE, b: SAE, effects: Float[Tensor, "d_sae_a d_sae_b"], pair: Pair
) -> pl.DataFrame:
    """The effects between the features that a run joins, and the largest of each feature.

    Args:
        names: of the two SAEs.
        a: the earlier SAE.
        b: the later one.
        effects: as of `average_effects`.
        pair: what the run found of the two: targets, candidates and sources.

    Returns:
        One row per pair of features: see `EDGES`.
    """
    found = effects.cpu().double().numpy()
    n, m = found.shape
    sides = [
        (np.arange(n)[:, None], pair.target[:, None]),
        (np.arange(n)[:, None], pair.candidates.index),
        (pair.sources.index, np.arange(m)[:, None]),
        (np.arange(n)[:, None], top(found, TOP)),
        (top(found.T, TOP), np.arange(m)[:, None]),
    ]
    keys: list[Any] = []
    for source, target in sides:
        source, target = np.broadcast_arrays(source, target)
        there = (source >= 0) & (target >= 0)
        keys.append(source[there].astype(np.int64) * m + target[there])
    key = np.unique(np.concatenate(keys))
    i, j = key // m, key % m
    return pl.DataFrame(
        {
            "a": [names[0]] * len(key),
            "b": [names[1]] * len(key),
            "source": i,
            "target": j,
            "effect": found[i, j],
            "cosine": _cosines(a, b, i, j),
        },
        schema=EDGES,
    )


def foretold(
    removals: pl.DataFrame, saes: Mapping[str, SAE], effects: Callable[[str, str], Tensor]
) -> pl.DataFrame:
    """What average effects say of removals of single features, beside what those did.

    Args:
        removals: as of `deactivation`.
        saes: the SAEs by name.
        effects: of two SAEs by name, as of `average_effects`.

    Returns:
        The rows of single features that fired, with `source`, `change` (of the pre-activation, from
        the removal), `foretold` (the same by the average effect) and `cosine` of the decoder rows.
    """
    frame = removals.filter(~pl.col("control"), pl.col("sources").list.len() == 1, active=1)
    frame = frame.with_columns(
        source=pl.col("sources").list.first(), change=pl.col("pre_before") - pl.col("pre_after")
    )
    parts: list[pl.DataFrame] = []
    for (a, b), some in frame.group_by("a", "b", maintain_order=True):
        one, other = saes[str(a)], saes[str(b)]
        i, j = some["source"].to_numpy(), some["feature"].to_numpy()
        activation = some["size"].to_numpy() / one.W_dec.norm(dim=-1).cpu().numpy()[i]
        effect = effects(str(a), str(b)).cpu().double().numpy()[i, j]
        more = {"foretold": effect * activation, "cosine": _cosines(one, other, i, j)}
        parts.append(some.with_columns(**{key: pl.Series(value) for key, value in more.items()}))
    return pl.concat(parts) if parts else frame.with_columns(foretold=None, cosine=None)


def _cosines(a: SAE, b: SAE, i: Any, j: Any) -> Any:
    rows = [
        torch.nn.functional.normalize(sae.W_dec[torch.tensor(some)].float(), dim=-1)
        for sae, some in ((a, i), (b, j))
    ]
    return (rows[0] * rows[1]).sum(-1).cpu().double().numpy()

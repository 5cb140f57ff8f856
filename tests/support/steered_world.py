"""A run of three SAEs of the shipped model's width, small and quick, whose tracks are known."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import polars as pl

import saematch
from saematch import SAE, Run
from support.saes import make_sae, permuted
from support.small_model import CYCLE

D = 128
LAYERS = (1, 2, 3)
FEATURES = 96
STRANGERS = 6


def saes(width: int = D) -> list[SAE]:
    """Feature i of a layer goes to feature i - 7 of the next; rows of norm 1.

    The last `STRANGERS` of the last layer are of no other: they are alone in their tracks.
    """
    found = [_normed(make_sae(width, FEATURES, layer=1))]
    for layer in LAYERS[1:]:
        moved = permuted(found[-1], CYCLE, noise=0.2, seed=layer)
        site = saematch.Site(f"blocks.{layer}.hook_resid_post", "resid_post", layer)
        about = replace(moved.conventions, site=site, source=f"made/{layer}")
        found.append(_normed(replace(moved, conventions=about)))
    other = make_sae(width, FEATURES, layer=1, seed=9)
    found[-1].W_dec[-STRANGERS:] = _normed(other).W_dec[-STRANGERS:]
    return found


def write_run(folder: Path, given: list[SAE]) -> Run:
    """Their flow, with statistics of every feature: max 4 + i / 100, mean 1 + i / 100."""
    run = saematch.flow(given, out=folder, method="cosine")
    for name in run.names:
        index = pl.int_range(FEATURES, eager=True)
        described = pl.DataFrame(
            {
                "feature": index,
                "frequency": [0.01] * FEATURES,
                "mean_activation": 1 + index / 100,
                "max_activation": 4 + index / 100,
                "contexts": pl.Series([[]] * FEATURES, dtype=CONTEXTS),
            },
            schema_overrides={k: pl.Float32 for k in ("mean_activation", "max_activation")},
        )
        run.add_contexts(name, described)
    # contexts take the flow from run.json, whose labels are made of them
    return saematch.flow(given, out=folder, method="cosine")


CONTEXTS = pl.List(
    pl.Struct(
        {n: pl.String for n in ("before", "token", "after")}
        | {"activation": pl.Float32, "source": pl.String}
    )
)


def _normed(sae: SAE) -> SAE:
    rows = sae.W_dec / sae.W_dec.norm(dim=1, keepdim=True)
    return replace(sae, W_dec=rows, W_enc=sae.W_enc / sae.W_enc.norm(dim=0) * 2)


def after(feature: int, steps: int = 1) -> int:
    """Where a feature is some layers on."""
    return (feature - 7 * steps) % FEATURES

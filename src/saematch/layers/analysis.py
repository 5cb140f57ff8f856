"""All that a run's pairs say of its features over many layers, as tables and a summary."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl

from saematch.layers.communities import graph_tables
from saematch.layers.composition import composition
from saematch.layers.layers import Layers
from saematch.layers.origins import Cutoffs, modules_of, origin_shares, origins
from saematch.layers.plan import remarks
from saematch.layers.splits import splits
from saematch.layers.tracks import MODES, lifespans, spans, tracks, turnover
from saematch.runs.run import Run


def analyse(run: Run, cutoffs: Cutoffs | None = None) -> dict[str, pl.DataFrame]:
    """Compute the tables of the flow of a run, write them beside its pairs, and sum them up.

    The tables are `tracks`, `spans`, `lifespans`, `turnover`, each with a first column `mode`;
    `composition`, `splits` and `origins`: docs/reference/flow.md has the columns;
    `edges` and `communities`: docs/reference/run-directory.md.

    Args:
        run: with all pairs of neighbours matched.
        cutoffs: fixed cut-offs for origins instead of p-values.

    Raises:
        MatchError: two neighbours are not matched.
        RunError: a table cannot be read or written.
    """
    layers = Layers.of(run)
    tables = _track_tables(layers)
    tables["composition"] = composition(layers)
    tables["splits"] = splits(layers)
    tables["origins"] = origins(layers, cutoffs)
    tables |= graph_tables(run, layers)
    run.add("flow", tables, summarise(layers, tables, cutoffs))
    return tables


def summarise(
    layers: Layers, tables: dict[str, pl.DataFrame], cutoffs: Cutoffs | None
) -> dict[str, Any]:
    """The figures of a flow as plain values, for run.json."""
    chain = layers.chain
    modes = {}
    for mode in tables["spans"]["mode"].unique(maintain_order=True):
        of = {name: tables[name].filter(mode=mode) for name in ("spans", "turnover")}
        length = of["spans"]["length"]
        whole = of["spans"].filter(pl.col("start") == chain[0], pl.col("end") == chain[-1])
        modes[mode] = {
            "tracks": len(length),
            "longer_than_one": int((length > 1).sum()),
            "mean_length": length.mean(),
            "median_length": length.median(),
            "whole": len(whole),
            "skips": int(of["spans"]["skipped"].sum()),
            "births": of["turnover"]["births"].sum(),
            "deaths": of["turnover"]["deaths"].sum(),
        }
    pooled = tables["composition"].filter(pl.col("a").is_null(), links="matched")
    groups = tables["splits"].unique(["kind", "a", "b", "feature"])
    return {
        "chain": list(chain),
        "modes": modes,
        "composition": pooled.select("steps", "agreement", "low", "high", "kept").to_dicts(),
        "splits": len(groups.filter(kind="split")),
        "merges": len(groups.filter(kind="merge")),
        "edges": len(tables["edges"]),
        "communities": len(tables["communities"]),
        "origins": origin_shares(tables["origins"]).to_dicts(),
        "origin_cutoffs": None if cutoffs is None else [cutoffs.residual, cutoffs.module],
        "notes": remarks(layers) + _unknown(layers, cutoffs),
    }


def _track_tables(layers: Layers) -> dict[str, pl.DataFrame]:
    found: dict[str, list[pl.DataFrame]] = {}
    for mode, find in MODES.items():
        if mode == "gaps" and not _has_p_values(layers):
            continue
        links = find(layers)
        each = {"tracks": tracks(links), "turnover": turnover(links)}
        each["spans"] = spans(each["tracks"], layers.chain)
        each["lifespans"] = lifespans(each["spans"], layers.chain)
        for name, frame in each.items():
            found.setdefault(name, []).append(frame.select(pl.lit(mode).alias("mode"), pl.all()))
    return {name: pl.concat(frames) for name, frames in found.items()}


def _unknown(layers: Layers, cutoffs: Cutoffs | None) -> list[str]:
    """What could not be computed for want of p-values."""
    if _has_p_values(layers) or cutoffs is not None or not modules_of(layers):
        return []
    return ["no p-values, so no origins: match with a null, or give cut-offs (--origin-cutoffs)"]


def _has_p_values(layers: Layers) -> bool:
    return any(
        np.isfinite(layers.pairs[pair].candidates.p_value).any() for pair in layers.adjacent()
    )

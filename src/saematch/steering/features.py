"""Which features are steered: one, those of its track, or all of its flow."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

import numpy as np
import polars as pl

from saematch.errors import RunError, SaematchError
from saematch.layers.layers import Layers, Pair
from saematch.layers.tracing import find
from saematch.layers.tracks import MODES, Mode
from saematch.matching.fdr import beyond
from saematch.runs.run import Run

Along = Literal["layer", "track", "flow"]
ALONG: tuple[Along, ...] = get_args(Along)
Feature = tuple[str, int]  # the SAE's name in the run, and the index
Named = str | tuple[str, int]


def named(layers: Layers, features: Named | Sequence[Named]) -> list[Feature]:
    """Features by their names: `12_3456`, `resid_post_12/3456`, or SAE and index.

    Raises:
        RunError: there is no such SAE or feature.
        SaematchError: none is named.
    """
    several = _several(features)
    if not several:
        raise SaematchError("no feature is named: give one or more, such as 12_3456")
    found = [find(layers, f) if isinstance(f, str) else find(layers, *f) for f in several]
    return [*dict.fromkeys(found)]


def track_of(run: Run, feature: Feature, mode: Mode = "chained") -> list[Feature]:
    """The features of a feature's track, in order of depth; of several the longest track.

    Raises:
        RunError: the run has no tracks; or the feature is in none, or alone in its own.
        SaematchError: there are no tracks of that mode.
    """
    if mode not in MODES:
        raise SaematchError(f"mode is {mode!r}; tracks are {', '.join(MODES)}")
    site, number = feature
    table = run.table("flow", "tracks").filter(pl.col("mode") == mode)
    its = table.filter(site=site, feature=number)["track"]
    if its.is_empty():
        chain = ", ".join(table["site"].unique(maintain_order=True).cast(pl.String))
        raise RunError(f"{site} #{number} is in no track: tracks run along {chain or 'no SAE'}")
    tracks = table.filter(pl.col("track").is_in(its.implode()))
    longest = (
        tracks.group_by("track").len().sort("len", "track", descending=[True, False])["track"][0]
    )
    found = tracks.filter(track=longest).sort("position").select("site", "feature").rows()
    if len(found) == 1:
        raise RunError(
            f"{site} #{number} is alone in its track ({mode}): nothing is matched with it, so "
            "steer the feature alone (--along layer)"
        )
    return [(str(where), int(index)) for where, index in found]


def flow_of(layers: Layers, feature: Feature) -> list[Feature]:
    """All that leads into a feature and out of it by best matches, in order of depth.

    A link leads from a feature to its best target in the next SAE of the stream, many to one, where
    that is significant, as in tracks of mode `flow`; likewise between the stream and SAEs of other
    streams that the run has matched with it. Forward there is one way, backward there may be many.

    Raises:
        RunError: no link leads into it or out of it.
    """
    steps = {*layers.adjacent()}
    for pair in layers.pairs:
        if not (pair[0] in layers.chain and pair[1] in layers.chain):
            steps.add(pair)
    after: dict[Feature, list[Feature]] = {}
    before: dict[Feature, list[Feature]] = {}
    for a, b in steps:
        if (a, b) not in layers.pairs:
            continue
        source, target = _best(layers, a, layers.pairs[a, b])
        for i, j in zip(source.tolist(), target.tolist(), strict=True):
            after.setdefault((a, i), []).append((b, j))
            before.setdefault((b, j), []).append((a, i))
    found = {feature}
    for links in (after, before):
        ends = [feature]
        while ends:
            ends = [g for f in ends for g in links.get(f, ()) if g not in found]
            found.update(ends)
    if len(found) == 1:
        raise RunError(
            f"{feature[0]} #{feature[1]} is in no flow: nothing significant leads into it or out "
            "of it, so steer the feature alone (--along layer)"
        )
    return sorted(found, key=lambda f: (layers.names.index(f[0]), f[1]))


def _best(layers: Layers, a: str, pair: Pair) -> tuple[np.ndarray, np.ndarray]:
    """Features of A and the best target of each, where it is significant, or p-values unknown."""
    first = pair.candidates.best()
    if np.isnan(first.p_value).all():
        source = np.flatnonzero(first.index >= 0)
    else:
        source = np.flatnonzero(beyond(first.p_value, layers.cut(a, first.p_value)))
    return source, first.index[source]


def _several(features: Named | Sequence[Named]) -> Sequence[Named]:
    """One feature or several; `("resid_post_3", 17)` is one."""
    if isinstance(features, str):
        return [features]
    if not isinstance(features, Sequence):
        raise SaematchError(
            f"features is {features!r}; it is a feature, such as '3_1503' or "
            "('resid_post_3', 1503), or several"
        )
    if len(features) == 2 and isinstance(features[1], int):
        return [(str(features[0]), features[1])]
    return list(features)  # pyright: ignore[reportReturnType]

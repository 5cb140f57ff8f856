"""Tracks: features followed over layers, and what they say of births, deaths and lifespans."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np
import polars as pl

from saematch.layers.gap_tracks import gaps
from saematch.layers.layers import Layers
from saematch.layers.links import Successors, chained, feature_flow
from saematch.matching.fdr import interval

Mode = Literal["chained", "flow", "gaps"]
MODES: dict[Mode, Callable[[Layers], Successors]] = {
    "chained": chained,
    "flow": feature_flow,
    "gaps": gaps,
}


def tracks(links: Successors) -> pl.DataFrame:
    """Every track, one row per feature in it, from the first on.

    `track` (number, from 0), `position` in it (from 0), `site` (name of the SAE), `feature`, and
    `score` and `p_value` of the link into it, null at the start. Every feature in use is in a
    track, alone if need be. In flows that run together each has the common part, so a feature may
    be in several tracks.
    """
    layer, reached = links.layer, links.reached
    current = np.flatnonzero(links.used & ~reached)
    track = np.arange(len(current))
    score = p_value = np.full(len(current), np.nan)
    parts = []
    for position in range(len(links.chain)):
        parts.append((track, np.full(len(track), position), current, score, p_value))
        going = links.next[current] >= 0
        before, track = current[going], track[going]
        current, score, p_value = links.next[before], links.score[before], links.p_value[before]
    track, position, number, score, p_value = (np.concatenate(p) for p in zip(*parts, strict=True))
    order = np.lexsort((position, track))
    number = number[order]
    return pl.DataFrame(
        {
            "track": track[order],
            "position": position[order],
            "site": pl.Series(links.chain).gather(layer[number]),
            "feature": number - links.start[layer[number]],
            "score": score[order],
            "p_value": p_value[order],
        }
    ).fill_nan(None)


def spans(tracks: pl.DataFrame, chain: tuple[str, ...]) -> pl.DataFrame:
    """One row per track: where it starts and ends, how long it is, and its weakest link.

    `track`; `start`, `start_feature`, `end`, `end_feature`; `length`, the features in it;
    `skipped`, the layers it passes over; and of the weakest link, that of the largest p-value and
    among those the lowest score: `weakest`, the site it leads to, `weakest_score`, `weakest_p`.
    The last three are null for a track of one feature.
    """
    place = pl.col("site").replace_strict({name: i for i, name in enumerate(chain)})
    weak = (
        tracks.filter(pl.col("position") > 0)
        .sort("track", pl.col("p_value").fill_null(0.0), -pl.col("score"), maintain_order=True)
        .group_by("track", maintain_order=True)
        .agg(
            pl.col("site").last().alias("weakest"),
            pl.col("score").last().alias("weakest_score"),
            pl.col("p_value").last().alias("weakest_p"),
        )
    )
    whole = (
        tracks.with_columns(place.alias("place"))
        .group_by("track", maintain_order=True)
        .agg(
            pl.col("site").first().alias("start"),
            pl.col("feature").first().alias("start_feature"),
            pl.col("site").last().alias("end"),
            pl.col("feature").last().alias("end_feature"),
            pl.len().cast(pl.Int64).alias("length"),
            (pl.col("place").last() - pl.col("place").first() + 1 - pl.len())
            .cast(pl.Int64)
            .alias("skipped"),
        )
    )
    return whole.join(weak, on="track", how="left", maintain_order="left")


def lifespans(spans: pl.DataFrame, chain: tuple[str, ...]) -> pl.DataFrame:
    """Of the tracks that start at each layer, how many reach each later one.

    `start`, `site`, `steps` (layers from one to the other), `started` and `alive` (tracks), their
    `share`, and its 95 % interval (Wilson) `low`, `high` over features. All tracks of the first
    layer start there because nothing is known of what was before.
    """
    place = {name: i for i, name in enumerate(chain)}
    first = spans["start"].replace_strict(place, return_dtype=pl.Int64).to_numpy()
    last = spans["end"].replace_strict(place, return_dtype=pl.Int64).to_numpy()
    ended = np.zeros((len(chain), len(chain)), np.int64)
    np.add.at(ended, (first, last), 1)
    alive = ended[:, ::-1].cumsum(1)[:, ::-1]  # ended there or later
    i, j = np.triu_indices(len(chain))
    started = alive[i, i]
    low, high = interval(alive[i, j], started)
    share = np.divide(alive[i, j], started, out=np.full(len(i), np.nan), where=started > 0)
    names = np.array(chain)
    return pl.DataFrame(
        {
            "start": names[i],
            "site": names[j],
            "steps": j - i,
            "started": started,
            "alive": alive[i, j],
            "share": share,
            "low": low,
            "high": high,
        }
    ).fill_nan(None)


def turnover(links: Successors) -> pl.DataFrame:
    """Births and deaths per layer.

    `site`, `features` in use; `births`, features that come from nothing, and `deaths`, features
    that lead to nothing, each with its share of the features (`birth_share`, `death_share`) and the
    95 % interval (Wilson) of that over features (`birth_low`, ...). Births at the first layer and
    deaths at the last cannot be told and are null.
    """
    layers = len(links.chain)
    used, layer = links.used, links.layer
    features = np.bincount(layer[used], minlength=layers)
    frame = pl.DataFrame({"site": links.chain, "features": features})
    for word, which, unknown in (
        ("birth", links.born, 0),
        ("death", used & (links.next < 0), layers - 1),
    ):
        count = np.bincount(layer[which], minlength=layers)
        low, high = interval(count, features)
        known = pl.int_range(layers) != unknown
        added = pl.DataFrame({f"{word}s": count, f"{word}_low": low, f"{word}_high": high})
        frame = frame.hstack(added).with_columns(
            (pl.col(f"{word}s") / pl.col("features")).alias(f"{word}_share")
        )
        names = [f"{word}s", f"{word}_share", f"{word}_low", f"{word}_high"]
        frame = frame.with_columns(pl.when(known).then(pl.col(names).fill_nan(None)))
    return frame.select(
        "site",
        "features",
        *(f"{w}{end}" for w in ("birth", "death") for end in ("s", "_share", "_low", "_high")),
    )

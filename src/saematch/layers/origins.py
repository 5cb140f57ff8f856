"""Where the features of the residual stream come from: the stream before, the MLP, attention.

Feature Flow (Laptev et al., 2025): a feature with a like one in the stream before is
**translated**, and **processed** if the MLP or attention writes it too; one that only they write is
**newborn**; one that nothing accounts for is **unexplained**.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy import ndarray

from saematch.errors import MatchError
from saematch.layers.layers import STREAM, Layers, depth
from saematch.matching.fdr import beyond, interval

CLASSES = ("translated", "processed", "newborn", "unexplained")
MODULES = {"M": "mlp_out", "A": "attn_out"}


@dataclass(frozen=True)
class Cutoffs:
    """Least decoder cosines with the stream before, and with the output of the MLP or attention."""

    residual: float = 0.5
    module: float = 0.15

    def __post_init__(self) -> None:
        for value in (self.residual, self.module):
            if not -1 <= value <= 1:
                raise MatchError(f"a cut-off is {value}; it is a cosine, from -1 to 1")

    def of(self, letter: str) -> float:
        """That of R, M or A."""
        return self.residual if letter == "R" else self.module


def modules_of(layers: Layers) -> dict[str, dict[str, list[str]]]:
    """The MLP and attention SAEs between each SAE of the residual stream and the one before.

    By the name of the later one, and `M` and `A`. Those after the last have none.
    """
    if layers.chain != layers.streams.get(STREAM):
        return {}
    depths = {n: key for n in layers.names if (key := depth(layers.sites[n])) is not None}
    if len(depths) < len(layers.names):
        return {}
    found: dict[str, dict[str, list[str]]] = {}
    for a, b in layers.adjacent():
        for letter, stream in MODULES.items():
            of = layers.streams.get(stream, ())
            between = [name for name in of if depths[a] < depths[name] < depths[b]]
            if between:
                found.setdefault(b, {})[letter] = between
    return found


def origins(layers: Layers, cutoffs: Cutoffs | None = None) -> pl.DataFrame:
    """The origin of each feature of the residual stream whose layer has an MLP or attention SAE.

    The best source of feature j at each place is by score, and with `cutoffs` by decoder cosine
    among the sources that the run keeps; `s_R`, `s_M`, `s_A` are decoder cosines with it, in the
    stream before, and in the outputs of MLP and attention in between. It counts where its p-value
    passes at the run's false discovery rate among the features of the layer, or where the cosine is
    at least that of `cutoffs`. Where several SAEs of one kind lie between, the source of the least
    p-value (of equal ones, of the largest cosine), or else of the largest cosine. Without p-values
    and without cut-offs nothing is known of origins: no rows.

    Columns: `site`, `feature`, and for each x of R, M, A `s_x`, `p_x`, `site_x`, `source_x` (null
    where there is no such SAE); `origin`, one of `CLASSES`. Excluded features have no row.
    """
    frames = [pl.DataFrame(schema=_schema())]
    before = {b: a for a, b in layers.adjacent()}
    for name, modules in modules_of(layers).items():
        columns: dict[str, object] = {}
        counts = {}
        for letter, sites in {"R": [before[name]], **modules}.items():
            known = [site for site in sites if (site, name) in layers.pairs]
            if cutoffs is None:
                known = [
                    s for s in known if np.isfinite(layers.pairs[s, name].sources.p_value).any()
                ]
            if known:
                limit = None if cutoffs is None else cutoffs.of(letter)
                found, counts[letter] = _source(layers, known, name, limit)
                columns |= {f"{key}_{letter}": value for key, value in found.items()}
        if "R" not in counts or len(counts) == 1:
            continue
        here, added = counts.pop("R"), np.logical_or.reduce(list(counts.values()))
        kind = np.where(here, np.where(added, 1, 0), np.where(added, 2, 3))
        frame = pl.DataFrame(
            {
                "site": pl.Series([name]).new_from_index(0, len(kind)),
                "feature": np.arange(len(kind)),
                **columns,
                "origin": pl.Series(CLASSES).gather(kind),
            }
        )
        frames.append(frame.filter(~layers.excluded[name]))
    return pl.concat(frames, how="diagonal_relaxed").fill_nan(None)


def origin_shares(origins: pl.DataFrame) -> pl.DataFrame:
    """How many features of each layer are of each origin: `site`, `origin`, `features`, `share`.

    With the 95 % interval (Wilson) of the share, `low` and `high`, over features.
    """
    sites = origins.select(pl.col("site").unique(maintain_order=True))
    every = sites.join(pl.DataFrame({"origin": CLASSES}), how="cross")
    counts = origins.group_by("site", "origin").agg(pl.len().cast(pl.Int64).alias("features"))
    frame = every.join(counts, on=["site", "origin"], how="left", maintain_order="left")
    frame = frame.with_columns(pl.col("features").fill_null(0))
    frame = frame.with_columns(of=pl.col("features").sum().over("site"))
    low, high = interval(frame["features"].to_numpy(), frame["of"].to_numpy())
    share = (pl.col("features") / pl.col("of")).alias("share")
    return frame.select(
        "site", "origin", "features", share, pl.Series("low", low), pl.Series("high", high)
    )


def _source(
    layers: Layers, sites: list[str], name: str, cutoff: float | None
) -> tuple[dict[str, object], ndarray]:
    """The best source over some SAEs of each feature, and whether it counts."""
    feature = np.arange(layers.features[name])
    first = []
    for sources in (layers.pairs[site, name].sources for site in sites):
        cosines = sources.more["decoder_cosine"]
        rank = np.zeros(len(feature), int)
        if cutoff is not None:
            rank = np.where(np.isnan(cosines), -2.0, cosines).argmax(1)
        kept = (cosines, sources.p_value, sources.index)
        first.append([values[feature, rank] for values in kept])
    cosine, p_value, source = (np.stack(each) for each in zip(*first, strict=True))
    if cutoff is None:
        counts = np.stack([beyond(p, layers.cut(name, p)) for p in p_value])
        best = np.lexsort((-cosine, p_value), axis=0)[0]  # NaN comes last
    else:
        counts = cosine >= cutoff
        best = np.where(np.isnan(cosine), -2.0, cosine).argmax(0)
    found = {
        "s": cosine[best, feature],
        "p": p_value[best, feature],
        "site": pl.Series(sites).gather(best),
        "source": pl.Series(source[best, feature]).replace(-1, None),
    }
    return found, np.any(counts, axis=0)


def _schema() -> dict[str, pl.DataType | type[pl.DataType]]:
    kinds = {"s": pl.Float64, "p": pl.Float64, "site": pl.String, "source": pl.Int64}
    each = {f"{key}_{x}": kind for x in ("R", *MODULES) for key, kind in kinds.items()}
    return {"site": pl.String, "feature": pl.Int64, **each, "origin": pl.String}

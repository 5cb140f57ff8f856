"""Every feature of a run as one numbered row: a node, as in `saematch.layers.graph`."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import polars as pl

from saematch.labels.of_run import TOP_TOKENS, labels_of
from saematch.labels.top_tokens import folded, top_tokens
from saematch.labels.words import label_words
from saematch.layers.layers import STREAM, Layers
from saematch.layers.origins import CLASSES as ORIGINS
from saematch.runs.run import Run

SNIPPET = 32  # characters of a context on either side of its token, and of the token
# modes in which each feature is in one track, the better mode first
_WAYS = ("gaps", "chained")
# a clear feature fires on at most this share of tokens, and at least this share of its contexts
# are of one token
RARE, MOSTLY = 0.05, 0.5


@dataclass(frozen=True, eq=False)
class Nodes:
    """The features of a run's SAEs, in order of depth: a node is the row of its feature."""

    run: Run
    layers: Layers
    starts: dict[str, int]  # number of each SAE's feature 0
    modes: tuple[str, ...]  # of its tracks
    mode: str | None  # of the tracks that life/ is ordered by

    @classmethod
    def of(cls, run: Run) -> Nodes:
        """The nodes of a run; raises RunError if its tables cannot be read."""
        layers = Layers.of(run)
        ends = np.cumsum([0, *(layers.features[name] for name in layers.names)]).tolist()
        starts = dict(zip(layers.names, ends, strict=False))
        flow = run.section("flow")
        modes = () if flow is None else tuple(flow.modes)
        mode = next((way for way in _WAYS if way in modes), None)
        return cls(run, layers, starts, modes, mode)

    @property
    def total(self) -> int:
        """The number of nodes."""
        return sum(self.layers.features.values())

    @property
    def index(self) -> dict[str, Any]:
        """What the page needs to read the tables, as plain values."""
        chain = set(self.layers.chain)
        sites = []
        for name in self.layers.names:
            site = self.layers.sites[name]
            entry = {
                "name": name,
                "start": self.starts[name],
                "features": self.layers.features[name],
                "layer": None if site is None else site.layer,
                "kind": None if site is None else site.kind,
                "stream": STREAM if site is None else site.stream,
                "in_chain": name in chain,
                "contexts": self.run.sae(name).contexts is not None,
                "next": self.following.get(name),
            }
            sites.append(entry)
        return {
            "sites": sites,
            "chain": list(self.layers.chain),
            "modes": list(self.modes),
            "mode": self.mode,
            "origin_rows": self._origin_rows(),
            "communities": len(self.flow_table("communities")),
        }

    @cached_property
    def following(self) -> dict[str, str]:
        """The SAE in which each SAE's features are looked up first: its neighbour, or the next."""
        found = {a: b for a, b in self.layers.adjacent() if (a, b) in self.layers.pairs}
        for name in self.layers.names:
            later = [b for a, b in self.layers.pairs if a == name]
            if name not in found and later:
                found[name] = min(later, key=self.layers.names.index)
        return found

    @cached_property
    def tokens(self) -> pl.DataFrame:
        """`node`, `token`, `weight`: what features fire on, and the words of given labels.

        As they are searched for: in lower case, without the space before them.
        """
        given = self._labels.filter(pl.col("source") != TOP_TOKENS)
        fired = self.top_tokens.with_columns(folded("token").alias("token"))
        return (
            pl.concat([fired, label_words(given)])
            .select(self.number("site", "feature").alias("node"), "token", "weight")
            .group_by("node", "token")
            .agg(pl.col("weight").max())
        )

    @cached_property
    def top_tokens(self) -> pl.DataFrame:
        """`site`, `feature`, `token`, `weight`: see `saematch.labels.top_tokens`."""
        return top_tokens(self.run)

    @cached_property
    def _labels(self) -> pl.DataFrame:
        return labels_of(self.run, self.top_tokens)

    @cached_property
    def features(self) -> pl.DataFrame:
        """`site` (code), `feature`, `label`, `label_source` and what else there is of each node."""
        parts = []
        for code, name in enumerate(self.layers.names):
            frame = self.run.features(name).select(
                pl.lit(code, pl.Int32).alias("site"),
                pl.col("feature").cast(pl.Int32),
                pl.col("threshold", "frequency", "max_activation").cast(pl.Float32),
                pl.Series("excluded", self.layers.excluded[name]),
            )
            contexts = self.run.contexts(name)
            rows = pl.DataFrame(schema=_CONTEXT)
            if contexts is not None:
                best = pl.col("contexts").list.first().struct
                rows = contexts.select(
                    pl.col("feature").cast(pl.Int32),
                    pl.int_range(pl.len(), dtype=pl.Int32).alias("context"),
                    best["before"].str.tail(SNIPPET),
                    best["token"].str.head(SNIPPET),
                    best["after"].str.head(SNIPPET),
                )
            parts.append(frame.join(rows, on="feature", how="left", maintain_order="left"))
        given = pl.when(pl.col("source") != TOP_TOKENS).then("source")
        node = self.number("site", "feature").alias("node")
        labels = self._labels.select(node, "label", given.alias("label_source"))
        return (
            pl.concat(parts)
            .with_columns(pl.int_range(pl.len(), dtype=pl.Int64).alias("node"))
            .join(labels, on="node", how="left", maintain_order="left")
        )

    def number(self, site: str, feature: str) -> pl.Expr:
        """The nodes of columns that name an SAE and a feature."""
        start = pl.col(site).cast(pl.String).replace_strict(self.starts, return_dtype=pl.Int64)
        return start + pl.col(feature).cast(pl.Int64)

    def flow_table(self, name: str) -> pl.DataFrame:
        """A table of the run's flow; without rows if it has none."""
        there = name in self.run.tables("flow")
        return self.run.table("flow", name) if there else pl.DataFrame()

    @cached_property
    def tracks(self) -> pl.DataFrame:
        """`node`, `mode`, `track`, `position`, `row` (the track's first), `length`, link into it.

        One row per mode and feature that is in a track: its longest track.
        """
        table = self.flow_table("tracks")
        if not len(table):
            return pl.DataFrame(schema=_TRACKS)
        return (
            table.with_row_index("row")
            .with_columns(
                self.number("site", "feature").alias("node"),
                pl.col("row").min().over("mode", "track"),
                pl.len().over("mode", "track").alias("length"),
            )
            .sort("mode", "node", "length", "row", descending=[False, False, True, False])
            .unique(["mode", "node"], keep="first", maintain_order=True)
            .select(pl.col(name).cast(kind) for name, kind in _TRACKS.items())
        )

    def table(self, life: pl.DataFrame, tracks: pl.DataFrame) -> pl.DataFrame:
        """One row per node, for search and lists: see docs/reference/explorer.md.

        Args:
            life: one row per node, as in `saematch.explorer.life`.
            tracks: `node`, `track`: its row in the table of tracks.
        """
        rows = life.select(
            pl.int_range(pl.len(), dtype=pl.Int32).alias("life"),
            (
                pl.col("site").replace_strict(self._first, return_dtype=pl.Int64)
                + pl.col("feature")
            ).alias("node"),
        )
        frame = self.features
        others = (self._targets(), self.communities(), self.origins(), self._spans(), self._clear())
        for other in (rows, tracks, *others):
            frame = frame.join(other, on="node", how="left", maintain_order="left")
        return frame.select(
            "label",
            *SNIPPETS,
            "frequency",
            "max_activation",
            "excluded",
            (pl.col("clear").fill_null(False) & (pl.col("frequency") <= RARE)).alias("clear"),
            "lifespan",
            "score",
            "p_value",
            "cosine",
            "matched",
            "origin",
            "community",
            "life",
            "track",
            "context",
        )

    @property
    def _first(self) -> dict[int, int]:
        return dict(enumerate(self.starts.values()))

    def _clear(self) -> pl.DataFrame:
        """`node`, `clear` of the features with contexts: whether most of them are of one token."""
        return (
            self.top_tokens.select(self.number("site", "feature").alias("node"), "weight")
            .group_by("node")
            .agg(pl.col("weight").max().ge(MOSTLY).alias("clear"))
        )

    def _spans(self) -> pl.DataFrame:
        """`node`, `lifespan`: layers from its track's first to its last, both counted."""
        table = self.flow_table("tracks")
        if not len(table):
            return pl.DataFrame(schema={"node": pl.Int64, "lifespan": pl.Int32})
        place = pl.col("site").replace_strict({name: i for i, name in enumerate(self.layers.chain)})
        return table.filter(mode=self.mode or "").select(
            self.number("site", "feature").alias("node"),
            (place.max().over("track") - place.min().over("track") + 1)
            .cast(pl.Int32)
            .alias("lifespan"),
        )

    def _targets(self) -> pl.DataFrame:
        kinds = {"score": pl.Float64, "p_value": pl.Float64, "cosine": pl.Float64}
        parts = [pl.DataFrame(schema={"node": pl.Int64, **kinds, "matched": pl.Boolean})]
        for a, b in self.following.items():
            pair = self.run.pair(a, b)
            parts.append(
                pair.select(
                    (pl.col("feature") + self.starts[a]).alias("node"),
                    pl.col("score", "p_value").cast(pl.Float64),
                    pl.col("decoder_cosine").cast(pl.Float64).alias("cosine"),
                    "matched",
                ).filter(pair["target"].is_not_null())
            )
        return pl.concat(parts)

    def communities(self) -> pl.DataFrame:
        """`node`, `community` of the features in a community."""
        table = self.flow_table("communities")
        if not len(table):
            return pl.DataFrame(schema={"node": pl.Int64, "community": pl.Int32})
        return (
            table.select(pl.col("community").cast(pl.Int32), "members")
            .explode("members")
            .unnest("members")
            .select(self.number("site", "feature").alias("node"), "community")
        )

    def origins(self) -> pl.DataFrame:
        """`node`, `origin` (code) of the features that have an origin."""
        table = self.flow_table("origins")
        if not len(table):
            return pl.DataFrame(schema={"node": pl.Int64, "origin": pl.Int32})
        codes = {origin: code for code, origin in enumerate(ORIGINS)}
        return table.select(
            self.number("site", "feature").alias("node"),
            pl.col("origin").replace_strict(codes, default=None, return_dtype=pl.Int32),
        ).unique("node", keep="first")

    def _origin_rows(self) -> dict[str, int]:
        table = self.flow_table("origins")
        if not len(table):
            return {}
        first = table.with_row_index("row").group_by("site").agg(pl.col("row").min())
        return dict(zip(first["site"].to_list(), first["row"].to_list(), strict=True))


SNIPPETS = ("before", "token", "after")  # of the context on which a feature fires most
_CONTEXT = {"feature": pl.Int32, "context": pl.Int32, **dict.fromkeys(SNIPPETS, pl.String)}
_TRACKS = {
    "node": pl.Int64,
    "mode": pl.String,
    "track": pl.Int32,
    "position": pl.Int32,
    "row": pl.Int32,
    "length": pl.Int32,
    "score": pl.Float64,
    "p_value": pl.Float64,
}

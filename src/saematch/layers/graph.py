"""The flow of features as one graph: nodes are (site, feature), edges what the pairs found."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import polars as pl
from numpy import ndarray

from saematch.errors import RunError, names_there
from saematch.layers.layers import Layers, Pair
from saematch.runs.run import Run
from saematch.sae.sae import Site

# an edge that is several of these is the first of them
KINDS = ("match", "target", "candidate", "source", "transport", "effect")
_NUMBERS = ("score", "cosine", "p_value", "source_p_value")


@dataclass(frozen=True, eq=False)
class FlowGraph:
    """Features as nodes and what a run's pairs found as directed edges, from A to B.

    A node's number is its feature's index plus the widths of the SAEs before its own.

    The kinds of edges: `match`, an accepted match; `target`, what the assignment gave and was not
    accepted; `candidate`, another of the best targets of a feature of A; `source`, another of the
    best sources of a feature of B; `transport`, of a sparse transport; `effect`, none of these but
    a large average effect (`of_effects`). `table` has one row per edge, by `source` and then
    `rank`:

    - `source`, `target`: numbers of nodes;
    - `kind`;
    - `rank`: place of the target among the best of its source, from 1, and `source_rank`: place
      of the source among the best of its target; null where it is not among those kept;
    - `score`, in the units of the run's method, and `cosine` of the decoder rows, null where the
      run does not tell; of a `transport` (`of_transports`) the share of the target's drive;
    - `p_value` of the score among the targets, `source_p_value` among the sources;
    - of a graph with effects, `effect`: how much more the target reads for each unit of the
      source's activation, on average (see `saematch.causal.average`).
    """

    names: tuple[str, ...]  # SAEs, in order of depth
    features: Mapping[str, int]  # how many each has
    sites: Mapping[str, Site | None]
    members: ndarray  # int64, ascending: numbers of the nodes in this graph
    table: pl.DataFrame

    @classmethod
    def of(cls, run: Layers | Run | str | Path) -> FlowGraph:
        """The graph of all pairs of a run; features that take no part are no nodes.

        Raises:
            RunError: there is no such run, or its tables cannot be read.
        """
        layers = run if isinstance(run, Layers) else Layers.of(run)
        taking_part = [~layers.excluded[name] for name in layers.names]
        start = _starts(layers.names, layers.features)
        # one pair after the other: of a large run all at once would be more than the graph
        tables = [
            _edges(layers.pairs[a, b], start[a], start[b])
            for a, b in sorted(layers.pairs, key=lambda p: (start[p[0]], start[p[1]]))
        ]
        table = pl.concat(tables) if tables else pl.DataFrame(schema=_SCHEMA)
        return cls(
            names=layers.names,
            features=dict(layers.features),
            sites=dict(layers.sites),
            members=np.concatenate(taking_part).nonzero()[0] if taking_part else np.arange(0),
            table=table.sort("source", "rank", nulls_last=True, maintain_order=True),
        )

    @classmethod
    def of_transports(cls, run: Run | str | Path, k: int, *, carried: bool = False) -> FlowGraph:
        """The graph of a run's sparse transports: what drives what, by which share.

        Args:
            run: evaluated with transports (`saematch evaluate --transport`).
            k: edges per target, at most: one of the numbers it was evaluated with.
            carried: of the transports fitted with A's error carried along.

        Returns:
            Edges of kind `transport`, whose `score` is the source's share of the target's absolute
            drive, over all that it is read of the text (`saematch.transport.REACHES`); those of
            targets that never fired are left out.

        Raises:
            RunError: there is no such run, it was not evaluated with transports, or with other k.
        """
        opened = run if isinstance(run, Run) else Run.open(run)
        if "transports" not in opened.tables("evaluation"):
            raise RunError(
                f"{opened.path} has no sparse transports: saematch evaluate {opened.path} ... "
                f"--transport {k} fits them"
            )
        layers = Layers.of(opened)
        table = opened.table("evaluation", "transports")
        found = table.filter(k=k, carried=carried).drop_nulls("share")
        if found.is_empty():
            there = ", ".join(map(str, sorted(table["k"].unique())))
            raise RunError(f"{opened.path} has no transports of {k} edges; it has those of {there}")
        start = _starts(layers.names, layers.features)
        ends = [
            (pl.col(feature) + pl.col(site).replace_strict(start, return_dtype=pl.Int64)).alias(
                feature
            )
            for feature, site in (("source", "a"), ("target", "b"))
        ]
        ranks = [
            pl.col("score").rank("ordinal", descending=True).over(side).cast(pl.Int32).alias(name)
            for side, name in (("source", "rank"), ("target", "source_rank"))
        ]
        sums = found.select(*ends, "share").group_by("source", "target").agg(score=pl.sum("share"))
        edges = sums.sort("source", "target").with_columns(
            *ranks, kind=pl.lit("transport", dtype=pl.Enum(KINDS))
        )
        empty = pl.DataFrame(schema=_SCHEMA)
        edges = pl.concat([empty, edges.cast({"score": pl.Float64})], how="diagonal")
        return replace(cls.of(layers), table=edges.sort("source", "rank"))

    @classmethod
    def of_effects(cls, run: Run | str | Path) -> FlowGraph:
        """The graph of a run's pairs with the average effect of each edge.

        Features that the pairs do not join, but whose effect is among the largest of either, have
        an edge of kind `effect`.

        Args:
            run: one whose average effects are known (`saematch intervene`).

        Raises:
            RunError: there is no such run, or its average effects are not known.
        """
        opened = run if isinstance(run, Run) else Run.open(run)
        if "effects" not in opened.tables("causes"):
            raise RunError(
                f"{opened.path} has no average effects: saematch intervene {opened.path} "
                "--experiments effects ... finds them"
            )
        graph = cls.of(opened)
        found = opened.table("causes", "effects")
        ends = [
            (pl.col(end) + pl.col(site).replace_strict(graph.starts, return_dtype=pl.Int64))
            for end, site in (("source", "a"), ("target", "b"))
        ]
        effects = found.select(*ends, "effect", pl.col("cosine").alias("their_cosine"))
        table = graph.table.join(effects, on=["source", "target"], how="full", coalesce=True)
        table = table.with_columns(
            pl.col("kind").fill_null(pl.lit("effect", dtype=pl.Enum(KINDS))),
            pl.coalesce("cosine", "their_cosine").alias("cosine"),
        ).select(*_SCHEMA, "effect")
        order = ["source", "rank", "effect"]
        descending = [False, False, True]
        return replace(graph, table=table.sort(order, descending=descending, nulls_last=True))

    def __repr__(self) -> str:
        return f"FlowGraph({len(self.members):,} features, {len(self.table):,} edges)"

    @cached_property
    def starts(self) -> dict[str, int]:
        """The number of each SAE's feature 0."""
        return _starts(self.names, self.features)

    def node(self, site: str, feature: int) -> int:
        """The number of a feature's node.

        Raises:
            RunError: there is no such SAE, or it has no such feature.
        """
        if site not in self.starts:
            raise RunError(f"the graph has no SAE {site!r}; {names_there(site, self.names)}")
        if not 0 <= feature < self.features[site]:
            last = self.features[site] - 1
            raise RunError(f"{site} has no feature {feature}; it has 0 to {last}")
        return self.starts[site] + feature

    def nodes(self) -> pl.DataFrame:
        """One row per node: `node` (number), `id` (`SITE/FEATURE`), `site`, `feature`, `layer`."""
        frame = _placed(self.names, self.starts, pl.Series("node", self.members, dtype=pl.Int64))
        layers = {
            name: None if (site := self.sites[name]) is None else site.layer for name in self.names
        }
        return frame.with_columns(
            pl.format("{}/{}", "site", "feature").alias("id"),
            pl.col("site")
            .cast(pl.String)
            .replace_strict(layers, default=None, return_dtype=pl.Int64)
            .alias("layer"),
        ).select("node", "id", "site", "feature", "layer")

    def edges(self) -> pl.DataFrame:
        """`table` with `source_site`, `source`, `target_site`, `target` as names and features."""
        ends = [
            _placed(self.names, self.starts, self.table[side].alias("node")).select(
                pl.col("site").alias(f"{side}_site"), pl.col("feature").alias(side)
            )
            for side in ("source", "target")
        ]
        return pl.concat([*ends, self.table.drop("source", "target")], how="horizontal")

    def keep(
        self,
        *,
        kinds: Collection[str] | None = None,
        min_score: float | None = None,
        max_p: float | None = None,
    ) -> FlowGraph:
        """The same nodes with fewer edges.

        Args:
            kinds: those of `KINDS` to keep; all unless given.
            min_score: the least score, in the method's units.
            max_p: the largest p-value, of target or source; edges without one go.

        Raises:
            RunError: an unknown kind.
        """
        if unknown := sorted({*(kinds or ())} - {*KINDS}):
            raise RunError(f"there are no {unknown[0]!r} edges; the kinds are {', '.join(KINDS)}")
        kept = pl.lit(True)
        if kinds is not None:
            kept &= pl.col("kind").cast(pl.String).is_in(sorted(kinds))
        if min_score is not None:
            kept &= pl.col("score") >= min_score
        if max_p is not None:
            kept &= pl.min_horizontal("p_value", "source_p_value") <= max_p
        return replace(self, table=self.table.filter(kept))

    def around(
        self, site: str, feature: int, *, forward: int | None = None, backward: int | None = None
    ) -> FlowGraph:
        """What flows into a feature and out of it.

        All nodes on paths of at most `forward` edges from it and of at most `backward` edges to
        it, without a bound unless given, and the edges of those paths.

        Raises:
            RunError: there is no such SAE, or it has no such feature.
        """
        start = self.node(site, feature)
        source, target = (self.table[side].to_numpy() for side in ("source", "target"))
        total = sum(self.features.values())
        ahead = _reached(start, source, target, total, forward)
        behind = _reached(start, target, source, total, backward)
        edges = np.union1d(ahead, behind)
        ends = np.concatenate([[start], source[edges], target[edges]])
        return replace(self, members=np.unique(ends), table=self.table[edges])


_SCHEMA = {
    "source": pl.Int64,
    "target": pl.Int64,
    "kind": pl.Enum(KINDS),
    "rank": pl.Int32,
    "source_rank": pl.Int32,
    **dict.fromkeys(_NUMBERS, pl.Float64),
}


def _words(words: tuple[str, ...]) -> pl.Series:
    return pl.Series(words, dtype=pl.Enum(words))


def _starts(names: tuple[str, ...], features: Mapping[str, int]) -> dict[str, int]:
    ends = np.cumsum([0, *(features[name] for name in names)]).tolist()
    return dict(zip(names, ends, strict=False))


def _placed(names: tuple[str, ...], starts: Mapping[str, int], nodes: pl.Series) -> pl.DataFrame:
    """Numbers of nodes as `site` and `feature`, in the same order."""
    first = np.array([starts[name] for name in names], dtype=np.int64)
    numbers = nodes.to_numpy()
    place = np.searchsorted(first, numbers, side="right") - 1
    sites = _words(names)[place].alias("site")
    feature = numbers - first[place] if len(numbers) else numbers
    return pl.DataFrame([nodes, sites, pl.Series("feature", feature, dtype=pl.Int64)])


def _edges(pair: Pair, start_a: int, start_b: int) -> pl.DataFrame:
    """The edges of one pair, each pair of features once."""
    candidates, sources = pair.candidates, pair.sources
    width = sources.shape[0]
    rows = (pair.target >= 0).nonzero()[0]
    forward, forward_rank = (candidates.index >= 0).nonzero()
    backward, backward_rank = (sources.index >= 0).nonzero()
    keys = [
        rows * width + pair.target[rows],
        forward * width + candidates.index[forward, forward_rank],
        sources.index[backward, backward_rank] * width + backward,
    ]
    unique, first = np.unique(np.concatenate(keys), return_index=True)
    place = [np.searchsorted(unique, key) for key in keys]

    def filled(*parts: tuple[int, ndarray], none: float = np.nan) -> ndarray:
        """Values by edge; where two parts tell of one edge, the later one counts."""
        values = np.full(len(unique), none)
        for part, found in parts:
            values[place[part]] = found
        return values

    of_target = pair.score[rows], pair.cosine[rows], pair.p_value[rows]
    listed = candidates.score, candidates.p_value
    scores, p_values = (values[forward, forward_rank] for values in listed)
    listed = sources.score, sources.more["decoder_cosine"], sources.p_value
    back_scores, back_cosine, back_p = (values[backward, backward_rank] for values in listed)
    accepted = np.where(pair.matched[rows], 0, 1)
    sizes = [len(key) for key in keys]
    kind = np.concatenate([accepted, np.full(sizes[1], 2), np.full(sizes[2], 3)])[first]
    ranks = [
        filled((1, forward_rank + 1), none=0).astype(np.int32),
        filled((2, backward_rank + 1), none=0).astype(np.int32),
    ]
    frame = pl.DataFrame(
        {
            "source": start_a + unique // width,
            "target": start_b + unique % width,
            "kind": _words(KINDS)[kind],
            "rank": ranks[0],
            "source_rank": ranks[1],
            "score": filled((2, back_scores), (1, scores), (0, of_target[0])),
            "cosine": filled((2, back_cosine), (0, of_target[1])),
            "p_value": filled((1, p_values), (0, of_target[2])),
            "source_p_value": filled((2, back_p)),
        },
        schema_overrides=_SCHEMA,
    )
    return frame.with_columns(
        pl.when(pl.col(name) > 0).then(pl.col(name)).alias(name) for name in ("rank", "source_rank")
    ).with_columns(pl.col(_NUMBERS).fill_nan(None))


def _reached(
    start: int, source: ndarray, target: ndarray, total: int, depth: int | None
) -> ndarray:
    """The edges of paths of at most `depth` edges from `start`, along source to target."""
    order = np.argsort(source, kind="stable")
    begins = np.searchsorted(source[order], np.arange(total + 1))
    seen = np.zeros(total, dtype=bool)
    seen[start] = True
    frontier, found, steps = np.array([start]), [], 0
    while len(frontier) and (depth is None or steps < depth):
        counts = begins[frontier + 1] - begins[frontier]
        offsets = np.arange(counts.sum()) - np.repeat(counts.cumsum() - counts, counts)
        edges = order[np.repeat(begins[frontier], counts) + offsets]
        found.append(edges)
        frontier = np.unique(target[edges])
        frontier = frontier[~seen[frontier]]
        seen[frontier] = True
        steps += 1
    return np.concatenate(found) if found else np.arange(0)

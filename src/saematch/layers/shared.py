"""Shared and orphan features of any number of SAEs: of seeds, widths, checkpoints.

After Paulo and Belrose, "Sparse Autoencoders Trained on the Same Data Learn Different Features"
(2025, arXiv 2501.16615), from two SAEs to N.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from saematch.errors import RunError
from saematch.runs.run import Run


@dataclass(frozen=True, eq=False)
class Comparison:
    """Which features N SAEs share.

    Two features of different SAEs are *shared* if the matching of their SAEs accepts the pair; the
    matchings are one to one, so that a feature is shared with at most one of each other SAE. A
    feature that is shared with none is an *orphan*. A *cluster* is a connected component of the
    graph of shared pairs; it is *complete* if every two of its features are shared, and then has at
    most one feature of each SAE, and *tangled* if it has two of one SAE, which only chains of
    shared pairs can bring about. Excluded features take no part and are counted nowhere.
    """

    names: tuple[str, ...]
    taking_part: Mapping[str, int]  # features of each SAE
    features: pl.DataFrame  # sae, feature, shared_with (how many other SAEs), cluster
    clusters: pl.DataFrame  # cluster, saes, size, complete, tangled; orphans are no cluster
    pairs: pl.DataFrame  # a, b, shared: one row per two SAEs

    @classmethod
    def of(cls, run: Run | str | Path) -> Comparison:
        """The comparison of all SAEs of a run that has a matching of every two of them.

        Raises:
            RunError: there is no such run, a pair is missing, or a matching is not one to one.
        """
        run = run if isinstance(run, Run) else Run.open(run)
        names = tuple(run.names)
        place = {name: i for i, name in enumerate(names)}
        done = {frozenset(pair): pair for pair in run.pairs}
        included = [run.features(name)["excluded"].is_null().to_numpy() for name in names]
        widths = [len(mask) for mask in included]
        start = np.cumsum([0, *widths])
        ends: list[np.ndarray] = []
        counts = []
        for i, one in enumerate(names):
            for other in names[i + 1 :]:
                if (pair := done.get(frozenset((one, other)))) is None:
                    raise RunError(
                        f"{run.path} has no matching of {one} and {other}; a comparison needs "
                        "every two of its SAEs"
                    )
                table = run.pair(*pair).filter("matched")
                if table["target"].is_duplicated().any():
                    raise RunError(f"the matching {'--'.join(pair)} is not one to one")
                both = table.select("feature", "target").to_numpy().T
                ends.append(both + start[[[place[pair[0]]], [place[pair[1]]]]])
                counts.append((one, other, len(table)))
        edges = np.concatenate(ends, axis=1) if ends else np.zeros((2, 0), dtype=np.int64)
        return cls(
            names=names,
            taking_part={n: int(mask.sum()) for n, mask in zip(names, included, strict=True)},
            **_clustered(names, np.concatenate(included), widths, edges),
            pairs=pl.DataFrame(
                counts, schema={"a": pl.String, "b": pl.String, "shared": pl.Int64}, orient="row"
            ),
        )

    def exactly(self) -> pl.DataFrame:
        """In exactly n of the N SAEs, one row per n from 1 to N.

        `n`; `clusters` that touch n SAEs, and how many of them are `complete` and `tangled` (for
        n = 1: the orphans, as they are); and for each SAE a column `features_NAME`: how many of its
        features are shared with exactly n - 1 others, directly, whatever their cluster.
        """
        rows = pl.DataFrame({"n": range(1, len(self.names) + 1)}, schema={"n": pl.Int64})
        orphans = self.features.filter(pl.col("shared_with") == 0).height
        by_n = self.clusters.group_by(pl.col("saes").alias("n")).agg(
            pl.len().cast(pl.Int64).alias("clusters"),
            pl.col("complete").sum().cast(pl.Int64),
            pl.col("tangled").sum().cast(pl.Int64),
        )
        alone = {"n": [1], "clusters": [orphans], "complete": [orphans], "tangled": [0]}
        rows = rows.join(
            pl.concat([by_n, pl.DataFrame(alone, schema=by_n.schema)]), on="n", how="left"
        )
        for name in self.names:
            features = self.features.filter(pl.col("sae") == name)
            counts = features.group_by((pl.col("shared_with") + 1).alias("n")).agg(
                pl.len().cast(pl.Int64).alias(own(name))
            )
            rows = rows.join(counts, on="n", how="left")
        return rows.fill_null(0).sort("n")

    def share(self, a: str, b: str) -> float:
        """The share of A's features that are shared with B, of those that take part."""
        row = self.pairs.filter(pl.col("a").is_in([a, b]), pl.col("b").is_in([a, b]))
        return row["shared"][0] / max(1, self.taking_part[a])

    @property
    def tables(self) -> dict[str, pl.DataFrame]:
        """`features` and `clusters`, for `Run.add`."""
        return {"features": self.features, "clusters": self.clusters}

    def summary(self) -> dict[str, Any]:
        """As plain values: `features` of each SAE that take part, `shared` pairs, `exactly`."""
        return {
            "features": dict(self.taking_part),
            "shared": self.pairs.to_dicts(),
            "exactly": self.exactly().to_dicts(),
        }


def own(name: str) -> str:
    """The column of an SAE in `Comparison.exactly`; SAEs may be called as other columns are."""
    return f"features_{name}"


def _clustered(
    names: tuple[str, ...], included: np.ndarray, widths: list[int], edges: np.ndarray
) -> dict[str, pl.DataFrame]:
    total = len(included)
    ones = np.ones(edges.shape[1])
    count, label = connected_components(coo_array((ones, edges), shape=(total, total)), False)
    sizes = np.bincount(label, minlength=count)
    inside = np.bincount(label[edges[0]], minlength=count)
    sae = np.repeat(np.arange(len(names)), widths)
    distinct = np.unique(label.astype(np.int64) * len(names) + sae) // len(names)
    saes = np.bincount(distinct, minlength=count)
    # the largest first; of equals the one whose first feature comes first
    first = np.full(count, total)
    np.minimum.at(first, label, np.arange(total))
    order = np.lexsort((first, -sizes, -saes))
    order = order[sizes[order] > 1]
    number = np.full(count, -1)
    number[order] = np.arange(len(order))
    complete = inside == sizes * (sizes - 1) // 2
    features = pl.DataFrame(
        {
            "sae": pl.Series(names, dtype=pl.Enum(names))[sae],
            "feature": np.concatenate([np.arange(width) for width in widths]),
            "shared_with": np.bincount(edges.ravel(), minlength=total),
            "cluster": number[label],
        }
    )
    features = features.filter(pl.Series(included)).with_columns(
        pl.col("sae").cast(pl.String),
        pl.when(pl.col("cluster") >= 0).then(pl.col("cluster")).alias("cluster"),
    )
    clusters = pl.DataFrame(
        {
            "cluster": np.arange(len(order)),
            "saes": saes[order],
            "size": sizes[order],
            "complete": complete[order],
            "tangled": (sizes > saes)[order],
        }
    )
    return {"features": features, "clusters": clusters}

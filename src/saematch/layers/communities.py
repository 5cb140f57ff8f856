"""Communities of the flow graph: features that belong together across layers, with a label."""

from __future__ import annotations

import numpy as np
import polars as pl
from numpy import ndarray
from scipy.sparse import coo_array, csr_matrix
from scipy.sparse.csgraph import connected_components

from saematch.errors import RunError
from saematch.labels.top_tokens import SHOWN, folded, joined, merged, top_tokens
from saematch.layers.graph import FlowGraph
from saematch.layers.layers import Layers
from saematch.runs.run import Run

MAX_P = 0.01  # of an edge
STOP = 1e-5  # of the quality, relative: a round that gains less is the last
RARE = 0.2  # of the weight of a label's commonest token: tokens rarer than that are left out
PRIOR = 0.5  # of the log-odds: how many features are taken to fire on a token beforehand


def find_communities(
    graph: FlowGraph,
    tokens: pl.DataFrame | None = None,
    *,
    max_p: float = MAX_P,
    resolution: float = 1.0,
    seed: int = 0,
) -> pl.DataFrame:
    """Groups of features that flow into each other more than into others.

    Maximises `sum_c (w_c - gamma n_c (n_c - 1) / 2)` over groups c of `n_c` features with edges of
    weight `w_c` among them (the constant Potts model: Traag, Van Dooren, Nesterov, 2011) by the
    Louvain method (Blondel et al., 2008), and takes apart what is not connected. `gamma` is such
    that with `resolution` 1 a chain of features through all layers is worth holding together,
    however large the graph is: `3 w / L^2` for L SAEs and the mean weight w of an edge.

    An edge counts if it is an accepted match, or if its p-value, of target or source, is at most
    `max_p`. Its weight is `1 - p / max_p` (p no more than max_p), divided by the better of its two
    ranks unless it is an accepted match; without p-values only matches count, by the cosine of
    their decoder rows.

    Args:
        graph: of a run.
        tokens: `top_tokens` of the same run, to make labels from.
        max_p: the largest p-value of an edge.
        resolution: larger gives smaller communities.
        seed: of the order in which features are visited.

    Returns:
        One row per community of two or more features, the largest first: `community`, a number
        from 0; `size`; `sites`, how many SAEs it touches; `first_layer`, `last_layer`; `weight`,
        the sum of the weights within; `label` and `tokens`, the tokens that set its members apart
        (see `distinctive_tokens`), null without any; `members`, a list of `site` and `feature`.

    Raises:
        RunError: an argument is out of range.
    """
    if not 0 < max_p <= 1:
        raise RunError(f"max_p is {max_p}; a p-value is from 0 to 1")
    if not resolution > 0:
        raise RunError(f"resolution is {resolution}; it must be more than 0")
    kept, weight = _weights(graph, max_p)
    source, target = (kept[side].to_numpy() for side in ("source", "target"))
    # numbers of the nodes that have an edge, without gaps
    present, ends = np.unique(np.concatenate([source, target]), return_inverse=True)
    source, target = ends[: len(source)], ends[len(source) :]
    group = _grouped(source, target, weight, len(present), len(graph.names), resolution, seed)
    within = group[source] == group[target]
    sizes = np.bincount(group)
    inside = np.bincount(group[source[within]], weight[within], minlength=len(sizes))
    sums = pl.DataFrame({"group": np.arange(len(sizes)), "weight": inside})
    frame = (
        graph.nodes()
        .join(pl.DataFrame({"node": present, "group": group}), on="node", maintain_order="right")
        .group_by("group", maintain_order=True)
        .agg(
            pl.len().cast(pl.Int64).alias("size"),
            pl.col("site").n_unique().cast(pl.Int64).alias("sites"),
            pl.col("layer").min().alias("first_layer"),
            pl.col("layer").max().alias("last_layer"),
            pl.struct(pl.col("site").cast(pl.String), "feature").alias("members"),
        )
        .filter(pl.col("size") > 1)
        .join(sums, on="group")
        .sort("size", "group", descending=[True, False])
        .with_row_index("community")
        .with_columns(pl.col("community").cast(pl.Int64))
    )
    labels = _labels(frame, tokens)
    return frame.join(labels, on="community", how="left", maintain_order="left").select(
        "community",
        "size",
        "sites",
        "first_layer",
        "last_layer",
        "weight",
        "label",
        "tokens",
        "members",
    )


def distinctive_tokens(members: pl.DataFrame, tokens: pl.DataFrame) -> pl.DataFrame:
    """The tokens on which the features of a group fire and others do not.

    Ranked by the z-score of the log-odds ratio against all other features, with the tokens' overall
    frequencies as the prior (Monroe, Colaresi, Quinn, "Fightin' Words", 2008). Tokens that differ
    in case or the space before them are counted as one, written as the group's features mostly are.

    Args:
        members: `community`, `site`, `feature`.
        tokens: `site`, `feature`, `token`, `weight`: see `top_tokens`.

    Returns:
        `community`, `token`, `weight` (how many of its features fire on it), `z`, the best first;
        only tokens that are commoner within than without.
    """
    inside = tokens.join(members, on=["site", "feature"]).select("community", "token", "weight")
    counts = merged(inside, "community").with_columns(folded("token").alias("folded"))
    overall = tokens.group_by(folded("token").alias("folded")).agg(
        pl.col("weight").sum().alias("all")
    )
    total = overall["all"].sum()
    own, everywhere = pl.col("weight"), pl.col("all")
    size = own.sum().over("community")
    prior = PRIOR * everywhere / total * len(overall)
    strength = PRIOR * len(overall)

    def log_odds(count: pl.Expr, among: pl.Expr) -> pl.Expr:
        return ((count + prior) / (among + strength - count - prior)).log()

    spread = (1 / (own + prior) + 1 / (everywhere - own + prior)).sqrt()
    ratio = log_odds(own, size) - log_odds(everywhere - own, total - size)
    # sums come in any order on several threads: what differs by rounding is alike
    rounded = pl.col("z").round_sig_figs(9)
    return (
        counts.join(overall, on="folded")
        .with_columns((ratio / spread).alias("z"))
        .filter(pl.col("z") > 1e-9)
        .sort("community", rounded, "token", descending=[False, True, False])
        .select("community", "token", "weight", "z")
    )


def graph_tables(run: Run, layers: Layers | None = None) -> dict[str, pl.DataFrame]:
    """The tables `edges` and `communities` of a run, for `Run.add`.

    `layers` are those of the run, where they were read already.

    Raises:
        RunError: a table of the run cannot be read.
    """
    graph = FlowGraph.of(layers or run)
    return {"edges": graph.edges(), "communities": find_communities(graph, top_tokens(run))}


def _weights(graph: FlowGraph, max_p: float) -> tuple[pl.DataFrame, ndarray]:
    """The edges that count, and how much each does."""
    accepted = pl.col("kind") == "match"
    p = pl.min_horizontal("p_value", "source_p_value")
    if graph.table["p_value"].null_count() == len(graph.table):
        kept = graph.table.filter(accepted, pl.col("cosine") > 0)
        return kept, kept["cosine"].to_numpy()
    kept = graph.table.filter(accepted | (p <= max_p))
    rank = pl.min_horizontal("rank", "source_rank")
    sure = 1 - pl.min_horizontal(p.fill_null(0), max_p) / max_p
    weight = pl.when(accepted).then(sure).otherwise(sure / rank.fill_null(1))
    kept = kept.with_columns(weight.alias("weight")).filter(pl.col("weight") > 0)
    return kept.drop("weight"), kept["weight"].to_numpy()


def _grouped(
    source: ndarray,
    target: ndarray,
    weight: ndarray,
    n: int,
    layers: int,
    resolution: float,
    seed: int,
) -> ndarray:
    """A number for each of n nodes; nodes of one number are connected by edges among them."""
    if not len(source):
        return np.arange(0)
    from sknetwork.clustering import Louvain

    both = np.concatenate([source, target]), np.concatenate([target, source])
    adjacency = csr_matrix((np.concatenate([weight, weight]), both), shape=(n, n))
    gamma = resolution * 3 * weight.mean() / max(2, layers) ** 2
    # its Potts modularity takes gamma against the density of the whole graph
    scaled = gamma * n**2 / adjacency.sum()
    found = Louvain(
        resolution=scaled,
        modularity="potts",
        tol_optimization=STOP,
        tol_aggregation=STOP,
        shuffle_nodes=True,
        random_state=seed,
    ).fit_predict(adjacency)
    within = found[source] == found[target]
    inner = coo_array((np.ones(within.sum()), (source[within], target[within])), shape=(n, n))
    return connected_components(inner, directed=False)[1].astype(np.int64)


def _labels(frame: pl.DataFrame, tokens: pl.DataFrame | None) -> pl.DataFrame:
    schema = {"community": pl.Int64, "tokens": pl.List(pl.String), "label": pl.String}
    if tokens is None or not len(tokens) or not len(frame):
        return pl.DataFrame(schema=schema)
    members = frame.select("community", "members").explode("members").unnest("members")
    return (
        distinctive_tokens(members, tokens)
        .filter(pl.col("weight") >= RARE * pl.col("weight").max().over("community"))
        .group_by("community", maintain_order=True)
        .agg(pl.col("token").head(SHOWN).alias("tokens"))
        .with_columns(joined("tokens").alias("label"))
    )

"""`saematch.trace`: one feature's way through the layers."""

from __future__ import annotations

from pathlib import Path

from saematch.errors import SaematchError
from saematch.layers.exports import export as write_graph
from saematch.layers.graph import FlowGraph
from saematch.layers.labels import feature_labels, top_tokens
from saematch.layers.tracing import Trace
from saematch.layers.tracing import trace as follow
from saematch.workflows.runs import GivenRun, opened_run

ENDINGS = {".json": "attribution", ".graphml": "graphml", ".parquet": "parquet"}
DEPTH = 3


def trace(
    run: GivenRun,
    site: str | int,
    feature: int | None = None,
    *,
    contexts: int = 2,
    alternatives: int = 3,
) -> Trace:
    """Follow a feature backward and forward, with scores, alternatives and top contexts.

    Args:
        run: a run or its directory.
        site: the name of an SAE of the run; or a layer, of the residual stream; or, without
            `feature`, both in one as `12_3456`, `resid_post_12/3456` or `resid_post_12#3456`.
        feature: its index.
        contexts: how many to give of each feature.
        alternatives: how many to give of each step.

    Raises:
        RunError: there is no such run, SAE or feature, or the feature takes no part in matchings.
    """
    opened = opened_run(run)
    return follow(opened, str(site), feature, contexts=contexts, alternatives=alternatives)


def export_trace(
    run: GivenRun,
    found: Trace,
    place: str | Path,
    *,
    node_link: bool = False,
    depth: int = DEPTH,
    max_p: float | None = None,
    transport: int | None = None,
) -> FlowGraph:
    """Write all that flows into a traced feature and out of it, not only its way.

    Args:
        run: the run or its directory.
        found: what `trace` found.
        place: NAME.json for circuit-tracer and Neuronpedia, .graphml, or .parquet.
        node_link: write .json as networkx reads it.
        depth: how many edges to follow in each direction.
        max_p: largest p-value of an edge.
        transport: write the edges of the sparse feature maps of so many edges per feature that the
            run was evaluated with, instead of matches and candidates.

    Returns:
        What was written.

    Raises:
        SaematchError: another ending, or options that do not go together.
        RunError: the run was not evaluated with such feature maps.
    """
    place = Path(place)
    check_export(place, node_link, max_p, transport)
    opened = opened_run(run)
    if transport is not None:
        graph = FlowGraph.of_transports(opened, transport)
    else:
        graph = FlowGraph.of(opened)
    if max_p is not None:
        graph = graph.keep(max_p=max_p)
    around = graph.around(found.site, found.feature, forward=depth, backward=depth)
    kind = ENDINGS[place.suffix]
    write_graph(
        around,
        place,
        "node-link" if node_link and kind == "attribution" else kind,
        labels=feature_labels(top_tokens(opened)),
        title=f"{found.site} #{found.feature}",
    )
    return around


def check_export(place: Path, node_link: bool, max_p: float | None, transport: int | None) -> None:
    """Raise SaematchError where `export_trace` cannot write that."""
    if place.suffix not in ENDINGS:
        raise SaematchError(f"{place}: the name must end in {', '.join(ENDINGS)}")
    if transport is not None and max_p is not None:
        raise SaematchError("edges of transports have no p-values: leave out max_p (--max-p)")
    if node_link and place.suffix != ".json":
        raise SaematchError(f"{place}: node-link graphs are JSON, so the name must end in .json")

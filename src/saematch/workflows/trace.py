"""`saematch.trace`: one feature's way through the layers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from saematch.errors import RunError, SaematchError
from saematch.labels.neuronpedia import Label, NeuronpediaId, labels_of_feature
from saematch.labels.of_run import TOP_TOKENS, labels_of
from saematch.layers.exports import export as write_graph
from saematch.layers.graph import FlowGraph
from saematch.layers.tracing import Step, Trace
from saematch.layers.tracing import trace as follow
from saematch.runs.run import Run
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
    labels: bool = False,
) -> Trace:
    """Follow a feature backward and forward, with scores, alternatives and top contexts.

    Args:
        run: a run or its directory.
        site: the name of an SAE of the run; or a layer, of the residual stream; or, without
            `feature`, both in one as `12_3456`, `resid_post_12/3456` or `resid_post_12#3456`.
        feature: its index.
        contexts: how many to give of each feature.
        alternatives: how many to give of each step.
        labels: ask Neuronpedia for the labels of features on the way that the run has none of; for
            all of an SAE's `saematch.label` is faster, and keeps them.

    Raises:
        RunError: there is no such run, SAE or feature, the feature takes no part in matchings, or
            with `labels` it is not known what any of the SAEs is called on Neuronpedia.
        SaematchError: with `labels`, Neuronpedia cannot be reached.
    """
    opened = opened_run(run)
    found = follow(opened, str(site), feature, contexts=contexts, alternatives=alternatives)
    return _labelled(opened, found) if labels else found


def _labelled(run: Run, found: Trace) -> Trace:
    """A trace with labels of Neuronpedia where nobody gave one."""
    names = {sae.name: sae.conventions.neuronpedia_id for sae in run.record.saes}
    steps = (*found.backward, *found.forward)
    sites = [found.site, *(step.link.site for step in steps)]
    if not any(names[site] for site in sites):
        raise RunError(
            f"it is not known what {', '.join(dict.fromkeys(sites))} is called on Neuronpedia: "
            "state it with saematch label RUN neuronpedia:MODEL/SOURCE --sae NAME"
        )

    def label(site: str, feature: int, known: Label | None) -> Label | None:
        name = names[site]
        if name is None or (known is not None and known.source != TOP_TOKENS):
            return known
        return next(iter(labels_of_feature(NeuronpediaId.parse(name), feature)), known)

    def labelled(step: Step) -> Step:
        return replace(step, label=label(step.link.site, step.link.feature, step.label))

    return replace(
        found,
        label=label(found.site, found.feature, found.label),
        backward=tuple(map(labelled, found.backward)),
        forward=tuple(map(labelled, found.forward)),
    )


def export_trace(
    run: GivenRun,
    found: Trace,
    place: str | Path,
    *,
    node_link: bool = False,
    depth: int = DEPTH,
    max_p: float | None = None,
    transport: int | None = None,
    effects: bool = False,
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
        effects: write the average effect of each edge too, and edges of the largest effects, as
            `saematch.intervene` finds them.

    Returns:
        What was written.

    Raises:
        SaematchError: another ending, or options that do not go together.
        RunError: the run was not evaluated with such feature maps, or has no average effects.
    """
    place = Path(place)
    check_export(place, node_link, max_p, transport, effects)
    opened = opened_run(run)
    if transport is not None:
        graph = FlowGraph.of_transports(opened, transport)
    else:
        graph = FlowGraph.of_effects(opened) if effects else FlowGraph.of(opened)
    if max_p is not None:
        graph = graph.keep(max_p=max_p)
    around = graph.around(found.site, found.feature, forward=depth, backward=depth)
    kind = ENDINGS[place.suffix]
    write_graph(
        around,
        place,
        "node-link" if node_link and kind == "attribution" else kind,
        labels=labels_of(opened),
        title=f"{found.site} #{found.feature}",
    )
    return around


def check_export(
    place: Path, node_link: bool, max_p: float | None, transport: int | None, effects: bool
) -> None:
    """Raise SaematchError where `export_trace` cannot write that."""
    if place.suffix not in ENDINGS:
        raise SaematchError(f"{place}: the name must end in {', '.join(ENDINGS)}")
    if transport is not None and max_p is not None:
        raise SaematchError("edges of transports have no p-values: leave out max_p (--max-p)")
    if transport is not None and effects:
        raise SaematchError("edges of transports have no average effects: leave out one of the two")
    if node_link and place.suffix != ".json":
        raise SaematchError(f"{place}: node-link graphs are JSON, so the name must end in .json")

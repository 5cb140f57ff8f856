"""The pairs of a run that can be evaluated, and each of them evaluated on text sets."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import pairwise
from typing import Any

import polars as pl
from numpy import ndarray

from saematch.errors import RunError
from saematch.evaluation.estimates import Estimate, by_jacobian
from saematch.evaluation.evaluate import (
    Case,
    EvaluationOptions,
    Names,
    Texts,
    ahead,
    evaluated,
    single,
    skipped,
)
from saematch.evaluation.feature_pairs import FeaturePairs
from saematch.evaluation.fits import Fit
from saematch.evaluation.per_example import Known
from saematch.evaluation.splice import Model
from saematch.evaluation.transports import Transports, named_edges
from saematch.layers.layers import Layers, depth
from saematch.models.jacobian import Jacobian
from saematch.numerics.held import Held
from saematch.runs.run import Run
from saematch.sae.checksum import checksum
from saematch.sae.sae import SAE

Job = tuple[Names, Sequence[str]]  # a pair, and the text sets that it is evaluated on
# a pair, a text set, its values, and the edges of the pair's transports where those are fitted
Evaluated = tuple[Names, str, pl.DataFrame, pl.DataFrame | None]
Elsewhere = Callable[[Sequence[Job], EvaluationOptions], Iterable[Evaluated]]


def evaluable(run: Run, reach: float | None = None) -> list[Names]:
    """Pairs of one stream, A's site not after B's, that are matched; nearest first.

    With `reach`, those at most so many blocks apart, and also pairs that only a chain of matchings
    joins.
    """
    layers = Layers.of(run)
    names = [name for name in layers.names if depth(layers.sites[name]) is not None]
    found = []
    for a in names:
        for b in names:
            if a == b or not ahead(layers.sites[a], layers.sites[b]):
                continue
            apart = skipped(layers.sites[a], layers.sites[b])
            direct = (a, b) in layers.pairs
            if reach is not None and apart > reach:
                continue
            if direct or (reach is not None and chain(layers, a, b)):
                found.append((apart, layers.names.index(a), layers.names.index(b), (a, b)))
    return [pair for *_, pair in sorted(found)]


def chain(layers: Layers, a: str, b: str) -> list[str]:
    """The SAEs from A to B, one per site, if all neighbours among them are matched.

    None where they are not, or where there are fewer than three.
    """
    low, high = depth(layers.sites[a]), depth(layers.sites[b])
    stream = next((some for some in layers.streams.values() if a in some and b in some), ())
    between: dict[Any, str] = {}
    for name in stream:
        at = depth(layers.sites[name])
        if low is not None and high is not None and at is not None and low < at < high:
            between.setdefault(at, name)
    path = [a, *between.values(), b]
    steps = list(pairwise(path))
    return path if len(path) > 2 and all(step in layers.pairs for step in steps) else []


class PairsOnTexts:
    """Evaluates pairs of a run one by one; what pairs share is computed once.

    Args:
        run: the run.
        model, texts, fitted, options, jacobian, load, batch_tokens, begun: as of `evaluate_run`.
        memory: SAEs that need not be loaded, by checksum.
    """

    def __init__(
        self,
        run: Run,
        model: Model,
        texts: Texts,
        fitted: tuple[str, Sequence[ndarray]],
        options: EvaluationOptions,
        jacobian: Callable[[SAE, SAE], Jacobian] | None = None,
        load: Callable[[str], SAE] | None = None,
        memory: Mapping[str, SAE] | None = None,
        batch_tokens: int = 4096,
        begun: Callable[[Names, str | None], None] = lambda names, texts: None,
    ) -> None:
        self._run, self._layers = run, Layers.of(run)
        self._model, self._texts, self._fitted, self._options = model, texts, fitted, options
        self._load, self._memory = load, memory or {}
        self._batch_tokens, self._begun = batch_tokens, begun
        ks = options.transports
        self._transports = Transports(model, fitted[1], ks, options.seed) if ks else None
        self._more = partial(_more, self._transports, jacobian)
        self._held = Held[str, SAE](self._again)
        self._known: dict[str, Known] = {name: {} for name in texts}

    def evaluated(self, job: Job) -> Iterator[Evaluated]:
        """The values of a pair on each of its text sets, and the edges of its transports."""
        names, missing = job
        a, b = (self._held[name] for name in names)
        case = _case(self._run, self._layers, names, a, b)
        for name, frame in evaluated(
            case,
            self._model,
            self._texts,
            missing,
            self._fitted,
            self._options,
            self._known,
            self._more,
            self._batch_tokens,
            self._begun,
        ):
            fits = self._transports
            yield names, name, frame, None if fits is None else named_edges(fits.edges, *names)

    def _again(self, name: str) -> SAE:
        """An SAE of the run: of those in memory by checksum, or loaded again and checked."""
        load = self._load
        if load is None:
            from saematch.checkpoints import load
        run, its = self._run, self._run.sae(name)
        source, sae = its.conventions.source, self._memory.get(its.checksum)
        if sae is None and not source:
            raise RunError(
                f"{name} was given in memory when {run.path} was made: give it again (saes=...)"
            )
        sae = load(source) if sae is None else sae
        if checksum(sae) != its.checksum:
            raise RunError(
                f"{sae.name} has other weights than when {run.path} was made: make the run again"
            )
        # which may have been given when the run was made
        return single(replace(sae, conventions=replace(sae.conventions, site=its.site)))


def _more(
    transports: Transports | None,
    jacobian: Callable[[SAE, SAE], Jacobian] | None,
    a: SAE,
    b: SAE,
    fit: Fit,
) -> list[Estimate]:
    """The estimates of a pair that take more than its SAEs and its matching."""
    found = [] if transports is None else transports(a, b, fit)
    here, there = (sae.conventions.site for sae in (a, b))
    if jacobian is None or here is None or there is None or here.hook == there.hook:
        return found
    return [*found, *by_jacobian(jacobian(a, b))]


def _case(run: Run, layers: Layers, names: Names, a: SAE, b: SAE) -> Case:
    direct = FeaturePairs.read(run, names, a, b) if names in layers.pairs else None
    path, chained = chain(layers, *names), None
    if path:
        chained = FeaturePairs.chained(a, b, [layers.map(*step) for step in pairwise(path)])
    summary = run.summaries[names if direct is not None else (path[0], path[1])]
    return Case(names, a, b, direct, chained, summary["method"], summary["fold"])

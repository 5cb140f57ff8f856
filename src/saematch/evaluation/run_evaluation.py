"""The pairs of a run evaluated, and the figures written with it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import asdict, replace
from typing import Any

import polars as pl

from saematch.errors import RunError
from saematch.evaluation.estimates import ESTIMATES
from saematch.evaluation.evaluate import (
    EvaluationOptions,
    FitOn,
    Names,
    Texts,
    digest,
    fit_texts,
)
from saematch.evaluation.provenance import EDGES, TABLE, Provenance
from saematch.evaluation.run_pairs import Elsewhere, Job, PairsOnTexts, chain, evaluable
from saematch.evaluation.splice import Model, counted_tokens
from saematch.evaluation.transports import estimate_name
from saematch.layers.layers import Layers
from saematch.models.jacobian import Jacobian
from saematch.runs.run import Run
from saematch.sae.checksum import checksum
from saematch.sae.sae import SAE
from saematch.transport.reading import REACHES


def evaluate_run(
    run: Run,
    model: Model,
    texts: Texts,
    fit: FitOn = None,
    options: EvaluationOptions | None = None,
    *,
    pairs: Collection[Names] | None = None,
    reach: float | None = None,
    model_name: str = "",
    dtype: str | None = None,
    jacobian: Callable[[SAE, SAE], Jacobian] | None = None,
    load: Callable[[str], SAE] | None = None,
    given: Iterable[SAE] = (),
    batch_tokens: int = 4096,
    overwrite: bool = False,
    begun: Callable[[Names, str | None], None] = lambda names, texts: None,
    elsewhere: Elsewhere | None = None,
) -> pl.DataFrame:
    """Evaluate the pairs of a run and write the results to its `evaluation/values.parquet`.

    The edges of sparse transports, if any are asked for, go to `evaluation/transports.parquet`.

    Results that exist already are not computed again, pair by pair and text set by text set. For
    SAEs two layers or more apart, the chain of neighbours' matchings is evaluated beside the direct
    matching, or alone. A pair is evaluated again if its chain, its own matching, a transport, the
    Jacobian's estimates or a registered one was added since.

    Args:
        run: its SAEs are loaded again from where they came from, two at a time.
        model: the language model that its SAEs are of.
        texts: token ids of each example, BOS first, by the name of the text set.
        fit: what baselines are fitted on, as of `evaluate_matchings`.
        options: ways of rescaling, quantiles, bootstrap.
        pairs: those to evaluate; all that `evaluable` gives unless given.
        reach: only pairs with at most so many blocks of the model between their sites, and chains
            of that length too.
        model_name: what the model is called.
        dtype: what its weights are in; none: as they are stored.
        jacobian: the model's mean Jacobian between the hook points of two SAEs, for estimates by
            it; asked for pair by pair.
        load: how an SAE is loaded by its name; `saematch.load` unless given.
        given: SAEs of the run that are in memory, and are not loaded.
        batch_tokens: tokens that the model reads at a time; does not change figures but for
            rounding, and where an SAE is batchtopk without a threshold: that keeps its k features
            per token on average over what is read together.
        overwrite: discard an evaluation that was made otherwise.
        begun: called before each pair is fitted, without a text set, and before each text set.
        elsewhere: evaluates pairs in other processes, each with `PairsOnTexts`; told what was asked
            for besides `options`: estimates that the run has of other packages, and whether by the
            Jacobian.

    Raises:
        RunError: the run holds an evaluation that was made otherwise; another program is writing to
            it; an SAE is no longer where it was, or has other weights; a pair is neither matched
            nor joined by a chain.
    """
    chosen, fitted = options or EvaluationOptions(), fit_texts(texts, fit)
    read = {"reaches": tuple(REACHES)} if chosen.transports else {}
    provenance = Provenance(
        {"model": model_name, "dtype": dtype, "fit": fitted[0], **_recorded(chosen), **read},
        {name: digest(examples) for name, examples in texts.items()},
        digest(fitted[1]),
        sum(map(counted_tokens, fitted[1])),
    )
    with run.writing():
        table = provenance.kept(run, overwrite)
        edges = provenance.kept_edges(run, table)
        others = _registered(table) - {*chosen.estimates}
        chosen = replace(chosen, estimates=(*chosen.estimates, *sorted(others)))
        ks = chosen.transports
        fits = [estimate_name(k, with_error) for k in ks for with_error in (False, True)]
        # what was asked for once is made of what is added, too
        if not chosen.jacobian and "jacobian" not in table["estimate"]:
            jacobian = None
        there = set(table.select("a", "b", "texts", "estimate").unique().iter_rows())
        layers = Layers.of(run)
        jobs: list[Job] = []
        for names in evaluable(run, reach) if pairs is None else pairs:
            ways = [*_ways(run, layers, names), *fits, *chosen.estimates]
            if jacobian is not None and _apart(layers, names):
                ways.append("jacobian")
            missing = [
                name for name in texts if any((*names, name, way) not in there for way in ways)
            ]
            if missing:
                jobs.append((names, missing))
        if elsewhere is not None:
            results = elsewhere(jobs, replace(chosen, jacobian=jacobian is not None))
        else:
            memory = {checksum(sae): sae for sae in given}
            here = PairsOnTexts(
                run, model, texts, fitted, chosen, jacobian, load, memory, batch_tokens, begun
            )
            results = (found for job in jobs for found in here.evaluated(job))
        for names, name, frame, its_edges in results:
            table = pl.concat([_without(table, *names, name), frame])
            if its_edges is not None:
                others = edges.filter(~((pl.col("a") == names[0]) & (pl.col("b") == names[1])))
                edges = pl.concat([others, its_edges])
            # edges first: a pair counts as done by its values
            provenance.write(run, {EDGES: edges, TABLE: table}, name)
        return table


def _ways(run: Run, layers: Layers, names: Names) -> list[str]:
    """The estimates of a pair's own matching and of its chain, if it has them."""
    direct, chained = names in layers.pairs, bool(chain(layers, *names))
    if not direct and not chained:
        raise RunError(f"{run.path} has no pair {'--'.join(names)}, and no chain that joins them")
    return ["match"] * direct + ["composed"] * chained


def _apart(layers: Layers, names: Names) -> bool:
    """Whether two SAEs read different hook points."""
    one, other = (layers.sites[name] for name in names)
    return one is not None and other is not None and one.hook != other.hook


def _without(table: pl.DataFrame, a: str, b: str, texts: str) -> pl.DataFrame:
    """The table without the rows of a pair on a text set."""
    return table.filter((pl.col("a") != a) | (pl.col("b") != b) | (pl.col("texts") != texts))


def _recorded(options: EvaluationOptions) -> dict[str, Any]:
    """Options as a run keeps them; what may be added to an evaluation is in its table."""
    added = ("estimates", "jacobian")
    return {key: value for key, value in asdict(options).items() if key not in added}


def _registered(table: pl.DataFrame) -> set[str]:
    """The estimates of other packages that a table has, as far as those are installed."""
    return {*table["estimate"].unique()} & {*ESTIMATES.added}

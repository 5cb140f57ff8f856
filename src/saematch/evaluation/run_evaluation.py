"""The pairs of a run evaluated, and the figures written with it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from functools import partial
from itertools import pairwise
from typing import Any

import msgspec
import polars as pl

from saematch.errors import RunError
from saematch.evaluation.estimates import ESTIMATES, Estimate, by_jacobian
from saematch.evaluation.evaluate import (
    PAIR_SCHEMA,
    Case,
    EvaluationOptions,
    FitOn,
    Names,
    Texts,
    ahead,
    digest,
    evaluated,
    fit_texts,
    single,
    skipped,
)
from saematch.evaluation.feature_pairs import FeaturePairs
from saematch.evaluation.fits import Fit
from saematch.evaluation.per_example import Known
from saematch.evaluation.splice import Model, counted_tokens
from saematch.evaluation.transports import EDGES_SCHEMA, Transports, estimate_name, named_edges
from saematch.layers.layers import Layers, depth
from saematch.models.jacobian import Jacobian
from saematch.numerics.held import Held
from saematch.runs.records import Evaluation
from saematch.runs.run import Run
from saematch.sae.checksum import checksum
from saematch.sae.sae import SAE
from saematch.transport.reading import REACHES

TABLE = "values"
EDGES = "transports"


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
        transports = Transports(model, fitted[1], ks, chosen.seed) if ks else None
        fits = [estimate_name(k, with_error) for k in ks for with_error in (False, True)]
        # what was asked for once is made of what is added, too
        if not chosen.jacobian and "jacobian" not in table["estimate"]:
            jacobian = None
        more = partial(_more, transports, jacobian)
        there = set(table.select("a", "b", "texts", "estimate").unique().iter_rows())
        layers = Layers.of(run)
        held = Held(partial(_again, run, load, {checksum(sae): sae for sae in given}))
        known: dict[str, Known] = {name: {} for name in texts}
        for names in evaluable(run, reach) if pairs is None else pairs:
            ways = [*_ways(run, layers, names), *fits, *chosen.estimates]
            if jacobian is not None and _apart(layers, names):
                ways.append("jacobian")
            missing = [
                name for name in texts if any((*names, name, way) not in there for way in ways)
            ]
            if not missing:
                continue
            case = _case(run, layers, names, held)
            for name, frame in evaluated(
                case, model, texts, missing, fitted, chosen, known, more, batch_tokens, begun
            ):
                table = pl.concat([_without(table, *names, name), frame])
                if transports is not None:
                    others = edges.filter(~((pl.col("a") == names[0]) & (pl.col("b") == names[1])))
                    edges = pl.concat([others, named_edges(transports.edges, *names)])
                # edges first: a pair counts as done by its values
                provenance.write(run, {EDGES: edges, TABLE: table}, name)
        return table


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


@dataclass(frozen=True)
class Provenance:
    """What an evaluation was made of: only results made of the same are added to it."""

    options: dict[str, Any]
    digests: dict[str, str]
    fit_digest: str
    fit_tokens: int  # that are predicted

    def kept(self, run: Run, overwrite: bool) -> pl.DataFrame:
        """The existing table, or an empty one if there is none or it is to be overwritten."""
        there = run.section("evaluation")
        different = self._differences(there, _used(run)) if there is not None else []
        if there is None or (overwrite and different):
            return pl.DataFrame(schema=PAIR_SCHEMA)
        if different:
            fewer = there.options.get("transports") and not self.options["transports"]
            raise RunError(
                f"{run.path} holds an evaluation that was made otherwise: {'; '.join(different)}; "
                + "ask for its transports to add to it, or " * bool(fewer)
                + "discard it with --overwrite (overwrite=True)"
            )
        table = _counted(run)
        if not there.options.get("transports"):
            # what a call that was killed left of its transports
            table = table.filter(~pl.col("estimate").str.starts_with("transport"))
        return table

    def kept_edges(self, run: Run, table: pl.DataFrame) -> pl.DataFrame:
        """The edges of the transports in the kept table."""
        if table.is_empty() or EDGES not in run.tables("evaluation"):
            return pl.DataFrame(schema=EDGES_SCHEMA)
        return run.table("evaluation", EDGES)

    def write(self, run: Run, tables: dict[str, pl.DataFrame], texts: str) -> None:
        """Write the tables and their provenance to the run; leave out an empty table of edges."""
        table = tables[TABLE]
        tables = {name: some for name, some in tables.items() if name == TABLE or len(some)}
        there = run.section("evaluation")
        known = {} if there is None or table.is_empty() else there.texts
        used = {name: known[name] for name in table["texts"].unique() if name in known}
        used[texts] = self.digests[texts]
        fitted = {"fit_texts": self.fit_digest, "fit_tokens": self.fit_tokens}
        summary = {"options": self.options, "texts": used, **fitted}
        grows = False
        if there is not None and not self._differences(there, _used(run)):
            grows = True
            # listed first: rows of texts that are not listed could be of any texts
            run.update(evaluation=msgspec.structs.replace(there, texts={**there.texts, **used}))
        run.add("evaluation", tables, summary, grows=grows)

    def _differences(self, there: Evaluation, used: Collection[str]) -> list[str]:
        """How the existing evaluation differs; only the text sets `used` have values in it."""
        found = [
            f"{key} is {_told(key, there.options.get(key))} there, {_told(key, value)} here"
            for key, value in _listed(self.options).items()
            if there.options.get(key) != value and not self._adds(key, there)
        ]
        for name, value in self.digests.items():
            if name in used and there.texts[name] != value:
                found.append(f"{name} has other examples there")
        if not found and there.fit_texts != self.fit_digest:
            found.append("it was fitted on other examples")
        return found

    def _adds(self, key: str, there: Evaluation) -> bool:
        """Whether transports are added to an evaluation without any; its results stay valid."""
        return key in ("transports", "reaches") and not there.options.get("transports")


def _counted(run: Run) -> pl.DataFrame:
    """The existing values of the text sets that run.json lists."""
    there = run.section("evaluation")
    listed = [] if there is None else [*there.texts]
    return run.table("evaluation", TABLE).filter(pl.col("texts").is_in(listed))


def _used(run: Run) -> set[str]:
    return set(_counted(run)["texts"].unique())


def _again(run: Run, load: Callable[[str], SAE] | None, given: Mapping[str, SAE], name: str) -> SAE:
    """An SAE of a run: of those given by checksum, or loaded again and checked."""
    if load is None:
        from saematch.checkpoints import load
    its = run.sae(name)
    source, sae = its.conventions.source, given.get(its.checksum)
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


def _without(table: pl.DataFrame, a: str, b: str, texts: str) -> pl.DataFrame:
    """The table without the rows of a pair on a text set."""
    return table.filter((pl.col("a") != a) | (pl.col("b") != b) | (pl.col("texts") != texts))


def _case(run: Run, layers: Layers, names: Names, held: Held[str, SAE]) -> Case:
    a, b = held[names[0]], held[names[1]]
    direct = FeaturePairs.read(run, names, a, b) if names in layers.pairs else None
    path, chained = chain(layers, *names), None
    if path:
        chained = FeaturePairs.chained(a, b, [layers.map(*step) for step in pairwise(path)])
    summary = run.summaries[names if direct is not None else (path[0], path[1])]
    return Case(names, a, b, direct, chained, summary["method"], summary["fold"])


def _recorded(options: EvaluationOptions) -> dict[str, Any]:
    """Options as a run keeps them; what may be added to an evaluation is in its table."""
    added = ("estimates", "jacobian")
    return {key: value for key, value in asdict(options).items() if key not in added}


def _registered(table: pl.DataFrame) -> set[str]:
    """The estimates of other packages that a table has, as far as those are installed."""
    return {*table["estimate"].unique()} & {*ESTIMATES.added}


def _told(key: str, value: Any) -> Any:
    """An option's value as one would give it: no limit is 0."""
    return 0 if key == "massive" and value is None else value


def _listed(options: Mapping[str, Any]) -> dict[str, Any]:
    """As JSON gives them back."""
    return {key: list(v) if isinstance(v, tuple) else v for key, v in options.items()}

"""`saematch.intervene`: do matched features do the same to the model?"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl
import torch

from saematch.activations.massive import TIMES, checked_times
from saematch.causal.bench import Bench
from saematch.causal.deactivation import Step
from saematch.errors import RunError, SaematchError
from saematch.files.differences import option_differences
from saematch.layers.layers import STREAM, Layers
from saematch.layers.origins import modules_of
from saematch.layers.tracks import MODES, Mode
from saematch.models.texts import Long
from saematch.progress import Progress, log, silent
from saematch.progress import Step as Told
from saematch.runs.run import Run
from saematch.workflows.evaluate import texts_of
from saematch.workflows.interventions import Subject, matched, read
from saematch.workflows.models import GivenModel, opened
from saematch.workflows.options import DtypeChoice
from saematch.workflows.runs import GivenRun, loading, opened_run, warn_unfinished
from saematch.workflows.saes import Given, Saes
from saematch.workflows.sharding import part_for

NO_TRACKS = (
    "no track of three or more features begins on this text, so that none was removed as a whole: "
    "saematch flow makes them, of three SAEs or more"
)
EXPERIMENTS = ("deactivation", "substitution", "tracks", "effects")


def intervene(
    run: GivenRun,
    model: GivenModel,
    text: str | Path,
    *,
    against: Sequence[GivenRun] = (),
    experiments: Collection[str] = EXPERIMENTS,
    features: int = 100,
    substituted: int | None = None,
    whole_tracks: int = 50,
    mode: Mode = "gaps",
    windows: int = 3,
    after: int = 12,
    fit: str | Path | None = None,
    examples: int = 100,
    fit_examples: int = 100,
    length: int = 128,
    long: Long | None = None,
    massive: float | None = TIMES,
    seed: int = 0,
    batch_tokens: int = 4096,
    saes: Given | Sequence[Given] = (),
    device: str | torch.device = "auto",
    dtype: DtypeChoice | None = None,
    overwrite: bool = False,
    shard: str | None = None,
    progress: Progress | None = None,
) -> Run:
    """Change matched features in the running model, and see whether they do the same.

    Between neighbouring SAEs of the residual stream, and from the MLP's and attention's outputs to
    the stream after them:

    - `deactivation`: does a feature stop firing when the one it is said to come from is removed?
    - `substitution`: does its partner do what a feature did, when it takes its place? In the
      stream only.
    - `tracks`: does a track matter more than its members one by one?
    - `effects`: what the model's mean Jacobian says of each, from weights alone.

    Between SAEs of one hook point, such as those of two seeds, partners are exchanged and no more.
    Each has controls of the same size and number, drawn at random among what fires there, and what
    the methods of several runs say is tried on the same features. Results are written to the run
    step by step; the same call again continues where it stopped.

    Args:
        run: a run of `saematch.flow` or `saematch.match`, or its directory.
        model: the model that its SAEs are of, as of `saematch.capture`; a causal one.
        text: the text set on which it is tried, as of `saematch.capture`.
        against: runs of the same SAEs matched otherwise, whose partners are tried too.
        experiments: which of the four.
        features: how many of each SAE are deactivated, drawn at random, each where it fires once.
        substituted: how many of each SAE partners are put in the place of; `features` unless given.
        whole_tracks: how many tracks of three or more features are removed as a whole.
        mode: which tracks: `chained`, `flow` or `gaps`.
        windows: in how many examples, at most, a feature's partners or a track are tried.
        after: over how many tokens from where it fires, at most.
        fit: a text set on which it is learnt how often, how strongly and with what features fire,
            without the examples that are reported on; `text` unless given.
        examples: of the text, sampled at random.
        fit_examples: of the text set `fit`, at most.
        length: maximum number of tokens of an example, BOS included.
        long: as of `saematch.capture`.
        massive: as of `saematch.evaluate`.
        seed: of every draw.
        batch_tokens: tokens that the model reads at once.
        saes: those SAEs of the run that were given in memory when it was made.
        device: where to compute, as of `saematch.evaluate`.
        dtype: of the model's weights; as stored unless given.
        overwrite: discard results that were made with other options.
        shard: `K/N`: the K-th of N parts of the experiments, each of one kind between two SAEs,
            into the folder `shards` of the run, which is only read; `saematch.merge` puts all parts
            together. Returns the part.
        progress: called with a `Step` of `saematch.progress` as work proceeds; `print`
            will do.

    Returns:
        The run: `saematch.causal.deactivations(run.table("causes", "deactivation"))` and its
        neighbours make tables of the results.

    Raises:
        RunError: the run matches no neighbours, a run `against` has other SAEs, results of other
            options are there, an SAE is no longer where it was, or another program is writing; or a
            shard as of `saematch.evaluate`.
        SaematchError: a model, text or option that cannot be used.
    """
    run, tell, given = opened_run(run), progress or silent, Saes(saes, device)
    warn_unfinished(run)
    chosen = _chosen(experiments)
    if mode not in MODES or min(features, windows, after, whole_tracks) < 1:
        raise SaematchError(
            f"mode is {mode!r}, one of {', '.join(MODES)}; features, windows, after and "
            "whole_tracks are 1 at least"
        )
    others = [opened_run(other) for other in against]
    layers = Layers.of(run)
    steps = steps_of(layers)
    if not steps:
        raise RunError(
            f"{run.path} matches no neighbouring SAEs whose places in the model are known: nothing "
            "to try"
        )
    methods = matched(run, others)
    language = opened(model, given.device, dtype)
    if not language.causal:
        raise SaematchError(f"{language.name} is no causal language model: nothing follows a cause")
    fitted_on = str(text if fit is None else fit)
    sizes = examples, fit_examples, length, seed
    asked = {
        "features": features,
        "substituted": substituted or features,
        "whole_tracks": whole_tracks,
        "mode": mode,
        "windows": windows,
        "after": after,
        "fit": fitted_on,
        "examples": examples,
        "fit_examples": fit_examples,
        "length": length,
        "massive": checked_times(massive),
        "seed": seed,
        "dtype": dtype,
        "methods": [*methods],
    }
    every = _jobs(chosen, steps, layers)
    run, share = part_for(
        run, shard, "intervene", "causes", overwrite, jobs=[_job(*job) for job in every]
    )
    with run.writing():
        kept = _Kept(run, asked, language.name, str(text), overwrite)
        jobs = [job for job in share.block(every) if not kept.has(*job)]
        if not jobs:
            return _finished(run, shard)
        texts, fitted = texts_of(language, {"text": str(text)}, fitted_on, *sizes, long, tell)
        load = loading(run, given)
        names = [name for name in layers.names if any(name in step for step in _names(steps))]
        held = {name: load(name).to(language.device, torch.float32) for name in names}
        language.hooks_of(held)
        hooks = [*dict.fromkeys(str(run.sae(name).site) for name in names)]
        readings = read(language, held, hooks, texts["text"], fitted[1], massive, tell)
        subject = Subject(
            Bench(language, held, readings[0], seed, batch_tokens), readings[1], layers, methods
        )
        subject.jacobians(run, steps, tell)
        for number, (experiment, step) in enumerate(jobs):
            what = experiment if step is None else f"{step.name} → {step.target}"
            tell(Told(f"trying {experiment}", number, len(jobs), what))
            match experiment:
                case "deactivation":
                    found = subject.deactivated(step, features)
                case "substitution":
                    found = subject.substituted(step, asked["substituted"], windows, after)
                case "effects":
                    found = subject.effects(step)
                case _:
                    found = subject.whole(whole_tracks, mode, windows, after)
                    if not len(found):
                        log.warning(NO_TRACKS)
            kept.add(experiment, step, found)
        tell(Told("trying", len(jobs), len(jobs)))
    return _finished(run, shard)


def _finished(run: Run, shard: str | None) -> Run:
    if shard is not None:
        run.finish()
    return run


def steps_of(layers: Layers) -> list[Step]:
    """From which SAEs of a run to which: neighbours of the residual stream, modules to the stream.

    Where both the stream and modules lead to an SAE there is a step from all of them together too.
    """
    found: list[Step] = []
    before = {b: a for a, b in layers.adjacent()} if layers.chain else {}
    if layers.chain != layers.streams.get(STREAM):
        before = {}
    modules = modules_of(layers)
    for name in layers.chain:
        of = [before[name]] if name in before else []
        of += [site for letter in ("A", "M") for site in modules.get(name, {}).get(letter, ())]
        of = [site for site in of if (site, name) in layers.pairs]
        found += [Step((site,), name) for site in of]
        if len(of) > 1:
            found.append(Step(tuple(of), name))
    return found


class _Kept:
    """The results that a run holds so far."""

    def __init__(
        self, run: Run, asked: Mapping[str, Any], model: str, text: str, overwrite: bool
    ) -> None:
        self._run = run
        self._summary = {"options": dict(asked), "model": model, "texts": {"text": text}}
        self._tables: dict[str, pl.DataFrame] = {}
        self._done: list[str] = []
        self._grows = True
        there = run.section("causes")
        if there is None:
            return
        before = {**there.options, "model": there.model, **there.texts}
        different = option_differences(before, {**asked, "model": model, "text": text})
        if different and not overwrite:
            raise RunError(
                f"{run.path} holds results of other interventions: {'; '.join(different)}; ask for "
                "the same, or replace them with --overwrite (overwrite=True)"
            )
        self._grows = not different
        if not different:
            self._tables = {name: run.table("causes", name) for name in run.tables("causes")}
            self._done = [*there.done]

    def has(self, experiment: str, step: Step | None) -> bool:
        return _job(experiment, step) in self._done

    def add(self, experiment: str, step: Step | None, found: pl.DataFrame) -> None:
        there = self._tables.get(experiment)
        whole = found if there is None else pl.concat([there, found], how="diagonal_relaxed")
        self._tables[experiment] = whole
        self._done.append(_job(experiment, step))
        summary = {**self._summary, "done": self._done}
        # what is replaced is taken from run.json first: tables never stand beside other options
        self._run.add("causes", self._tables, summary, grows=self._grows)
        self._grows = True


def _jobs(
    chosen: Sequence[str], steps: Sequence[Step], layers: Layers
) -> list[tuple[str, Step | None]]:
    """What there is to do.

    Of two SAEs at one hook point neither comes first: there partners are exchanged and no more. A
    feature of a module's output is one part of what its partner in the stream is: those are not.
    """
    hooks = {name: str(site) for name, site in layers.sites.items()}
    streams = {name: site.stream for name, site in layers.sites.items() if site is not None}
    every: list[tuple[str, Step | None]] = []
    for experiment in chosen:
        if experiment == "tracks":
            one_each = len({hooks[name] for name in layers.chain}) == len(layers.chain)
            every += [(experiment, None)] if one_each else []
            continue
        for step in steps:
            apart = hooks[step.target] not in {hooks[name] for name in step.sources}
            single = len(step.sources) == 1
            alike = streams[step.sources[0]] == streams[step.target]
            match experiment:
                case "deactivation":
                    tried = apart
                case "substitution":
                    tried = single and alike
                case _:
                    tried = single and apart
            every += [(experiment, step)] if tried else []
    return every


def _job(experiment: str, step: Step | None) -> str:
    return experiment if step is None else f"{experiment} {step.name} {step.target}"


def _chosen(experiments: Collection[str]) -> list[str]:
    unknown = [name for name in experiments if name not in EXPERIMENTS]
    if unknown or not experiments:
        found = repr(unknown[0]) if unknown else "empty"
        raise SaematchError(f"experiments is {found}; it takes any of {', '.join(EXPERIMENTS)}")
    return [name for name in EXPERIMENTS if name in experiments]


def _names(steps: Sequence[Step]) -> list[tuple[str, ...]]:
    return [(*step.sources, step.target) for step in steps]

"""`saematch.steer_sweep`: steering measured over strengths, one way beside another."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import polars as pl
import torch
from msgspec import structs

from saematch.errors import RunError, SaematchError
from saematch.files.records import outside, plain
from saematch.labels.of_run import SingleLabels
from saematch.layers.tracks import Mode
from saematch.progress import Progress, Step, log, silent, tracked
from saematch.runs.records import SweepFigures
from saematch.runs.run import Run
from saematch.sae.sae import SAE
from saematch.steering.features import Feature, Named, track_of
from saematch.steering.judge import questions, rating
from saematch.steering.measures import measured
from saematch.steering.plan import Asked, Plan
from saematch.steering.schedules import ALPHA, Schedule
from saematch.steering.steering import How, Steering, Unit
from saematch.steering.sweep import (
    PLAIN,
    TEXTS,
    WAYS,
    Sweeps,
    asked_by,
    features_frame,
    sweep_name,
    texts_frame,
    theme_frame,
    theme_of,
)
from saematch.steering.text import continuations
from saematch.workflows.models import GivenModel
from saematch.workflows.options import DtypeChoice
from saematch.workflows.runs import GivenRun, opened_run
from saematch.workflows.saes import Given, Saes
from saematch.workflows.steer import language_of, loading

if TYPE_CHECKING:
    from saematch.asking.endpoint import Forecast
    from saematch.judging.verdict import Asked as Endpoint

STRENGTHS = (0.25, 0.5, 1.0, 2.0)
CONFIRM = 200_000  # tokens from which on a forecast has to be confirmed
# beginnings that may go on to anything
PROMPTS = (
    "I think that",
    "Yesterday, my neighbour told me that",
    "The most important thing is",
    "When I opened the door,",
    "It is well known that",
    "Let me tell you about",
    "In the evening, we",
    "The problem with this is that",
)


def steer_sweep(
    model: GivenModel,
    run: GivenRun,
    features: Named | Sequence[Named],
    strengths: Sequence[float] = STRENGTHS,
    *,
    ways: Sequence[str] | None = None,
    how: How = "add",
    schedule: Schedule = "constant",
    unit: Unit | None = None,
    mode: Mode = "chained",
    alpha: float = ALPHA,
    prompt: bool = True,
    prompts: Sequence[str] = PROMPTS,
    samples: int = 2,
    tokens: int = 40,
    temperature: float = 1.0,
    seed: int = 0,
    chat: bool = False,
    concept: str | None = None,
    endpoint: Endpoint | None = None,
    confirm: Callable[[Forecast], bool] | None = None,
    name: str | None = None,
    saes: Given | Sequence[Given] = (),
    device: str | torch.device = "auto",
    dtype: DtypeChoice | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Run:
    """Measure what steering does to a theme and to the text, at several strengths, in several ways.

    Prompts are continued by the plain model and by the steered one. Of each text the plain model
    says how strongly the features of the theme fire in it, which are those of the named features'
    tracks, and how probable it is; further, how much of it repeats, and with an endpoint how a
    language model rates it. The results are in the run: a sweep is called by its features, and
    stands beside others.

    Args:
        model: by its name, or a `LanguageModel`.
        run: the run, or its directory.
        features: one feature or several, as of `saematch.steer`.
        strengths: to steer at, in the order given.
        ways: which features are steered: `layer`, the named ones alone; `output-score`, of the
            track of each the one with the best output score; `track`; `flow`. All that there are
            unless given.
        how: `add` or `scale`, as of `saematch.steer`, and so are `schedule`, `unit`, `mode`,
            `alpha` and `prompt`.
        schedule: see above.
        unit: see above.
        mode: see above.
        alpha: see above.
        prompt: see above.
        prompts: to be continued.
        samples: of each prompt, way and strength.
        tokens: of each text, at most.
        temperature: of the draws; 0 takes the most probable token.
        seed: of the draws, the same for all ways and strengths.
        chat: prompts are a user's messages, in the model's chat template.
        concept: what a language model is to look for in the texts; the label of the first feature
            unless given.
        endpoint: the language model that rates texts, a `saematch.asking.Endpoint`. Called again
            with one, a sweep that is there is rated; nothing is written anew.
        confirm: as of `saematch.judge`.
        name: of the sweep; after its features unless given.
        saes: those SAEs of the run that were given in memory when it was made.
        device: where a model given by name runs; `auto`: a GPU if there is one.
        dtype: of the weights of a model given by name; as stored unless given.
        overwrite: replace a sweep of that name that was made otherwise.
        progress: called with a `Step` of `saematch.progress` as work proceeds; `print`
            will do.

    Returns:
        The run: `run.table("steering", "means")` has the means, `texts` every text.

    Raises:
        RunError: as of `saematch.steer`; or the run has another sweep of that name.
        SaematchError: as of `saematch.steer`; no strength; a way that there is not; the language
            model cannot be asked, its budget is spent, or the forecast was not confirmed.
    """
    tell, opened = progress or silent, opened_run(run)
    ways = _checked(ways, strengths, how)
    asked = Asked(strengths[0], schedule, how, unit=unit, mode=mode, alpha=alpha)
    given = Saes(saes, device)
    language = language_of(model, given.device, dtype)
    load = _kept(loading(opened, given))
    plans, notes = _plans(opened, language, load, features, asked, ways)
    named = next(iter(plans.values())).named
    theme = theme_of(opened, _theme(opened, named, mode))
    figures = SweepFigures(
        name=name or sweep_name(named),
        features=[f"{site}/{feature}" for site, feature in named],
        model=language.name,
        concept=concept or _concept(opened, named[0]),
        options=plain(
            {
                "strengths": [*strengths],
                "ways": [*plans],
                "how": how,
                "schedule": schedule,
                "unit": unit or "max",
                "mode": mode,
                "alpha": alpha,
                "prompt": prompt,
                "prompts": [*prompts],
                "samples": samples,
                "tokens": tokens,
                "temperature": temperature,
                "seed": seed,
                "chat": chat,
                "dtype": dtype,
            }
        ),
        notes=notes,
    )
    if outside(figures.name):
        raise SaematchError(f"a sweep cannot be called {figures.name!r} (--name): no / in it")
    with opened.writing():
        sweeps = Sweeps(opened)
        if sweeps.same(figures, overwrite):
            texts, described = sweeps.texts(figures.name), sweeps.features(figures.name)
        else:
            write = {
                "tokens": tokens,
                "samples": samples,
                "temperature": temperature,
                "seed": seed,
                "chat": chat,
            }
            read = {site: load(site) for site, _ in theme.features}
            cells: list[tuple[str, float, Steering | None]] = [(PLAIN, 0.0, None)]
            for way, plan in plans.items():
                for strength in strengths:
                    steering = Steering(language, plan.changes(strength), plan.saes, prompt=prompt)
                    cells.append((way, strength, steering))
            parts = []
            for way, strength, steering in tracked(
                cells, tell, "steering", len(cells), name=lambda c: f"{c[0]} at {c[1]:g}"
            ):
                if steering is None:
                    found = continuations(language, prompts, **write)
                else:
                    with steering:
                        found = continuations(language, prompts, **write)
                measures = measured(language, read, theme, found)
                parts.append(texts_frame(figures.name, way, strength, found, measures))
            texts = pl.concat(parts)
            frames = [features_frame(figures.name, way, plan) for way, plan in plans.items()]
            described = pl.concat([*frames, theme_frame(figures.name, theme)])
            sweeps.add(figures, texts, described)
        if endpoint is not None:
            rated = _rated(texts, figures.concept, endpoint, confirm, tell)
            sweeps.add(structs.replace(figures, judge=endpoint.model), rated, described)
    return opened


def sweep_of(run: Run, name: str) -> pl.DataFrame:
    """The means of a sweep, as they are in the run.

    Raises:
        RunError: the run has no sweep of that name.
    """
    found = run.table("steering", "means").filter(sweep=name)
    if found.is_empty():
        section = run.section("steering")
        there = ", ".join(s.name for s in section.sweeps) if section else "none"
        raise RunError(f"{run.path} has no sweep {name!r}; it has {there}")
    return found


def _checked(ways: Sequence[str] | None, strengths: Sequence[float], how: How) -> Sequence[str]:
    if how == "remove":
        raise SaematchError("a sweep is over strengths, and remove has none: scale (--how scale)")
    if not strengths:
        raise SaematchError("a sweep needs a strength at least")
    if len({*strengths}) < len(strengths):
        raise SaematchError(f"a strength is given twice: {', '.join(f'{s:g}' for s in strengths)}")
    for strength in strengths:
        Asked(strength, how=how)
    for way in ways or ():
        if way not in WAYS:
            raise SaematchError(f"way is {way!r}; it is one of {', '.join(WAYS)}")
    return ways or ()


def _kept(load: Callable[[str], SAE]) -> Callable[[str], SAE]:
    """The same, with every SAE loaded once: several ways steer by the same ones."""
    held: dict[str, SAE] = {}

    def kept(name: str) -> SAE:
        if name not in held:
            held[name] = load(name)
        return held[name]

    return kept


def _plans(
    run: Run,
    language: Any,
    load: Callable[[str], SAE],
    features: Named | Sequence[Named],
    asked: Asked,
    ways: Sequence[str],
) -> tuple[dict[str, Plan], list[str]]:
    """How each way steers; of those not asked for by name, the ones that there are."""
    plans: dict[str, Plan] = {}
    notes: list[str] = []
    for way in dict.fromkeys(ways or WAYS):
        try:
            plans[way] = Plan(run, language, load, features, asked_by(way, asked))
            plans[way].changes()
            notes += plans[way].notes
        except RunError as error:
            if ways or way == "layer":
                raise
            notes.append(f"no {way}: {error}")
    return plans, notes


def _theme(run: Run, named: Sequence[Feature], mode: Mode) -> list[Feature]:
    """The features of the named ones' tracks; those that are in none, alone."""
    found: list[Feature] = []
    for feature in named:
        try:
            found += track_of(run, feature, mode)
        except RunError:
            found.append(feature)
    return [*dict.fromkeys(found)]


def _concept(run: Run, feature: Feature) -> str:
    """What a feature is said to mean; else the tokens that it fires on."""
    site, number = feature
    label = SingleLabels(run).of(site, number, run.contexts(site))
    return f"{site} #{number}" if label is None else label.text


def _rated(
    texts: pl.DataFrame,
    concept: str,
    endpoint: Endpoint,
    confirm: Callable[[Forecast], bool] | None,
    tell: Progress,
) -> pl.DataFrame:
    """The texts with what a language model says of them."""
    asked = questions(concept, texts["text"].to_list())
    known = endpoint.forecast(asked)
    total = known.input_tokens + known.output_tokens
    log.info(
        f"{known.calls:,} questions to {endpoint.model}, about {known.input_tokens:,} tokens in "
        f"and {known.output_tokens:,} out; {known.cached:,} are answered already"
    )
    if total > CONFIRM and not (confirm is not None and confirm(known)):
        raise SaematchError(
            f"{known.calls:,} questions of about {total:,} tokens would be asked: agree to it "
            "(--yes, or a --budget; confirm in Python), or write fewer texts (--samples)"
        )
    tell(Step(f"{endpoint.model} rates", 0, len(asked)))
    rated = [rating(answer) for answer in endpoint.ask(asked, tell)]
    columns: Mapping[str, list[float | None]] = {"concept": rated[::2], "fluency": rated[1::2]}
    return texts.with_columns(
        pl.Series(name, values, dtype=pl.Float64) for name, values in columns.items()
    ).select(*TEXTS)

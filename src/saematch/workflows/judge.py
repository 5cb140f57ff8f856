"""`saematch.judge`: do matched features mean the same?"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import polars as pl

from saematch.activations.store import ActivationStore
from saematch.errors import MatchError, SaematchError, install
from saematch.files.records import plain
from saematch.judging.cases import DRAWS, Case, Draw, Draws, cases_frame
from saematch.judging.embeddings import available
from saematch.judging.experiment import Experiment, cases_of
from saematch.judging.judges import ASK, BY_DEFAULT, BY_EMBEDDINGS, JUDGES, NEED_TEXT
from saematch.judging.shown import CONTEXTS, Shown
from saematch.judging.verdict import Asked, Setting
from saematch.labels import given_labels
from saematch.layers.layers import Layers
from saematch.progress import Progress, Step, log, silent, tracked
from saematch.runs.records import JudgeFigures
from saematch.runs.run import Run
from saematch.workflows.runs import GivenRun, opened_run, warn_unfinished
from saematch.workflows.sharding import part_for
from saematch.workflows.tokens import StoredTokens

if TYPE_CHECKING:
    from saematch.asking.endpoint import Forecast

ANSWERS = "judging-answers"  # a folder of a run, where answers of language models are kept
CONFIRM = 200_000  # tokens from which on a forecast has to be confirmed
Confirm = Callable[["Forecast"], bool]


def judge(
    run: GivenRun,
    activations: ActivationStore | str | Path | None = None,
    *,
    judges: Sequence[str] | None = None,
    paths: int = 100,
    draw: Draw = "paths",
    distances: Sequence[int] = (),
    contexts: int = CONTEXTS,
    votes: int | None = None,
    seed: int = 0,
    endpoint: Asked | None = None,
    confirm: Confirm | None = None,
    overwrite: bool = False,
    shard: str | None = None,
    progress: Progress | None = None,
) -> Run:
    """Judge whether the matched features of a run mean the same, beside controls.

    SAE Match's experiment with what it lacked: paths of matches are drawn at random, every step of
    them is judged, and so are pairs whose answer is known: a feature with itself on other text, a
    random partner, the nearest feature that is none, feature i with feature i.

    Verdicts are written to the run judge by judge. Called again it adds judges, and asks a language
    model nothing twice.

    Args:
        run: a run of `saematch.flow` or `saematch.match`, or its directory.
        activations: a store that `saematch.capture` made of the run's SAEs, or its folder: what is
            shown of features. Without it only labels are compared (`describe`).
        judges: names of `saematch.judging.JUDGES`. Unless given, all that can judge with what is
            there: firing and contexts with activations, those that ask with an endpoint.
        paths: how many to draw; with another `draw` so many matches of each pair.
        draw: `paths` through the layers, from random features of the first; or of each pair of
            neighbours matches spread evenly over quantiles of `score`, `p-value` or `cosine`.
        distances: over how many steps chained matches are judged too, and the direct ones that the
            run has, from the start of each path; only with `paths`.
        contexts: of each feature and half of the text that are read, at most.
        votes: of each judge that takes several; as many as each thinks right unless given.
        seed: of all draws.
        endpoint: the language model to ask: a `saematch.asking.Endpoint`.
        confirm: is given the forecast of what will be asked, where that is more than 200,000
            tokens; false ends it. Without it nothing is asked that would cost more.
        overwrite: discard judgements of other cases.
        shard: `K/N`: judge the K-th of N parts of the cases alone, into the folder `shards` of the
            run, which is only read; `saematch.merge` puts all parts together. Returns the part.
        progress: called with a `Step` of `saematch.progress` as work proceeds; `print`
            will do.

    Returns:
        The run: `saematch.judging.judged(run)` has the verdicts.

    Raises:
        MatchError: a judge that there is not, or that lacks what it reads; no two neighbours are
            matched; or too few features can be judged.
        RunError: the run holds judgements of other cases, or another program is writing to it; the
            store lacks an SAE, or is not finished.
        SaematchError: the language model cannot be asked, its budget is spent, or the forecast was
            not confirmed.
    """
    run, tell = opened_run(run), progress or silent
    warn_unfinished(run)
    stored = None if activations is None else StoredTokens(activations)
    if draw not in DRAWS:
        raise MatchError(f"draw is {draw!r}; it is one of {', '.join(DRAWS)}")
    if distances and draw != "paths":
        raise MatchError("distances are counted along paths: leave out the other draw (--draw)")
    if paths < 1 or contexts < 2:
        raise MatchError(f"{paths} paths, {contexts} contexts: it takes 1 and 2 at least")
    given = given_labels(run)
    labels = given if len(given) else None
    named = _named(run, stored)
    shown = Shown(run, None if stored is None else stored.store, named, labels)
    chosen = _chosen(judges, stored is not None, labels is not None, endpoint)
    _check_text(run, chosen, stored, labels is not None)
    asked = {
        "options": {
            "paths": paths,
            "draw": draw,
            "distances": [*distances],
            "contexts": contexts,
            "seed": seed,
        },
        "texts": {} if stored is None else stored.options,
        "tokens": 0 if stored is None else stored.tokens,
        "labels": 0 if labels is None else len(labels),
        "notes": _notes(run, stored, labels is not None, chosen),
    }
    run, share = part_for(run, shard, "judge", "judging", overwrite)
    with run.writing():
        experiment = Experiment(run, asked, overwrite)
        layers = Layers.of(run)
        if experiment.cases is None:
            tell(Step("drawing cases", 0, None))
            cases = _drawn(layers, shown, paths, draw, distances, seed)
            frame = cases_frame(cases, layers)
        else:
            frame = experiment.cases
            cases = cases_of(frame)
        places = share.block(range(len(cases)))
        cases = [cases[place] for place in places]
        tell(Step("reading contexts", 0, None))
        shown.read(cases, contexts)
        setting = Setting(shown, endpoint, votes, contexts, seed, tell)
        asks = {name: _asks(name, setting, labels) for name in chosen}
        missing = [name for name in chosen if cases and not experiment.has(asks[name])]
        _confirmed([name for name in missing if name in ASK], cases, setting, confirm)
        for name in tracked(missing, tell, "judging", len(missing)):
            its = replace(setting, answers=[])
            try:
                verdicts = JUDGES[name](cases, its)
            except SaematchError as error:
                raise type(error)(f"{name}: {error}") from error
            if len(verdicts) != len(cases):
                raise MatchError(
                    f"judge {name!r} returned {len(verdicts)} verdicts on {len(cases)} cases"
                )
            figures = msgspec.structs.replace(
                asks[name],
                questions=len(its.answers),
                input_tokens=sum(answer.input_tokens for answer in its.answers),
                output_tokens=sum(answer.output_tokens for answer in its.answers),
            )
            experiment.add(frame, figures, verdicts, first=places[0] if places else 0)
    if shard is not None:
        run.finish()
    return run


def _drawn(
    layers: Layers, shown: Shown, paths: int, draw: Draw, distances: Sequence[int], seed: int
) -> list[Case]:
    """The cases, matches first, then their controls."""
    correlate = shown.correlations if shown.has_text else None
    draws = Draws(layers, shown.usable, shown.often, correlate, seed)
    cases = draws.paths(paths, distances) if draw == "paths" else draws.stratified(paths, draw)
    if not cases:
        raise MatchError(
            "no match has two features that can be judged: they must fire on the given text, or "
            "without text have labels"
        )
    return [*cases, *draws.controls(cases)]


def _chosen(
    judges: Sequence[str] | None, text: bool, labels: bool, endpoint: Asked | None
) -> list[str]:
    """The judges that were asked for, or all that can judge with what is there."""
    if judges is not None:
        for name in judges:
            JUDGES[name]  # raises where there is none of that name
        return [*dict.fromkeys(judges)]
    found = [*BY_DEFAULT] if text else []
    if text and not available():
        found = [name for name in found if name not in BY_EMBEDDINGS]
        log.warning(f"contexts are not compared without wordllama: {install('judge')}")
    if endpoint is not None:
        found += [name for name in ASK if text or (labels and name == "describe")]
    if not found:
        raise MatchError(
            "nothing to judge by: give activations on text (--activations), which saematch capture "
            "makes, or labels (saematch label) and a language model that compares them"
        )
    return found


def _check_text(
    run: Run, chosen: Sequence[str], stored: StoredTokens | None, labelled: bool
) -> None:
    """Raise MatchError where there is no text, and judges or the cases that are there need it."""
    if stored is not None:
        return
    need = [name for name in chosen if name in NEED_TEXT or (name == "describe" and not labelled)]
    there = run.section("judging")
    if need or (there is not None and there.texts):
        who = ", ".join(need) or f"the cases that {run.path} holds"
        raise MatchError(
            f"{who}: what features do on text is needed: give activations (--activations), which "
            "saematch capture makes"
        )


def _asks(name: str, setting: Setting, labels: pl.DataFrame | None) -> JudgeFigures:
    """What a judge is: the model that it asks, the votes it was told to take, what it compares."""
    asked = setting.endpoint if name in ASK else None
    compared = labels if name == "describe" else None
    return JudgeFigures(
        name=name,
        model=None if asked is None else asked.model,
        votes=setting.votes,
        labels=None if compared is None else _digest(compared),
    )


def _digest(labels: pl.DataFrame) -> str:
    rows = labels.select("site", "feature", "label").sort("site", "feature").write_csv()
    return f"sha256:{hashlib.sha256(rows.encode()).hexdigest()}"


def _named(run: Run, stored: StoredTokens | None) -> dict[str, str]:
    return {} if stored is None else {name: stored.name_of(run.sae(name)) for name in run.names}


def _notes(
    run: Run, stored: StoredTokens | None, labelled: bool, chosen: Sequence[str]
) -> list[str]:
    """What to keep in mind of these verdicts."""
    found: list[str] = []
    matched_on = run.record.options.get("activations") or {}
    if stored is not None and matched_on.get("texts") == plain(stored.options["texts"]):
        found.append(
            "the run was matched on these very texts: firing praises what it chose by itself; "
            "judge on other text"
        )
    if "describe" in chosen and not labelled:
        found.append("no labels were given: describe compares the tokens that features fire on")
    elif "describe" in chosen:
        found.append(
            "labels were given: a feature and itself have one label, so that describe's verdict on "
            "the self controls says nothing"
        )
    return found


def _confirmed(
    names: Sequence[str], cases: Sequence[Case], setting: Setting, confirm: Confirm | None
) -> None:
    """Raise SaematchError where asking would cost much, and nobody agrees to it."""
    if not names or setting.endpoint is None:
        return
    from saematch.judging.rehearsal import forecast

    known = forecast([JUDGES[name] for name in names], cases, setting, setting.endpoint)
    total = known.input_tokens + known.output_tokens
    log.info(
        f"{known.calls:,} questions to {setting.endpoint.model}, about {known.input_tokens:,} "
        f"tokens in and {known.output_tokens:,} out; {known.cached:,} are answered already"
    )
    if total > CONFIRM and not (confirm is not None and confirm(known)):
        raise SaematchError(
            f"{known.calls:,} questions of about {total:,} tokens would be asked by "
            f"{' and '.join(names)}: agree to it (--yes, or a --budget; confirm in Python), or "
            "choose fewer --judges or --paths"
        )

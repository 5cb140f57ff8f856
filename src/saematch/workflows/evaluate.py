"""`saematch.evaluate`: what matches are worth when hidden states are mapped along them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy import ndarray

from saematch.activations.massive import TIMES, checked_times, norm_limits, without_massive
from saematch.checkpoints import load
from saematch.errors import RunError, SaematchError, names_there
from saematch.evaluation.evaluate import EvaluationOptions, Names
from saematch.evaluation.run_evaluation import evaluate_run
from saematch.evaluation.run_pairs import evaluable
from saematch.evaluation.splice import counted_tokens
from saematch.models.language_model import LanguageModel
from saematch.models.texts import GENERATED, Long, examples_of, open_texts
from saematch.progress import Progress, Step, log, silent
from saematch.runs.run import Run
from saematch.transport.fitting import ENOUGH
from saematch.workflows.evaluate_tasks import GeneratedJacobians, Setting, evaluated_by
from saematch.workflows.models import GivenModel, NamedModel, generated, opened
from saematch.workflows.options import DtypeChoice
from saematch.workflows.runs import GivenRun, opened_run, warn_unfinished
from saematch.workflows.saes import Given, Saes
from saematch.workflows.sharding import part_for
from saematch.workflows.worker_clusters import opened_workers

if TYPE_CHECKING:
    from saematch.workflows.worker_clusters import GivenWorkers

Texts = dict[str, list[ndarray]]


def evaluate(
    run: GivenRun,
    model: GivenModel,
    text: str | Path | Sequence[str | Path] | Mapping[str, str | Path],
    *,
    fit: str | Path | None = None,
    examples: int = 50,
    fit_examples: int = 200,
    length: int = 1024,
    long: Long | None = None,
    massive: float | None = TIMES,
    quantiles: tuple[float, ...] = (0.0, 0.1, 0.25, 0.5, 0.75, 0.9),
    carry: tuple[str, ...] = ("auto", "none"),
    transport: tuple[int, ...] = (),
    jacobian: bool = False,
    pairs: Collection[str | Names] | None = None,
    reach: float | None = None,
    resamples: int = 1000,
    seed: int = 0,
    batch_tokens: int = 4096,
    saes: Given | Sequence[Given] = (),
    device: str | torch.device = "auto",
    dtype: DtypeChoice | None = None,
    overwrite: bool = False,
    shard: str | None = None,
    workers: GivenWorkers | None = None,
    progress: Progress | None = None,
) -> Run:
    """Map hidden states across layers along a run's matches, and measure what that costs the model.

    SAE Match's estimate of a later hidden state (encode, permute, rescale, decode) replaces the
    true one; so do, for comparison, the earlier hidden state itself, an SAE's own reconstruction,
    and a least-squares map. Results are delta-loss, explained variance and matching scores, with
    95 % intervals over examples, written to the run. Calling it again continues where it stopped;
    with more texts, more pairs, `jacobian` or a first `transport` it adds those.

    Args:
        run: a run or its directory.
        model: the model that its SAEs are of, as of `saematch.capture`.
        text: one or several text sets to report on, as of `saematch.capture`; a mapping gives them
            names.
        fit: the text set that least squares, the mean and transports are fitted on, without the
            examples that are reported on; the first of `text` unless given.
        examples: examples per text set, sampled at random.
        fit_examples: maximum number of examples used for fitting.
        length: maximum number of tokens of an example, BOS included; at least 3.
        long: as of `saematch.capture`.
        massive: tokens whose hidden state, at any hook point of the run, has more than this many
            times the median norm keep it and do not count, like BOS; 0 counts all.
        quantiles: fractions of the best-matched features to decode with B; the rest use A.
        carry: how mapped activations are rescaled: `auto` (as features were matched), `threshold`,
            `decoder-norm`, `activation` (means on the fit set), `none`. The first is used for all
            variants.
        transport: fit sparse feature maps too, with at most this many edges per feature, such as
            `(8, 32)`. Takes many minutes a pair on a CPU.
        jacobian: estimate later hidden states by the model's mean Jacobian too, over text that it
            generates: of the earlier hidden state, and of what the earlier SAE makes of it.
        pairs: only these, as two names of the run or `A--B`.
        reach: only pairs up to this many blocks apart, and chains of matches of that length too.
        resamples: of the bootstrap over examples.
        seed: of the sample of examples and the bootstrap.
        batch_tokens: number of tokens that the model reads at once; it changes results only of
            batchtopk SAEs without a threshold.
        saes: those SAEs of the run that were given in memory when it was made.
        device: where to compute; `auto`: where an SAE in memory lies, else a GPU if there is one.
        dtype: of the model's weights; as stored unless given.
        overwrite: discard an evaluation that was made with other options.
        shard: `K/N`: evaluate the K-th of N parts of the pairs alone, into the folder `shards` of
            the run, which is only read; `saematch.merge` puts all parts together. Returns the part.
        workers: evaluate pairs in other processes, on a Dask cluster, as of `saematch.flow`. The
            model and the SAEs are given by name, and the run lies on a disk that every one sees.
        progress: called with a `Step` of `saematch.progress` as work proceeds; `print`
            will do.

    Returns:
        The run.

    Raises:
        RunError: the run has no such pair, holds an evaluation that was made with other options, an
            SAE is no longer where it was, or another program is writing to the run.
        SaematchError: a model, text or option that cannot be used.
    """
    run, tell, given = opened_run(run), progress or silent, Saes(saes, device)
    warn_unfinished(run)
    named, massive = _named(text), checked_times(massive)
    options = EvaluationOptions(
        tuple(carry),
        tuple(quantiles),
        resamples,
        seed,
        tuple(transport),
        massive=massive,
        jacobian=jacobian,
    )
    chosen = [_pair(run, pair) for pair in pairs] if pairs else evaluable(run, reach)
    if not chosen:
        raise RunError(
            f"{run.path} has no pair to evaluate: two SAEs of one stream whose layers are known; "
            "if files do not state the layer, match them again with site (--site)"
        )
    asked = {"evaluated_pairs": chosen, "jacobian": jacobian}
    run, share = part_for(run, shard, "evaluate", "evaluation", overwrite, **asked)
    chosen = share.block(chosen)
    named_model = None if workers is None else NamedModel.of(model, device, dtype)
    if workers is not None and given.in_memory:
        raise SaematchError("SAEs in memory (saes) cannot be read by workers")
    language = opened(model, given.device, dtype)
    fitted_on = next(iter(named.values())) if fit is None else str(fit)
    sizes = examples, fit_examples, length, seed
    texts, fitted = texts_of(language, named, fitted_on, *sizes, long, tell)
    if massive:
        texts, fitted = _without_massive(run, language, texts, fitted, massive, batch_tokens)
    tokens = sum(map(counted_tokens, fitted[1]))
    if transport and tokens < ENOUGH:
        log.warning(
            f"transports are fitted on {tokens:,} tokens, which are few; give {ENOUGH:,} or more "
            "by fit_examples, length, or another fit (--fit-examples, --length, --fit)"
        )
    begun = _told(chosen, list(texts), tell)
    try:
        with opened_workers(workers) as crew:
            elsewhere = None
            if named_model is not None:
                setting = Setting(
                    run.path.resolve(), named_model, device, batch_tokens, texts, fitted
                )
                elsewhere = evaluated_by(crew, setting, begun)
            evaluate_run(
                run,
                language,
                texts,
                fitted,
                options,
                pairs=chosen,
                model_name=language.name,
                dtype=dtype,
                jacobian=GeneratedJacobians(language, tell),
                load=lambda name: load(name, device=given.device),
                given=given,
                batch_tokens=batch_tokens,
                overwrite=overwrite,
                begun=begun,
                elsewhere=elsewhere,
            )
    except KeyboardInterrupt:
        log.error(_stopped(run, chosen, list(texts)))
        raise
    every = len(chosen) * len(texts)
    tell(Step("evaluating", every, every))
    if shard is not None:
        run.finish()
    return run


def texts_of(
    language: LanguageModel,
    named: Mapping[str, str],
    fit: str,
    examples: int,
    fit_examples: int,
    length: int,
    seed: int,
    long: Long | None = None,
    progress: Progress = silent,
) -> tuple[Texts, tuple[str, list[ndarray]]]:
    """Token ids of each text set, and of the examples to fit on, which are none of those.

    Examples are compared by their tokens, so that the same text from another file counts as seen.

    Raises:
        SaematchError: a text set is given twice or too short, or none of its examples is left to
            fit on.
    """
    if len(set(named.values())) < len(named):
        raise SaematchError("a text set (--text) is given twice")
    if length < 3:
        raise SaematchError(
            f"length (--length) is {length}; an example takes 3 tokens at least: BOS, one whose "
            "hidden state is replaced, and one that is predicted from it"
        )

    def ids(spec: str, n: int) -> list[ndarray]:
        if spec == GENERATED:
            return generated(language, n, length, seed, progress)
        found = examples_of(
            open_texts(spec, n, seed),
            language.tokenizer,
            length,
            language.max_tokens,
            n=n,
            seed=seed,
            long=long,
            least=3,
        )
        if not found.ids:
            raise SaematchError(f"{spec} has no text of 3 tokens or more, BOS included")
        for note in found.notes:
            log.warning(note)
        return found.ids

    texts = {name: ids(spec, examples) for name, spec in named.items()}
    seen = {example.tobytes() for some in texts.values() for example in some}
    apart = []
    for example in ids(fit, examples + fit_examples):
        if example.tobytes() not in seen and len(apart) < fit_examples:
            seen.add(example.tobytes())
            apart.append(example)
    if not apart:
        raise SaematchError(
            f"{fit} has no examples left to fit on: all of them are reported on; take fewer "
            "examples (--examples), or another text set for fit (--fit)"
        )
    return texts, (fit, apart)


def _without_massive(
    run: Run,
    language: LanguageModel,
    texts: Texts,
    fitted: tuple[str, list[ndarray]],
    times: float,
    batch_tokens: int,
) -> tuple[Texts, tuple[str, list[ndarray]]]:
    """The same examples, with tokens masked; alike for every pair of the run.

    Pairs share what does not depend on them, so that it cannot be the hook points of each pair.
    """
    sites = [run.sae(name).site for name in run.names]
    known = [str(site) for site in sites if site is not None and not site.layer_alone]
    hooks = [hook for hook in dict.fromkeys(known) if _is_of(language, hook)]
    if not hooks:
        return texts, fitted
    limits = norm_limits(language, hooks, fitted[1], times, batch_tokens)
    kept: Texts = {}
    for name, examples in texts.items():
        kept[name] = [*without_massive(language, limits, examples, batch_tokens)]
        count = sum(int(np.ma.getmaskarray(ids).sum()) for ids in kept[name])
        if count:
            tokens = sum(len(ids) - 1 for ids in examples)
            log.warning(
                f"{name}: {count:,} of {tokens:,} tokens have massive activations, more than "
                f"{times:g} times the median norm, and do not count (--massive 0 counts them)"
            )
    return kept, (fitted[0], [*without_massive(language, limits, fitted[1], batch_tokens)])


def _is_of(language: LanguageModel, hook: str) -> bool:
    """Whether a model has a hook point; a run may have SAEs of two models."""
    try:
        language.site(hook)
    except SaematchError:
        return False
    return True


def _named(text: str | Path | Sequence[str | Path] | Mapping[str, str | Path]) -> dict[str, str]:
    if isinstance(text, Mapping):
        return {name: str(spec) for name, spec in text.items()}
    specs = [str(text)] if isinstance(text, (str, Path)) else [str(some) for some in text]
    if len(set(specs)) < len(specs):
        raise SaematchError("a text set (--text) is given twice")
    return {spec: spec for spec in specs}


def _told(
    pairs: Sequence[Names], texts: Sequence[str], progress: Progress
) -> Callable[[Names, str | None], None]:
    """Tells of pairs and text sets as they begin."""
    steps = [(*pair, name) for pair in pairs for name in texts]

    def begun(pair: Names, name: str | None) -> None:
        done = steps.index((*pair, texts[0] if name is None else name))
        what = f"{pair[0]} → {pair[1]}" + (": fitting" if name is None else f" on {name}")
        progress(Step("evaluating", done, len(steps), what))

    return begun


def _stopped(run: Run, pairs: Sequence[Names], texts: Sequence[str]) -> str:
    """What is kept of an evaluation that was interrupted."""
    kept = 0
    if run.section("evaluation") is not None:
        there = run.table("evaluation", "values").select("a", "b", "texts").unique().iter_rows()
        kept = len(set(there) & {(*pair, name) for pair in pairs for name in texts})
    return (
        f"Stopped: {kept} of {len(pairs) * len(texts)} pairs by text sets are kept in {run.path}; "
        "the same call again continues from there"
    )


def _pair(run: Run, pair: str | Names) -> Names:
    a, b = pair.partition("--")[::2] if isinstance(pair, str) else pair
    for one in (a, b):
        if one not in run.names:
            raise RunError(
                f"pair {a}--{b}: {run.path} has no SAE {one!r}; "
                f"{names_there(one, run.names)}, and a pair is two of them, A--B"
            )
    return a, b

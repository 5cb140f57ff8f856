"""The evaluation of a pair as a task, which reads the model, the run and its SAEs where it runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from numpy import ndarray

from saematch.checkpoints import load
from saematch.evaluation.evaluate import EvaluationOptions, Names, Texts
from saematch.evaluation.run_pairs import Elsewhere, Evaluated, Job, PairsOnTexts
from saematch.models.hook_points import site_of
from saematch.models.jacobian import Jacobian, mean_jacobians
from saematch.models.language_model import LanguageModel
from saematch.progress import Progress, silent
from saematch.runs.run import Run
from saematch.sae.sae import SAE
from saematch.workflows.models import NamedModel, generated
from saematch.workflows.saes import pick_device
from saematch.workflows.worker_cache import Kept
from saematch.workflows.workers import Workers

FOR_JACOBIANS = 4, 200, 0  # examples that the model generates, tokens of each, and a seed


@dataclass(frozen=True)
class Setting:
    """What the pairs of an evaluation have in common."""

    run: Path  # on a disk that every worker sees
    model: NamedModel
    device: str | torch.device
    batch_tokens: int
    # token ids, the same for all tasks of a call
    texts: Texts = field(compare=False)
    fitted: tuple[str, Sequence[ndarray]] = field(compare=False)
    options: EvaluationOptions = field(default_factory=EvaluationOptions)


@dataclass(frozen=True, eq=False)
class PairTask:
    """A pair to be evaluated."""

    job: Job

    def __str__(self) -> str:
        return " → ".join(self.job[0])


class GeneratedJacobians:
    """The mean Jacobian between the hook points of two SAEs, over text that the model generates."""

    def __init__(self, language: LanguageModel, progress: Progress) -> None:
        self._language, self._progress = language, progress
        self._examples: list[ndarray] = []

    def __call__(self, a: SAE, b: SAE) -> Jacobian:
        if not self._examples:
            self._examples = generated(self._language, *FOR_JACOBIANS, self._progress)
        source, target = site_of(a).hook, site_of(b).hook
        return mean_jacobians(self._language, source, [target], self._examples)[target]


def evaluated_pair(task: PairTask, setting: Setting) -> list[Evaluated]:
    """The values of a pair on each of its text sets."""
    return [*_OPENED(setting).evaluated(task.job)]


def evaluated_by(
    workers: Workers, setting: Setting, begun: Callable[[Names, str | None], None]
) -> Elsewhere:
    """What `saematch.evaluation.evaluate_run` takes to evaluate pairs elsewhere."""

    def elsewhere(jobs: Sequence[Job], options: EvaluationOptions) -> Iterator[Evaluated]:
        known = replace(setting, options=options)
        if jobs:
            begun(jobs[0][0], None)
        # the token ids of all texts among it
        for _, results in workers.in_order(evaluated_pair, [*map(PairTask, jobs)], known):
            for result in results:
                begun(result[0], result[1])
                yield result

    return elsewhere


def _opened(setting: Setting) -> PairsOnTexts:
    model = setting.model.opened()
    return PairsOnTexts(
        Run.open(setting.run),
        model,
        setting.texts,
        setting.fitted,
        setting.options,
        GeneratedJacobians(model, silent) if setting.options.jacobian else None,
        lambda name: load(name, device=pick_device(setting.device)),
        batch_tokens=setting.batch_tokens,
    )


_OPENED = Kept(_opened)

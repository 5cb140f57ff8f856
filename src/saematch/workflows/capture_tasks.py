"""Reading text with a model as tasks: examples that are read together, the SAEs where it runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch

from saematch.activations.capturing import Pass, Sparse, read_pass
from saematch.checkpoints import load
from saematch.models.language_model import LanguageModel
from saematch.sae.sae import SAE
from saematch.workflows.models import NamedModel
from saematch.workflows.pair_tasks import NamedSae
from saematch.workflows.saes import pick_device
from saematch.workflows.worker_cache import Kept
from saematch.workflows.workers import Workers


@dataclass(frozen=True)
class Reader:
    """A model with SAEs, as a task opens them."""

    model: NamedModel
    saes: tuple[tuple[str, NamedSae], ...]  # by the name that activations have in the store

    def opened(self) -> Opened:
        """All of it in memory, kept from one task to the next."""
        return _OPENED(self)


@dataclass(frozen=True, eq=False)
class Opened:
    """A model and SAEs in memory, and the hook of each."""

    model: LanguageModel
    saes: Mapping[str, SAE]
    sites: Mapping[str, str]

    @classmethod
    def of(cls, reader: Reader) -> Opened:
        model = reader.model.opened()
        saes = {
            name: load(sae.name, device=pick_device(sae.device), site=sae.site).to(
                model.device, torch.float32
            )
            for name, sae in reader.saes
        }
        return cls(model, saes, model.hooks_of(saes))


@dataclass(frozen=True, eq=False)
class PassTask:
    """Examples to read together."""

    reader: Reader
    limits: Mapping[str, float]
    number: int
    examples: Pass

    def __str__(self) -> str:
        return f"texts, part {self.number}"


def features_on(task: PassTask) -> Sparse:
    """What the features do there."""
    known = task.reader.opened()
    return read_pass(known.model, known.saes, known.sites, task.limits, task.examples)


def passes_by(
    workers: Workers, reader: Reader, limits: Mapping[str, float]
) -> Callable[[Sequence[Pass]], Iterator[Sparse]]:
    """What `saematch.activations.capturing.capture` takes to read elsewhere."""

    def passes(every: Sequence[Pass]) -> Iterator[Sparse]:
        tasks = [PassTask(reader, limits, k, examples) for k, examples in enumerate(every, 1)]
        for _, found in workers.in_order(features_on, tasks):
            yield found

    return passes


_OPENED = Kept(Opened.of)

"""Reading an SAE and matching a pair as tasks, which read what they need where they run."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import torch

from saematch.checkpoints import load
from saematch.errors import SaematchError
from saematch.numerics.held import Held
from saematch.progress import Progress, Step
from saematch.runs.matched import MatchedPair
from saematch.runs.sae_tables import SaeTables
from saematch.sae.sae import SAE, Site
from saematch.workflows.saes import Saes, pick_device
from saematch.workflows.tokens import PairEvidence, StoredTokens
from saematch.workflows.worker_cache import Kept, at_the_end
from saematch.workflows.workers import Workers

if TYPE_CHECKING:
    from saematch.workflows.matcher import Matcher

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True)
class NamedSae:
    """An SAE that a task reads itself."""

    name: str
    device: str | torch.device
    site: str | Site | None

    def __str__(self) -> str:
        return self.name

    def read(self) -> SAE:
        """The SAE; two are kept from one task to the next."""
        return _HELD[self]


@dataclass(frozen=True, eq=False)
class PairTask:
    """A pair to be matched."""

    names: tuple[str, str]  # in the run
    saes: tuple[NamedSae, NamedSae]
    matcher: Matcher  # without its evidence
    evidence: PairEvidence

    def __str__(self) -> str:
        return " → ".join(self.names)


def sae_tables(sae: NamedSae) -> SaeTables:
    """What a run keeps of an SAE."""
    return SaeTables.of(sae.read())


def matched_pair(task: PairTask) -> MatchedPair:
    """What a run keeps of a pair."""
    a, b = (sae.read() for sae in task.saes)
    known = task.evidence
    stored = None if known.store is None else _STORED((known.store, known.tokens))
    activations = None if stored is None else stored.both(a, b)
    return MatchedPair.of(task.matcher.match_given(a, b, activations, known.jacobian))


def read_by(workers: Workers, saes: Saes, progress: Progress) -> Iterator[SAE | SaeTables]:
    """Each SAE in turn, or, where it is read elsewhere, what a run keeps of it.

    Raises:
        SaematchError: workers are elsewhere, and an SAE was given in memory.
    """
    if workers.here:
        yield from saes.read(progress)
        return
    named, found = named_saes(saes), {}
    for sae, tables in told(workers.each(sae_tables, named), progress, "reading", len(named)):
        found[sae] = tables
    yield from (found[sae] for sae in named)


def named_saes(saes: Saes) -> list[NamedSae]:
    """The SAEs as tasks take them; raises SaematchError for one that was given in memory."""
    for given in saes.given:
        if isinstance(given, SAE):
            raise SaematchError(
                f"{given.name} was given in memory, where workers cannot read it: give its name"
            )
    return [NamedSae(str(given), saes.asked_device, saes.site) for given in saes.given]


def told(
    results: Iterator[tuple[T, R]], progress: Progress, stage: str, total: int, done: int = 0
) -> Iterator[tuple[T, R]]:
    """The same results, told as steps of a stage."""
    progress(Step(stage, done, total))
    for item, result in results:
        done += 1
        progress(Step(stage, done, total, str(item)))
        yield item, result


_HELD = Held[NamedSae, SAE](
    lambda sae: load(sae.name, device=pick_device(sae.device, None), site=sae.site)
)
at_the_end(_HELD.clear)
_STORED = Kept[tuple[Path, int | None], StoredTokens](lambda key: StoredTokens(*key))

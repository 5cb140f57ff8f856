"""What a command takes, told before it starts, and refused where it cannot fit."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from saematch.checkpoints.sizes import Sizes, sizes
from saematch.errors import SaematchError
from saematch.files.share import Share
from saematch.forecast.cost import cost_of_pair
from saematch.forecast.forecast import Forecast
from saematch.forecast.machine import Machine, this_machine
from saematch.matching.methods import feature_flow
from saematch.progress import log
from saematch.runs.manifest import RUN_FILE
from saematch.sae.sae import SAE
from saematch.workflows.matcher import Matcher
from saematch.workflows.saes import Saes

if TYPE_CHECKING:
    from saematch.workflows.worker_clusters import GivenWorkers

WORTH_TELLING = 120.0  # seconds
Places = Sequence[tuple[int, int]]


def announce(
    given: Saes,
    matcher: Matcher,
    pairs: Places,
    out: str | Path | None,
    *,
    overwrite: bool = False,
    workers: GivenWorkers | None = None,
    share: Share | None = None,
    flow: bool = False,
) -> None:
    """Tell how long pairs of SAEs will take, if that is more than two minutes.

    Nothing is said or refused where an SAE's sizes cannot be told before it is read.

    Args:
        given: the SAEs.
        matcher: how they are matched.
        pairs: by places in `given`, in their order.
        out: the run, which may have some of them already.
        overwrite: it is discarded.
        workers: as of `saematch.flow`; memory is looked at where they are on this machine.
        share: the part of the pairs that is matched.
        flow: features are followed through the pairs at the end.

    Raises:
        SaematchError: memory or disk is too small.
    """
    if share is not None:
        pairs = share.block(pairs)
    elif out is not None and not overwrite:
        pairs = pairs[_done(Path(out)) :]
    found = _sizes(given)
    if not pairs or found is None:
        return
    count = workers if isinstance(workers, int) else 1
    elsewhere = workers is not None and not isinstance(workers, int)
    rough = forecast(found, matcher, pairs, _machine(given, False), max(1, count), flow)
    # weights that are in memory already would be counted twice
    rough.check(out, memory=not elsewhere and not given.in_memory)
    if elsewhere or rough.seconds < WORTH_TELLING or matcher.method.needs_activations:
        return
    told = forecast(found, matcher, pairs, _machine(given, True), max(1, count), flow)
    if told.seconds >= WORTH_TELLING:
        log.info(str(told))


def forecast(
    saes: Sequence[Sizes],
    matcher: Matcher,
    pairs: Places,
    machine: Machine,
    workers: int = 1,
    flow: bool = False,
    modules: Places = (),
) -> Forecast:
    """The forecast of pairs of SAEs, by places; those of `modules` are matched by decoders."""
    rest = matcher.significance, matcher.candidates
    costs = [cost_of_pair(saes[a], saes[b], matcher.method, *rest) for a, b in pairs]
    costs += [cost_of_pair(saes[a], saes[b], feature_flow(), *rest) for a, b in modules]
    every = [*pairs, *modules]
    return Forecast.of(saes, every, costs, machine, workers=workers, flow=flow)


def chain(count: int, reach: int | None = 1) -> list[tuple[int, int]]:
    """The pairs of so many layers up to `reach` apart, all where it is None."""
    first = [0 if reach is None else max(0, j - reach) for j in range(count)]
    return [(i, j) for j in range(count) for i in range(first[j], j)]


def in_layers(saes: Sequence[Sizes]) -> list[Sizes]:
    """SAEs in the order of their layers, as far as those are known."""
    return sorted(saes, key=lambda sae: -1 if sae.layer is None else sae.layer)


def _done(run: Path) -> int:
    """How many pairs a run has; none where there is no run that can be read."""
    try:
        return len(RUN_FILE.open(run).pairs)
    except SaematchError:
        return 0


def _sizes(given: Saes) -> list[Sizes] | None:
    """Of each, by layers; None where one is not known, or cannot be read."""
    try:
        found = [Sizes.of(one) if isinstance(one, SAE) else sizes(one) for one in given.given]
    except SaematchError:
        return None  # those who read it say so better
    known = [one for one in found if one is not None]
    return in_layers(known) if len(known) == len(found) else None


def _machine(given: Saes, measured: bool) -> Machine:
    return this_machine(given.device, measured=measured)

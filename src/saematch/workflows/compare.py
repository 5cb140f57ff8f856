"""`saematch.compare`: which features several SAEs share, as a run."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import torch

from saematch.errors import MatchError
from saematch.files.share import Share
from saematch.layers.shared import Comparison
from saematch.matching.solving import check_one_space
from saematch.progress import Progress, silent
from saematch.runs.run import Run
from saematch.runs.sae_tables import SaeTables
from saematch.sae.sae import SAE, Conventions, Site
from saematch.workflows.ahead import announce, chain
from saematch.workflows.folders import written
from saematch.workflows.matcher import Matcher
from saematch.workflows.pair_tasks import read_by
from saematch.workflows.saes import Given, Saes
from saematch.workflows.sharding import begun, outlines
from saematch.workflows.worker_clusters import opened_workers

if TYPE_CHECKING:
    from saematch.workflows.worker_clusters import GivenWorkers


def compare(
    saes: Given | Sequence[Given],
    cutoff: float = 0.7,
    *,
    any_site: bool = False,
    site: str | Site | None = None,
    device: str | torch.device = "auto",
    out: str | Path | None = None,
    overwrite: bool = False,
    workers: GivenWorkers | None = None,
    shard: str | None = None,
    progress: Progress | None = None,
) -> Run:
    """Find the features that SAEs of one hook point share, across seeds, widths and checkpoints.

    Every two SAEs are matched as by Paulo and Belrose (2025). Calling it again with the same
    directory continues where it stopped.

    Args:
        saes: two or more, as of `saematch.flow`.
        cutoff: smallest decoder and encoder cosine of a shared feature.
        any_site: compare SAEs of different kinds of hook point too.
        site: where SAEs given by name read, as of `saematch.load`.
        device: where to compute; `auto`: where an SAE in memory lies, else a GPU if there is one.
        out: the run directory; None for a temporary one, which is removed when the run is no longer
            used, at the latest when the process ends.
        overwrite: discard another run in the directory.
        workers: match pairs in other processes, as of `saematch.flow`.
        shard: `K/N`: match the K-th of N parts of the pairs alone, as of `saematch.flow`.
        progress: called with a `Step` of `saematch.progress` as work proceeds; `print`
            will do.

    Returns:
        The run; `saematch.layers.shared.Comparison.of(run)` tells what is shared by whom.

    Raises:
        MatchError: fewer than two SAEs, one given twice, or SAEs that cannot be compared.
        SaematchError: `shard` is not K/N.
        RunError: the directory holds something else, or another program is writing to it.
    """
    matcher = Matcher.of("paulo-belrose", cutoff=cutoff, any_site=any_site)
    tell, given = progress or silent, Saes(saes, device, site)
    if len(given) < 2:
        raise MatchError("compare takes two SAEs or more")
    given.check_once(MatchError)
    share = None if shard is None else Share.parsed(shard)
    announce(
        given,
        matcher,
        chain(len(given), None),
        out,
        overwrite=overwrite,
        workers=workers,
        share=share,
    )
    with opened_workers(workers) as crew:
        if share is None:
            run = written(
                out,
                lambda path: Run.create(
                    path,
                    "compare",
                    matcher.options,
                    _comparable(read_by(crew, given, tell), any_site),
                    overwrite=overwrite,
                    distinct=True,
                ),
            )
            wanted = [*combinations(run.names, 2)]
        else:
            told = outlines(given)
            every = [*combinations(told, 2)]
            part = begun(
                share,
                out,
                "compare",
                matcher,
                given,
                told,
                every,
                order=[*told],
                whole={},
                workers=crew,
                overwrite=overwrite,
                progress=tell,
            )
            run, given, wanted = part.run, part.saes, part.of(every)
        matcher.match_into(run, given, wanted, tell, crew)
    if share is None:
        compared(run)
    run.finish()
    return run


def compared(run: Run) -> None:
    """What is made of all pairs of a comparison."""
    found = Comparison.of(run)
    run.add("compare", found.tables, found.summary())


def _comparable(saes: Iterable[SAE | SaeTables], any_site: bool) -> Iterator[SAE | SaeTables]:
    """The SAEs one by one, each checked against the first."""
    first: _First | None = None
    for sae in saes:
        first = first or _First(sae.name, sae.conventions, sae.d_in, sae.d_out)
        check_one_space(first, sae, any_site=any_site)
        yield sae


class _First(NamedTuple):
    """What the others are checked against, without its weights."""

    name: str
    conventions: Conventions
    d_in: int
    d_out: int

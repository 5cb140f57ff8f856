"""`saematch.flow`: features followed through many layers, as a run."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch

from saematch.errors import MatchError
from saematch.files.share import Share
from saematch.layers.analysis import analyse
from saematch.layers.layers import Layers
from saematch.layers.origins import Cutoffs
from saematch.layers.plan import checked, planned, planned_modules
from saematch.matching.methods import Method, feature_flow
from saematch.progress import Progress, silent
from saematch.runs.run import Run
from saematch.sae.sae import Site
from saematch.workflows.ahead import announce, chain
from saematch.workflows.folders import written
from saematch.workflows.matcher import Matcher
from saematch.workflows.options import MatchOptions
from saematch.workflows.pair_tasks import read_by
from saematch.workflows.saes import Given, Saes
from saematch.workflows.sharding import begun, outlines
from saematch.workflows.worker_clusters import opened_workers

if TYPE_CHECKING:
    from saematch.workflows.worker_clusters import GivenWorkers


def flow(
    saes: Given | Sequence[Given],
    method: str | Method | MatchOptions | None = None,
    *,
    pairs: Literal["adjacent", "all"] = "adjacent",
    reach: int | None = None,
    origin_cutoffs: tuple[float, float] | None = None,
    site: str | Site | None = None,
    device: str | torch.device = "auto",
    out: str | Path | None = None,
    overwrite: bool = False,
    workers: GivenWorkers | None = None,
    shard: str | None = None,
    progress: Progress | None = None,
    **options: Any,
) -> Run:
    """Follow features through many layers: tracks, births and deaths, splits, origins.

    SAEs of one stream are matched layer by layer. With SAEs of the residual stream, those of what
    MLP and attention write to it are matched with the next one by decoder cosine (feature-flow).
    Calling it again with the same directory continues where it stopped, pair by pair; a longer
    reach adds the missing pairs.

    Args:
        saes: SAEs in any order: names, patterns such as `saematch:resid_post_{0-5}`, a folder of
            SAEs, `SAE`s, or SAE objects of SAELens or sparsify. At most two of those given by name
            are in memory at a time.
        method: as of `saematch.match`.
        pairs: match neighbours only, or any two SAEs of the stream.
        reach: match any two SAEs of the stream up to this many apart, instead of `pairs`.
        origin_cutoffs: decide origins by fixed decoder cosines with the stream before and with MLP
            and attention, instead of p-values.
        site: where SAEs given by name read, as of `saematch.load`.
        device: where to compute; `auto`: where an SAE in memory lies, else a GPU if there is one.
        out: the run directory; None for a temporary one, which is removed when the run is no longer
            used, at the latest when the process ends.
        overwrite: discard another run in the directory.
        workers: match pairs in other processes, on a Dask cluster: how many to start on this
            machine, the address of a scheduler that runs, the file that it wrote
            (`--scheduler-file`), or a `distributed.Client`. SAEs are read there, so they are given
            by name, and results are the same.
        shard: `K/N`: match the K-th of N parts of the pairs alone, reading only their SAEs, into
            the folder `shards` of the directory; `saematch.merge` puts all parts together. Returns
            the part's own run.
        progress: called with a `Step` of `saematch.progress` as work proceeds; `print`
            will do.
        **options: other options of `saematch.match`: `null`, `fdr`, `partial`, `seed`,
            `test`, `candidates`, `activations` (a store), `tokens`, `model`, `text`, and the
            method's own.

    Raises:
        MatchError: the SAEs do not form a flow, or an option is not allowed.
        SaematchError: `shard` is not K/N.
        RunError: the directory holds something else, or another program is writing to it.
    """
    if pairs not in ("adjacent", "all"):
        raise MatchError(f"pairs is {pairs!r}; it must be adjacent or all")
    if pairs == "all" and reach is not None:
        raise MatchError(
            f"pairs='all' matches any two SAEs, reach={reach} those up to {reach} apart; give one"
        )
    matcher = Matcher.of(method, **options)
    cutoffs = None if origin_cutoffs is None else Cutoffs(*origin_cutoffs)
    tell, given = progress or silent, Saes(saes, device, site)
    share = None if shard is None else Share.parsed(shard)
    given.check_once(MatchError)
    reach = reach or (None if pairs == "all" else 1)
    announce(
        given,
        matcher,
        chain(len(given), reach),
        out,
        overwrite=overwrite,
        workers=workers,
        share=share,
        flow=share is None,
    )
    with opened_workers(workers) as crew:
        if share is None:
            run = written(
                out,
                lambda path: Run.create(
                    path,
                    "flow",
                    matcher.options,
                    checked(read_by(crew, given, tell)),
                    overwrite=overwrite,
                    distinct=True,
                ),
            )
            layers = Layers.of(run)
            wanted, modules = planned(layers, reach), planned_modules(layers)
        else:
            told = outlines(given)
            deque(checked(told.values()), maxlen=0)
            layers = Layers.planned({name: its.conventions.site for name, its in told.items()})
            wanted, modules = planned(layers, reach), planned_modules(layers)
            part = begun(
                share,
                out,
                "flow",
                matcher,
                given,
                told,
                [*wanted, *modules],
                order=layers.names,
                whole={"origin_cutoffs": origin_cutoffs},
                workers=crew,
                overwrite=overwrite,
                progress=tell,
            )
            run, given = part.run, part.saes
            wanted, modules = part.of(wanted), part.of(modules)
        matcher.match_into(run, given, wanted, tell, crew)
        if modules:
            # encoders that read at other hook points do not compare; what is written does
            decoders = replace(
                matcher,
                method=feature_flow(),
                significance=replace(matcher.significance, partial=False),
                evidence=None,
                any_site=True,
            )
            decoders.match_into(run, given, modules, tell, crew)
    if share is None:
        followed(run, cutoffs)
    run.finish()
    return run


def followed(run: Run, cutoffs: Cutoffs | None) -> None:
    """What is made of all pairs of a flow, unless it is there."""
    asked = None if cutoffs is None else [cutoffs.residual, cutoffs.module]
    there = run.section("flow")
    if there is None or there.origin_cutoffs != asked:
        analyse(run, cutoffs)

"""`saematch.label`: what the features of a run are said to mean."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from saematch.errors import RunError
from saematch.labels.bulk import bulk_labels
from saematch.labels.local_files import file_labels
from saematch.labels.neuronpedia import NeuronpediaId
from saematch.labels.saved import Found, keep_labels, kept_labels
from saematch.progress import Progress, Step, log, silent
from saematch.runs.run import Run
from saematch.workflows.runs import GivenRun, opened_run

NEURONPEDIA = "neuronpedia"
Source = str | Path


def label(
    run: GivenRun,
    sources: Source | Sequence[Source],
    *,
    sae: str | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Run:
    """Give the features of a run labels, from Neuronpedia or from files.

    They are kept in the run, and shown wherever its features are. Of several labels of a feature
    the one of the source that was asked for first is shown. Nothing that the run holds is asked for
    again; files of Neuronpedia are kept in the user's cache, so what was interrupted continues.

    Args:
        run: a run or its directory.
        sources: one or more of `neuronpedia`, for every SAE whose name on Neuronpedia is known;
            `neuronpedia:MODEL/SOURCE`, which states it for the SAE `sae`; and files NAME.jsonl,
            .jsonl.gz, .csv or .parquet with columns `feature` (or `index`), `label` (or
            `description`), and perhaps `site` (an SAE of the run) and `source`.
        sae: the only SAE of the run that gets labels.
        overwrite: discard all labels that are in the run.
        progress: called with a `Step` of `saematch.progress` as files come; `print` will
            do.

    Returns:
        The run; `Run.labels` has the label of each feature.

    Raises:
        RunError: there is no such run or SAE, no SAE's name on Neuronpedia is known, the run holds
            other labels of a source, or another program is writing to it.
        SaematchError: Neuronpedia cannot be reached or has no labels of an SAE, or a file is
            damaged or about features that there are not.
    """
    run = opened_run(run)
    sources = [sources] if isinstance(sources, (str, Path)) else sources
    if not sources:
        raise RunError("no source of labels: give neuronpedia, or a file")
    if sae is not None:
        run.sae(sae)
    done = set() if overwrite else {(one.site, one.asked) for one in kept_labels(run)}
    found = [
        one
        for source in sources
        for one in _found(run, os.fspath(source), sae, done, progress or silent)
    ]
    keep_labels(run, found, overwrite)
    return run


def _found(
    run: Run, source: str, sae: str | None, done: set[tuple[str, str]], progress: Progress
) -> list[Found]:
    kind, _, stated = source.partition(":")
    if kind == NEURONPEDIA:
        return _from_neuronpedia(run, source, stated, sae, done, progress)
    widths = {one.name: one.d_sae for one in run.record.saes}
    tables = file_labels(Path(source).expanduser(), widths, sae)
    return [Found(site, source, table) for site, table in tables.items()]


def _from_neuronpedia(
    run: Run,
    source: str,
    stated: str,
    sae: str | None,
    done: set[tuple[str, str]],
    progress: Progress,
) -> list[Found]:
    ids = {sae or "": stated} if stated else _ids(run, sae)
    if "" in ids:
        raise RunError(f"{source}: of which SAE? Name it with --sae (sae=): {', '.join(run.names)}")
    found = []
    for site, text in ids.items():
        of = NeuronpediaId.parse(text)
        if (site, source) in done:
            continue

        def tell(done: int, total: int, site: str = site) -> None:
            progress(Step("fetching labels", done, total, site if done < total else ""))

        table = bulk_labels(of, run.sae(site).d_sae, tell)
        found.append(Found(site, source, table, of))
    return found


def _ids(run: Run, sae: str | None) -> dict[str, str]:
    """What the SAEs of the run are called on Neuronpedia."""
    wanted = [one for one in run.record.saes if sae in (None, one.name)]
    known = {
        one.name: one.conventions.neuronpedia_id for one in wanted if one.conventions.neuronpedia_id
    }
    unknown = [one.name for one in wanted if one.name not in known]
    if not known:
        raise RunError(
            f"it is not known what {', '.join(unknown)} is called on Neuronpedia: state it with "
            "neuronpedia:MODEL/SOURCE and --sae NAME (sae=)"
        )
    if unknown:
        log.warning(
            f"not known what is called on Neuronpedia: {', '.join(unknown)}; state it with "
            "neuronpedia:MODEL/SOURCE and --sae NAME"
        )
    return known

"""`saematch.merge`: the shards of a command put together into what one call alone would make."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from saematch.activations.merged import merged
from saematch.activations.store import ActivationStore
from saematch.errors import RunError
from saematch.files.directory import refuse_links
from saematch.files.share import SHARDS
from saematch.layers.origins import Cutoffs
from saematch.progress import Progress, Step, silent, tracked
from saematch.runs.manifest import MANIFEST
from saematch.runs.run import Run
from saematch.runs.sae_tables import SaeTables
from saematch.workflows.capture import described
from saematch.workflows.compare import compared
from saematch.workflows.flow import followed
from saematch.workflows.gathering import Found, gathered, in_folder, is_shard
from saematch.workflows.merged_sections import merged_causes, merged_evaluation, merged_judging

MERGED = ".shards.merged"  # what is about to be removed


def merge(
    path: str | Path,
    folders: str | Path | Sequence[str | Path] = (),
    *,
    overwrite: bool = False,
    remove_shards: bool = False,
    progress: Progress | None = None,
) -> Run | ActivationStore:
    """Put shards together: the result is that of one call without `shard`.

    Tables are taken over one by one, each whole, so that a merge that was stopped goes on when it
    is called again. Then what is made of all pairs is computed.

    Args:
        path: the directory that the shards were asked for, which holds them in its folder `shards`
            as far as they are not in `folders`; it becomes the whole.
        folders: other places of shards: a directory that one was asked for on another disk, its
            folder `shards`, or the shard itself.
        overwrite: discard what was made otherwise in the directory.
        remove_shards: remove the shards in `shards` of the directory once the whole is there; else
            they stay. On one file system tables that both have take their room once.
        progress: called with a `Step` of `saematch.progress` as work proceeds; `print` will do.

    Returns:
        The whole: a run, or of `saematch.capture` a store.

    Raises:
        RunError: there are no shards; some are missing or unfinished, which are named; they were
            made otherwise than each other; the directory holds another run; or another program is
            writing to it.
    """
    path, tell = Path(path), progress or silent
    others = [folders] if isinstance(folders, (str, Path)) else [*folders]
    if _removed(path) and not others and not any(in_folder(path / SHARDS)):
        whole = Run if (path / MANIFEST).is_file() else ActivationStore
        return whole.open(path)  # it was stopped while it removed them
    shards = gathered(path, [Path(other) for other in others])
    made = None
    for command in sorted(shards, key=[*MERGES].index):
        made = MERGES[command](path, shards[command], overwrite, tell)
    assert made is not None
    if remove_shards and (path / SHARDS).is_dir():
        (path / SHARDS).rename(path / MERGED)
        _removed(path)
    return made


def _pairs(path: Path, shards: Sequence[Found], overwrite: bool, progress: Progress) -> Run:
    """A run of pairs, as far as its shards hold it."""
    whole, runs = shards[0].shard.whole, [Run.open(found.path) for found in shards]
    holding = {name: run for run in reversed(runs) for name in run.names}
    known = [
        SaeTables.again(run.sae(name), run.features(name), run.contexts(name))
        for name, run in ((name, holding[name]) for name in whole["saes"])
    ]
    command, options = runs[0].record.command, runs[0].record.options

    def started(overwrite: bool) -> Run:
        return Run.create(
            path, command, options, known, overwrite, distinct=True, names=whole["saes"]
        )

    try:
        run = started(overwrite=False)  # one that is made alike may have been added to
    except RunError:
        if not overwrite:
            raise
        run = started(overwrite=True)
    done = {pair.names: (pair, run) for run in runs for pair in run.record.pairs}
    wanted = [(a, b) for a, b in whole["pairs"]]
    missing = [pair for pair in wanted if not run.has_pair(*pair)]
    there = len(wanted) - len(missing)
    for pair in tracked(missing, progress, "merging", len(wanted), there, " → ".join):
        run.adopt_pair(*done[pair])
    return run


def _flow(path: Path, shards: Sequence[Found], overwrite: bool, progress: Progress) -> Run:
    run, asked = _pairs(path, shards, overwrite, progress), shards[0].shard.whole["origin_cutoffs"]
    followed(run, None if asked is None else Cutoffs(*asked))
    run.finish()
    return run


def _compare(path: Path, shards: Sequence[Found], overwrite: bool, progress: Progress) -> Run:
    run = _pairs(path, shards, overwrite, progress)
    if run.section("compare") is None:
        compared(run)
    run.finish()
    return run


def _capture(
    path: Path, shards: Sequence[Found], overwrite: bool, progress: Progress
) -> ActivationStore:
    progress(Step("merging activations", 0, None))
    parts = [ActivationStore.open(found.path) for found in shards]
    store = merged(path, parts, overwrite)
    described(store, progress)
    return store


# in the order in which one needs what the other makes
MERGES = {
    "flow": _flow,
    "compare": _compare,
    "capture": _capture,
    "evaluate": merged_evaluation,
    "judge": merged_judging,
    "intervene": merged_causes,
}


def _removed(path: Path) -> bool:
    """Remove the shards that were set aside; what else lay beside them is put back.

    They are set aside at once, so that a call which is stopped here leaves all or none of them.

    Returns:
        Whether any had been set aside.
    """
    folder = path / MERGED
    refuse_links(path, [f"{MERGED}/x"])
    if not folder.is_dir():
        return False
    try:
        for place in [*folder.iterdir()]:
            if is_shard(place):
                shutil.rmtree(place)
        if any(folder.iterdir()):
            folder.rename(path / SHARDS)
        else:
            folder.rmdir()
    except OSError as error:
        raise RunError(f"{error.filename or folder} cannot be removed: {error.strerror}") from error
    return True

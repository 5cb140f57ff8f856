# pyright: strict
"""A part of what a command adds to a run: a run of its own, with all that the whole run holds."""

from __future__ import annotations

from pathlib import Path

from msgspec import UNSET
from msgspec.structs import replace

from saematch.errors import RunError
from saematch.files.directory import adopt, refuse_links
from saematch.files.share import ShardRecord
from saematch.runs.folder import FOLDERS
from saematch.runs.manifest import RUN_FILE, emptied, listed
from saematch.runs.records import SectionName
from saematch.runs.run import Run


def part_of(
    run: Run, path: Path, shard: ShardRecord, section: SectionName, overwrite: bool = False
) -> Run:
    """The run in which a shard does its part, made or taken up where it stopped.

    It has the tables of the whole run but for the section that is made: on one file system both
    share the files, elsewhere they are copied. The whole run is only read.

    Args:
        run: the whole run.
        path: where the part lies.
        shard: which it is.
        section: what is made.
        overwrite: discard a part that was made otherwise.

    Raises:
        RunError: the run is itself a shard; or, without `overwrite`, a part of another work, or of
            a run that was changed since, is there; or another program is writing to it.
    """
    if run.record.shard:
        raise RunError(f"{run.path} is a shard itself: give the run that it is of")
    asked = replace(run.record, shard=shard, finished=None, **{section: UNSET})
    lock, there, same = RUN_FILE.begin(path, asked, overwrite)
    try:
        refuse_links(path, (f"{folder}/x" for folder in FOLDERS))
        if there is not None and same and there.pairs == asked.pairs:
            return Run(path, there)
        if there is not None and same and there.pairs and not overwrite:
            raise RunError(
                f"{path} was begun when {run.path} held other matches of the same pairs: "
                "--overwrite (overwrite=True) begins this shard again"
            )
        RUN_FILE.save(path, replace(emptied(asked), saes=[]))
        for place in listed(asked):
            adopt(run.path, path, place)
        RUN_FILE.save(path, asked)
        return Run(path, asked)
    finally:
        lock.release()

# pyright: strict
"""run.json as a file: how a run begins, what tells it from another, which tables are its own."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from msgspec import UNSET, UnsetType
from msgspec.structs import replace

import saematch
from saematch.files.differences import option_differences
from saematch.files.manifest_file import ManifestFile
from saematch.files.records import now, plain
from saematch.files.share import ShardRecord, shard_differences
from saematch.runs.records import (
    PAIR_FOLDERS,
    SECTIONS,
    RunRecord,
    SaeRecord,
    UnfinishedRelations,
    pair_place,
)
from saematch.runs.tables import SCHEMAS
from saematch.sae.records import sae_differences

MANIFEST = "run.json"
FORMAT = "saematch run"
VERSION = 2  # of the format; larger when a reader of an older one would misread it


def new_record(
    command: str,
    options: Mapping[str, Any],
    saes: list[SaeRecord],
    shard: ShardRecord | UnsetType = UNSET,
) -> RunRecord:
    """The record of a run in which nothing is done yet."""
    return RunRecord(
        format=FORMAT,
        format_version=VERSION,
        saematch=saematch.__version__,
        command=command,
        # as they will be read again: tuples become lists
        options=json.loads(json.dumps(plain(options))),
        created=now(),
        finished=None,
        saes=saes,
        pairs=[],
        shard=shard,
    )


def emptied(record: RunRecord) -> RunRecord:
    """The record of the same run with nothing done yet."""
    gone = dict.fromkeys((*SECTIONS, UnfinishedRelations.folder), UNSET)
    return replace(record, pairs=[], finished=None, **gone)


def differences(there: RunRecord, here: RunRecord) -> list[str]:
    """What makes two records those of different runs, in words; none where they are of one."""
    found: list[str] = []
    if there.saematch != here.saematch:
        found.append(f"made by saematch {there.saematch}, not {here.saematch}")
    if there.command != here.command:
        found.append(f"made by the command {there.command}, not {here.command}")
    found += option_differences(there.options, here.options)
    found += shard_differences(there.shard, here.shard)
    return found + sae_differences(there.saes, here.saes)


def listed(record: RunRecord) -> Iterator[str]:
    """The places of a run's tables, as its run.json has them."""
    for sae in record.saes:
        yield from (place for place in (sae.features, sae.contexts) if place)
    for pair in record.pairs:
        yield from (getattr(pair, kind) for kind in PAIR_FOLDERS)
    for section in record.sections:
        yield from section.tables.values()


def owned(record: RunRecord) -> Iterator[str]:
    """The places in a run's folders that are its own: what it lists, or would list of its SAEs.

    A writer that was killed leaves tables that are not listed yet.
    """
    names = [sae.name for sae in record.saes]
    yield from listed(record)
    yield from (f"{place}.parquet" for place in SCHEMAS if "/" in place)
    for name in names:
        yield from (
            f"{kind}/{name}.parquet" for kind in ("features", "contexts", "labels", "dashboards")
        )
    for a in names:
        for b in names:
            yield from (pair_place(kind, a, b) for kind in PAIR_FOLDERS)
            yield f"dashboards/{a}--{b}.parquet"


RUN_FILE = ManifestFile(
    file=MANIFEST,
    kind="run directory",
    of=RunRecord,
    format=FORMAT,
    version=VERSION,
    differences=differences,
    has_results=lambda record: bool(record.pairs),
)

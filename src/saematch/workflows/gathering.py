"""The shards that are to be put together: found, and checked to be all parts of one work."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from msgspec import UNSET
from msgspec.structs import replace

from saematch.activations.store_manifest import CACHE, STORE_FILE, StoreRecord
from saematch.activations.store_manifest import differences as store_differences
from saematch.errors import RunError
from saematch.files.directory import refuse_links
from saematch.files.share import FOLDER, SHARDS, ShardRecord
from saematch.runs.manifest import MANIFEST, RUN_FILE, differences
from saematch.runs.records import RunRecord
from saematch.sae.records import sae_differences

NAMED = 12  # missing shards that an error names


@dataclass(frozen=True)
class Found:
    """A shard: a run, or a store of activations, that is a part of another."""

    path: Path
    record: RunRecord | StoreRecord
    shard: ShardRecord


def gathered(path: Path, others: Sequence[Path]) -> dict[str, list[Found]]:
    """The shards in a directory and in other places, by command and in their order.

    Raises:
        RunError: there are none; of a command some are missing, unfinished, there twice, or made
            otherwise than the first.
    """
    refuse_links(path, [f"{SHARDS}/x"])
    places = [*in_folder(path / SHARDS), *(place for other in others for place in _given(other))]
    by_command: dict[str, list[Found]] = {}
    for place in {place.resolve(): place for place in places}.values():
        found = _opened(place)
        by_command.setdefault(found.shard.command, []).append(found)
    if not by_command:
        raise RunError(
            f"no shards in {path / SHARDS}: a command with --shard 1/4, 2/4 and so on and the same "
            "-o makes them"
        )
    for command, of in by_command.items():
        of.sort(key=lambda found: found.shard.number)
        _check(command, of)
    return by_command


def in_folder(folder: Path) -> Iterator[Path]:
    """The runs and stores in a folder of shards."""
    for place in sorted(folder.iterdir()) if folder.is_dir() else ():
        if (place / MANIFEST).is_file() or (place / CACHE).is_file():
            yield place


def is_shard(place: Path) -> bool:
    """Whether what lies in a folder of shards is one, or what is left of one."""
    return place.is_dir() and bool(FOLDER.fullmatch(place.name) or (place / MANIFEST).is_file())


def _given(other: Path) -> list[Path]:
    """The shards at a place that was named: in its `shards`, in itself, or itself."""
    found = [*in_folder(other / SHARDS)] or [*in_folder(other)] or [*in_folder(other.parent)]
    found = [place for place in found if place.parent != other.parent or place == other]
    if not found:
        raise RunError(f"{other} holds no shards, and is none")
    return found


def _opened(place: Path) -> Found:
    file = RUN_FILE if (place / MANIFEST).is_file() else STORE_FILE
    record = file.open(place)
    if not record.shard:
        raise RunError(f"{place} is no shard, but a whole {file.kind}")
    return Found(place, record, record.shard)


def _check(command: str, found: Sequence[Found]) -> None:
    first = found[0]
    for other in found[1:]:
        if different := _different(first, other):
            raise RunError(
                f"{other.path} was made otherwise than {first.path}, which is there:"
                f" {'; '.join(different)}"
            )
    by_number: dict[int, Found] = {}
    for one in found:
        if (other := by_number.setdefault(one.shard.number, one)) is not one:
            raise RunError(f"{one.path} and {other.path} are both shard {one.shard}: give one")
    of = first.shard.of
    missing = [number for number in range(1, of + 1) if number not in by_number]
    if missing:
        shown = ", ".join(map(str, missing[:NAMED])) + ", ..." * (len(missing) > NAMED)
        raise RunError(
            f"of the {of} shards of {command} {_count(missing)} missing: {shown}; "
            f"saematch {command} with --shard {missing[0]}/{of} makes it"
        )
    unfinished = [one for one in found if one.record.finished is None]
    if unfinished:
        shown = ", ".join(str(one.shard.number) for one in unfinished[:NAMED])
        raise RunError(
            f"of the {of} shards of {command} {_count(unfinished)} unfinished: {shown}; the same "
            "command again continues it"
        )


def _count(items: Sequence[object]) -> str:
    return "1 is" if len(items) == 1 else f"{len(items)} are"


def _different(one: Found, other: Found) -> list[str]:
    a, b = one.record, other.record
    if isinstance(a, RunRecord) and isinstance(b, RunRecord):
        # each has the SAEs of its own pairs; those that both have are the same
        names = {sae.name for sae in a.saes} & {sae.name for sae in b.saes}
        kept = ([sae for sae in record.saes if sae.name in names] for record in (a, b))
        found = differences(_bare(a), _bare(b)) + sae_differences(*kept)
    elif isinstance(a, StoreRecord) and isinstance(b, StoreRecord):
        found = store_differences(replace(a, shard=UNSET), replace(b, shard=UNSET))
    else:
        return ["one is a run, the other a store of activations"]
    if one.shard.of != other.shard.of:
        return [f"it is one of {other.shard.of} shards, the other one of {one.shard.of}"]
    return found or [
        f"{key} of the whole is not the same"
        for key in sorted({*one.shard.whole, *other.shard.whole})
        if one.shard.whole.get(key) != other.shard.whole.get(key)
    ]


def _bare(record: RunRecord) -> RunRecord:
    return replace(record, saes=[], pairs=[], shard=UNSET, labels=UNSET)

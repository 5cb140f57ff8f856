"""Weights in several files, joined by an index, as libraries write them above a size.

`model-00001-of-00002.safetensors`, ..., and `model.safetensors.index.json`, whose `weight_map` says
which file holds which tensor.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from saematch.errors import CheckpointError
from saematch.files.foreign import read_json

INDEX = ".index.json"
_SHARD = re.compile(r"(?P<stem>.+)-\d+-of-\d+(?P<suffix>\.[a-z]+)")


def index_of(inner: str, files: Sequence[str]) -> str:
    """The index beside a shard, of which there are `files`; any other file as it is.

    Raises:
        CheckpointError: the index of a shard is not there.
    """
    path = PurePosixPath(inner)
    shard = _SHARD.fullmatch(path.name)
    if shard is None:
        return inner
    index = shard["stem"] + shard["suffix"] + INDEX
    if index not in files:
        raise CheckpointError(
            f"{inner}: one shard of several, expected the index that joins them, {index}, beside it"
        )
    return path.with_name(index).as_posix()


def joined(weights: Sequence[str], files: Sequence[str]) -> list[str]:
    """Some weights files of a folder of `files`, with an index in the place of its shards."""
    found: dict[str, None] = {}
    for name in weights:
        shard = _SHARD.fullmatch(name)
        index = shard["stem"] + shard["suffix"] + INDEX if shard else ""
        found[index if index in files else name] = None
    return list(found)


def parts_of(path: Path, label: str) -> dict[str, str]:
    """The shard of each tensor, by name, as an index lists them.

    Raises:
        CheckpointError: it cannot be read, or lists no files in its own folder.
    """
    content = read_json(path, label, CheckpointError)
    parts = content.get("weight_map") if isinstance(content, dict) else None
    if not isinstance(parts, dict) or not parts:
        raise CheckpointError(f"{label}: no weight_map, expected the shard of each tensor")
    for name, part in parts.items():
        if not isinstance(part, str) or not _SHARD.fullmatch(part) or "/" in part:
            raise CheckpointError(
                f"{label}: tensor {name} is in {str(part)[:60]!r}, expected the name of a shard"
            )
    return parts

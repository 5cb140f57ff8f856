"""A directory whose JSON file lists what in it counts: what runs and stores of activations share.

A table is written beside its place and renamed, and only then listed. What is not listed does not
count, so work may be stopped anywhere and is taken up by the same call. What was made otherwise is
never discarded unasked. One program writes at a time (lock.py), and nothing is written or removed
through a link (directory.py).
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import msgspec
from msgspec import UNSET, UnsetType

from saematch.errors import RunError
from saematch.files.atomic import SUFFIX
from saematch.files.directory import writing
from saematch.files.foreign import one_line, read_json, reason
from saematch.files.lock import LOCK, WriterLock
from saematch.files.records import Record, plain, read_record
from saematch.files.share import SHARDS, ShardRecord


class Manifest(Record, frozen=True, kw_only=True):
    """What every such file starts with."""

    format: str
    format_version: int
    saematch: str
    shard: ShardRecord | UnsetType = UNSET  # of a directory that holds a part of another's work


M = TypeVar("M", bound=Manifest)
MOST_TOLD = 200  # characters of what a file says that an error repeats


class _DamagedError(RunError):
    """What only overwriting mends."""


@dataclass(frozen=True)
class ManifestFile(Generic[M]):
    """The JSON file of one kind of directory."""

    file: str
    kind: str  # of directory, in words
    of: type[M]  # what it holds
    format: str
    version: int  # of the format; larger when a reader of an older one would misread it
    differences: Callable[[M, M], list[str]]  # of what is there and what is asked for
    has_results: Callable[[M], bool]  # whether anything would be lost with it

    def open(self, path: Path) -> M:
        """The content of a directory that was made before.

        Raises:
            RunError: there is none, or it cannot be read.
        """
        try:
            there = (path / self.file).is_file()
        except OSError as error:  # such as a name that is too long
            raise RunError(f"{path} cannot be a {self.kind}: {error.strerror}") from error
        if not there:
            raise RunError(f"{path} is no {self.kind}: it has no {self.file}")
        return self._read(path)

    def begin(self, path: Path, asked: M, overwrite: bool) -> tuple[WriterLock, M | None, bool]:
        """The right to write in a directory, what is there already, and whether that is asked for.

        Makes the directory. What is there is None if there is nothing; where it is not what is
        asked for, it may be discarded.

        Raises:
            RunError: something else is there, or what cannot be read (both only without
                `overwrite`), or files of another kind; or another program is writing there.
        """
        try:
            self._there(path, overwrite)  # before a lock is put among files of another kind
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise RunError(f"{path} cannot be a {self.kind}: {error.strerror}") from error
        lock = WriterLock(path)
        try:
            there = self._there(path, overwrite)
            if there is None:
                return lock, None, False
            different = self.differences(there, asked)
            if different and self.has_results(there) and not overwrite:
                raise RunError(
                    f"{path} was made otherwise: {'; '.join(different)}; write elsewhere with -o, "
                    "or discard what is there with --overwrite"
                )
        except BaseException:
            lock.release()
            raise
        return lock, there, not different and not overwrite

    def changed(self, path: Path) -> tuple[int, int] | None:
        """What tells one state of the JSON file from another."""
        try:
            found = (path / self.file).stat()
        except OSError:
            return None
        return found.st_ino, found.st_mtime_ns

    def save(self, path: Path, content: M) -> None:
        """Write the JSON file, whole or not at all."""
        text = json.dumps(plain(content), indent=2, ensure_ascii=False, allow_nan=False)
        with writing(path, self.file) as partial:
            partial.write_text(text + "\n", encoding="utf-8")

    def _there(self, path: Path, overwrite: bool) -> M | None:
        if path.exists() and not path.is_dir():
            raise RunError(f"{path} is a file; give a directory with -o")
        if not path.is_dir():
            return None
        if (path / self.file).is_file():
            try:
                return self._read(path)
            except _DamagedError:
                if overwrite:
                    return None
                raise
        others = sorted(
            p.name
            for p in path.iterdir()
            if not p.name.endswith(SUFFIX) and LOCK not in p.name and p.name != SHARDS
        )
        if others:
            shown = ", ".join(others[:3]) + (", ..." if len(others) > 3 else "")
            raise RunError(
                f"{path} is no {self.kind} and not empty ({shown}): give a new directory with -o"
            )
        return None

    def _read(self, path: Path) -> M:
        file = path / self.file
        try:
            content = read_json(file, error=_DamagedError)
        except _DamagedError as error:
            told = f"{error}: it is damaged; write elsewhere, or --overwrite"
            raise _DamagedError(told) from error
        self._check_format(file, content)
        try:
            return read_record(content, self.of)
        except (msgspec.ValidationError, RecursionError) as error:
            told = f"{file} is damaged ({_short(error)}); write elsewhere, or --overwrite"
            raise _DamagedError(told) from error

    def _check_format(self, file: Path, content: Any) -> None:
        if not isinstance(content, dict) or content.get("format") != self.format:
            raise RunError(f"{file} is not of saematch, or of no {self.kind}: give another with -o")
        version = content.get("format_version")
        if version != self.version or isinstance(version, bool):
            raise RunError(
                f"{file} has format {version!r}, of another saematch; this one reads {self.version}"
            )


def _short(error: Exception) -> str:
    """What was expected, and at which JSON path."""
    if isinstance(error, RecursionError):
        return reason(error)
    told, at, path = one_line(str(error)).rpartition(" - at `$")
    return f"{told[:MOST_TOLD]}{at}{path[:MOST_TOLD]}"

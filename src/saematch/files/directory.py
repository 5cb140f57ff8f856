"""A directory whose JSON file lists what in it counts: what runs and stores of activations share.

A table is written beside its place and renamed, and only then listed. What is not listed does not
count, so that work may be stopped anywhere, and is taken up by the same call. What was made
otherwise is never discarded unasked. One program writes at a time (lock.py), and nothing is written
or removed through a link.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from saematch.errors import RunError
from saematch.files.atomic import SUFFIX, sweep, whole
from saematch.files.foreign import read_json, reason
from saematch.files.lock import LOCK, WriterLock

Content = dict[str, Any]
LONGEST = 200  # characters of a name that becomes a file's


class _DamagedError(RunError):
    """What only overwriting mends."""


@dataclass(frozen=True)
class Ledger:
    """The JSON file of one kind of directory, and what must stand in it."""

    file: str
    kind: str  # of directory, in words
    format: str
    version: int  # of the format; larger when a reader of an older one would misread it
    types: Mapping[str, type]  # of its entries
    lists: Mapping[str, Mapping[str, type]]  # of the entries of rows, where an entry is a list
    results: str  # the entry that is empty until something is done
    differences: Callable[[Content, Content], list[str]]  # of what is there and what is asked for
    fault: Callable[[Content], str | None]  # what else a reader would stumble over

    def open(self, path: Path) -> Content:
        """The content of a directory that was made before.

        Raises:
            RunError: there is none, or it cannot be read.
        """
        if not (path / self.file).is_file():
            raise RunError(f"{path} is no {self.kind}: it has no {self.file}")
        return self._read(path)

    def begin(
        self, path: Path, asked: Content, overwrite: bool
    ) -> tuple[WriterLock, Content | None, bool]:
        """The right to write in a directory, what is there already, and whether that is asked for.

        Makes the directory. What is there is none if there is nothing, and where it is not what is
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
            # one that never got anywhere has nothing to lose
            if different and there[self.results] and not overwrite:
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

    def save(self, path: Path, content: Content) -> None:
        """Write the JSON file, whole or not at all."""
        text = json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False)
        with writing(path, self.file) as partial:
            partial.write_text(text + "\n", encoding="utf-8")

    def _there(self, path: Path, overwrite: bool) -> Content | None:
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
            p.name for p in path.iterdir() if not p.name.endswith(SUFFIX) and LOCK not in p.name
        )
        if others:
            shown = ", ".join(others[:3]) + (", ..." if len(others) > 3 else "")
            raise RunError(
                f"{path} is no {self.kind} and not empty ({shown}): give a new directory with -o"
            )
        return None

    def _read(self, path: Path) -> Content:
        file = path / self.file
        try:
            content = read_json(file, error=_DamagedError)
        except _DamagedError as error:
            told = f"{error}: it is damaged; write elsewhere, or --overwrite"
            raise _DamagedError(told) from error
        if not isinstance(content, dict) or content.get("format") != self.format:
            raise RunError(f"{file} is not of saematch, or of no {self.kind}: give another with -o")
        if content.get("format_version") != self.version:
            raise RunError(
                f"{file} has format {content.get('format_version')!r}, of another saematch; this "
                f"one reads {self.version}"
            )
        try:
            fault = self._form(content) or self.fault(content)
        except (TypeError, KeyError, AttributeError, ValueError, RecursionError) as error:
            fault = reason(error)
        if fault is not None:
            raise _DamagedError(_damaged(file, fault))
        return content

    def _form(self, content: Content) -> str | None:
        for key, kind in self.types.items():
            if not isinstance(content.get(key), kind):
                return f"{key} is missing or no {kind.__name__}"
        if "finished" not in content:
            return "finished is missing"
        for group, keys in self.lists.items():
            for row in content[group]:
                if not isinstance(row, dict):
                    return f"an entry of {group} is no object"
                for key, kind in keys.items():
                    if not isinstance(row.get(key), kind):
                        return f"{key} of an entry of {group} is missing or no {kind.__name__}"
        return None


@contextmanager
def writing(root: Path, place: str) -> Iterator[Path]:
    """`atomic.whole` of a place inside a directory, with errors in one line.

    Raises:
        RunError: it cannot be written, or a folder on the way is a link.
    """
    path = root / place
    refuse_links(root, [place])
    try:
        with whole(path) as partial:
            yield partial
    except (OSError, pl.exceptions.PolarsError) as error:
        raise RunError(f"{path} cannot be written: {_why(error)}") from error


def refuse_links(root: Path, places: Iterable[str]) -> None:
    """Refuse to write or remove what lies behind a link.

    Raises:
        RunError: a folder between `root` and one of `places` is a link.
    """
    for folder in {parent for place in places for parent in Path(place).parents}:
        if folder != Path() and (root / folder).is_symlink():
            raise RunError(
                f"{root / folder} is a link: nothing is written or removed behind one; put a "
                "folder there, or link the whole directory"
            )


def remove(root: Path, places: Iterable[str]) -> None:
    """Remove files of the directory, as far as they are there.

    Raises:
        RunError: one of them lies behind a link, or cannot be removed.
    """
    places = [*places]
    refuse_links(root, places)
    for place in places:
        try:
            (root / place).unlink(missing_ok=True)
        except OSError as error:
            raise RunError(f"{root / place} cannot be removed: {reason(error)}") from error


def sweep_folder(root: Path, folder: str) -> None:
    """Remove what writers that were killed left in a folder of the directory; see `atomic.sweep`.

    Raises:
        RunError: the folder is a link.
    """
    refuse_links(root, [f"{folder}/x"])
    sweep(root / folder)


def outside(name: str) -> bool:
    """Whether a name from a JSON file could not be that of a folder or table within."""
    odd = any(letter in name for letter in ("/", "\\", "\0"))
    return not name or odd or name.startswith(".") or len(name) > LONGEST


def _why(error: BaseException) -> str:
    # polars wraps what the system says of a full disk into what it says of damaged files
    told = str(error)
    return "No space left on device" if "No space left on device" in told else reason(error)


def _damaged(file: Path, why: object) -> str:
    return f"{file} is damaged ({why}); write elsewhere, or --overwrite"

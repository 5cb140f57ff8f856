"""A directory whose JSON file lists what in it counts: what runs and stores of activations share.

A table is written beside its place and renamed, and only then listed. What is not listed does not
count, so that work may be stopped anywhere, and is taken up by the same call. What was made
otherwise is never discarded unasked.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from saematch.atomic import SUFFIX, whole
from saematch.errors import RunError

Content = dict[str, Any]


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

    def begin(self, path: Path, asked: Content, overwrite: bool) -> tuple[Content | None, bool]:
        """What is in a directory already, none if nothing, and whether it is what is asked for.

        Makes the directory. Where the content is not what is asked for, it may be discarded.

        Raises:
            RunError: something else is there, or what cannot be read (both only without
                `overwrite`), or files of another kind.
        """
        try:
            there = self._there(path, overwrite)
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise RunError(f"{path} cannot be a {self.kind}: {error.strerror}") from error
        if there is None:
            return None, False
        different = self.differences(there, asked)
        # one that never got anywhere has nothing to lose
        if different and there[self.results] and not overwrite:
            raise RunError(
                f"{path} was made otherwise: {'; '.join(different)}; write elsewhere with -o, or "
                "discard what is there with --overwrite"
            )
        return there, not different and not overwrite

    def save(self, path: Path, content: Content) -> None:
        """Write the JSON file, whole or not at all."""
        text = json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False)
        with writing(path / self.file) as partial:
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
        others = sorted(p.name for p in path.iterdir() if not p.name.endswith(SUFFIX))
        if others:
            shown = ", ".join(others[:3]) + (", ..." if len(others) > 3 else "")
            raise RunError(
                f"{path} is no {self.kind} and not empty ({shown}): give a new directory with -o"
            )
        return None

    def _read(self, path: Path) -> Content:
        file = path / self.file
        try:
            content = json.loads(file.read_text(encoding="utf-8"))
        except (ValueError, OSError) as error:
            raise _DamagedError(_damaged(file, error)) from error
        if not isinstance(content, dict) or content.get("format") != self.format:
            raise RunError(f"{file} is not of saematch, or of no {self.kind}: give another with -o")
        if content.get("format_version") != self.version:
            raise RunError(
                f"{file} has format {content.get('format_version')!r}, of another saematch; this "
                f"one reads {self.version}"
            )
        fault = self._form(content) or self.fault(content)
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
def writing(path: Path) -> Iterator[Path]:
    """`atomic.whole`, with errors in one line."""
    try:
        with whole(path) as partial:
            yield partial
    except (OSError, pl.exceptions.PolarsError) as error:
        raise RunError(f"{path} cannot be written: {error}") from error


def read_table(path: Path, columns: Sequence[str] | None = None) -> pl.DataFrame:
    """A table of the directory.

    Raises:
        RunError: it cannot be read.
    """
    try:
        return pl.read_parquet(path, columns=None if columns is None else [*columns])
    except (OSError, pl.exceptions.PolarsError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise RunError(f"{path} cannot be read: {reason}") from error


def outside(name: str) -> bool:
    """Whether a name from a JSON file could not be that of a folder or table within."""
    return not name or "/" in name or "\\" in name or name.startswith(".")


def _damaged(file: Path, why: object) -> str:
    return f"{file} is damaged ({why}); write elsewhere, or --overwrite"

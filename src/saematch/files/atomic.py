"""Files that appear whole or not at all, whatever stops the program in between."""

from __future__ import annotations

import os
import re
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SUFFIX = ".partial"
STALE = 3600.0  # seconds after which a partial file has no writer any more
_PARTIAL = re.compile(r"\..+\.[0-9a-f]{8}" + re.escape(SUFFIX))


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """A path to write to, in the same folder, that takes the place of `path` at the end.

    If the block raises, `path` stays as it was. If the process is killed, a hidden partial file may
    be left beside it (see `sweep`), and `path` stays as it was.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}{SUFFIX}")
    try:
        yield partial
        _flush(partial)
        os.replace(partial, path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    if os.name == "posix":  # elsewhere a folder cannot be opened to be flushed
        _flush(path.parent)


def sweep(folder: Path) -> None:
    """Remove what writers that were killed left in `folder`; younger files may have a writer."""
    for partial in folder.glob(f".*{SUFFIX}"):
        try:
            if _PARTIAL.fullmatch(partial.name) and is_stale(partial):
                partial.unlink()
        except OSError:  # gone already, or no file
            continue


def is_stale(partial: Path) -> bool:
    """Whether a file or folder that was not finished has no writer any more."""
    return time.time() - partial.lstat().st_mtime > STALE


def _flush(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)

"""Files that appear whole or not at all, even if the program is killed."""

from __future__ import annotations

import os
import re
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SUFFIX = ".partial"
STALE = 3600.0  # seconds after which a partial file is taken to have no writer
_PARTIAL = re.compile(r"\..+\.[0-9a-f]{8}" + re.escape(SUFFIX))


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """A path in the same folder to write to; it replaces `path` at the end of the block.

    If the block raises or the process is killed, `path` stays as it was. A killed process may leave
    a hidden partial file beside it (see `sweep`).
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
    """Remove what killed writers left in `folder`; recent files stay, as they may have a writer."""
    for partial in folder.glob(f".*{SUFFIX}"):
        try:
            if _PARTIAL.fullmatch(partial.name) and is_stale(partial):
                partial.unlink()
        except OSError:  # already gone, or not a file
            continue


def is_stale(partial: Path) -> bool:
    """Whether an unfinished file or folder no longer has a writer."""
    return time.time() - partial.lstat().st_mtime > STALE


def _flush(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)

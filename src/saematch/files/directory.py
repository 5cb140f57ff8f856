"""Files of a directory that is ours: written whole, and never through a link."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from shutil import disk_usage

import polars as pl
from safetensors import SafetensorError

from saematch.errors import RunError
from saematch.files.atomic import sweep, whole
from saematch.files.foreign import reason, regular
from saematch.files.lock import check_not_lost

FULL = "No space left on device"
LITTLE = 1 << 16  # bytes: with fewer left, a disk is full


@contextmanager
def writing(root: Path, place: str) -> Iterator[Path]:
    """`atomic.whole` of a place inside a directory, with errors in one line.

    Raises:
        RunError: it cannot be written, a folder on the way is a link, or another program took over
            the writing.
    """
    path = root / place
    refuse_links(root, [place])
    check_not_lost(root)
    try:
        with whole(path) as partial:
            yield partial
    except (OSError, SafetensorError, pl.exceptions.PolarsError) as error:
        raise RunError(f"{path} cannot be written: {why_unwritten(error, root)}") from error


def adopt(source: Path, root: Path, place: str) -> None:
    """Take a file over from the same place in another directory, whole or not at all.

    On one file system both share it, which costs no room: files of ours are replaced, never
    altered.

    Raises:
        RunError: it is not there, lies behind a link, or cannot be written.
    """
    file = source / place
    refuse_links(source, [place])
    regular(file, str(file), RunError)
    with writing(root, place) as partial:
        try:
            os.link(file, partial, follow_symlinks=False)
        except OSError:  # another file system, or one without such links
            shutil.copyfile(file, partial)


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
        RunError: one of them lies behind a link, or cannot be removed; or another program took over
            the writing.
    """
    places = [*places]
    refuse_links(root, places)
    check_not_lost(root)
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


def why_unwritten(error: BaseException, root: Path) -> str:
    """Why a file below `root` was not written, in words."""
    told = str(error)
    # polars wraps what the system says of a full disk into what it says of damaged files, or
    # leaves it out
    full = isinstance(error, pl.exceptions.PolarsError) and disk_usage(root).free < LITTLE
    return FULL if full or FULL in told else reason(error)

"""A run and its page as static files for any web host."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shutil
import tempfile
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import saematch
from saematch.errors import RunError, SaematchError
from saematch.explorer.against import opened_against, prepare_against
from saematch.explorer.head import titled
from saematch.explorer.judgements import keep_judgements
from saematch.explorer.places import INDEX, MADE, PAGE, RUN, Places
from saematch.explorer.sentence import Sentence, recorded
from saematch.explorer.tables import Progress, cache, digest_of, prepare
from saematch.files.atomic import SUFFIX, is_stale
from saematch.files.foreign import read_json
from saematch.files.lock import WriterLock
from saematch.runs.manifest import MANIFEST, listed
from saematch.runs.run import Run

LIST = "saematch-export.json"  # the files of an export, so that a later one can replace them
FORMAT = "saematch export"
# tells GitHub Pages to serve files unchanged
_AS_THEY_ARE = ".nojekyll"
_README = "README.md"


@dataclass(frozen=True)
class Exported:
    """The files that were written."""

    folder: Path
    sizes: Mapping[str, int]  # bytes of each file, by its place in the folder

    @property
    def size(self) -> int:
        """Their total size in bytes."""
        return sum(self.sizes.values())


def export(
    run: Run | str | Path,
    folder: str | Path,
    overwrite: bool = False,
    progress: Progress | None = None,
    against: Run | str | Path | None = None,
    sentences: Sequence[Sentence] = (),
) -> Exported:
    """Write the page, a run's own files and the tables made for the page.

    The head of the page says what run it is, as `saematch.explorer.head` makes it of the run.
    Only what run.json lists is copied from the run, and no symbolic links. A new folder appears
    whole or not at all. In an earlier export the files are replaced, run.json last, and files that
    do not belong to it stay.

    Args:
        run: a run or its directory.
        folder: a new or empty folder, or with `overwrite` an earlier export.
        overwrite: replace an earlier export.
        progress: called with the current step, the number of steps done and their total while
            tables are made.
        against: another run of the same SAEs, or its directory, that is shown beside this one; of
            its own files none is copied.
        sentences: that a model has read, which the page then shows without it.

    Raises:
        RunError: there is no such run, one of its tables is missing or a link, or it changed in the
            meantime; `against` has no pair in common with it, or other SAEs under the same names.
        SaematchError: the folder holds something else or cannot be written, or there is no page.
    """
    run = run if isinstance(run, Run) else Run.open(run)
    folder = Path(folder)
    _earlier(folder, overwrite)
    places = Places(PAGE, run.path, run.path)
    places.check()
    digest = digest_of(run)
    other = opened_against(run, against)
    made = prepare(run, progress)
    keep_judgements(run, made.folder)
    beside = None if other is None else prepare_against(run, other, made, progress)
    partial = folder.with_name(f".{folder.name}.{uuid.uuid4().hex[:8]}{SUFFIX}")
    lock = _lock(folder)
    try:
        earlier = _earlier(folder, overwrite)
        _sweep(folder)
        partial.mkdir(parents=True)
        other = None if beside is None else beside.folder
        with recorded(sentences, other or made.folder) as added:
            sizes = _write(run, Places(PAGE, run.path, made.folder, other, added), partial)
        if digest_of(run) != digest:
            raise RunError(f"{run.path} was changed while it was exported: try again")
        if earlier is None:
            if folder.is_dir():
                folder.rmdir()
            partial.rename(folder)
        else:
            _replace(partial, folder, sizes, earlier)
    except OSError as error:
        raise SaematchError(f"{folder} cannot be written: {error.strerror or error}") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
        made.close()
        if beside is not None:
            beside.close()
        lock.release()
    return Exported(folder, sizes)


def _lock(folder: Path) -> WriterLock:
    """The lock of an export, kept in the user's cache: in the folder it would be published."""
    name = hashlib.sha256(os.fsencode(folder.resolve())).hexdigest()[:16]
    place = cache() / "exports" / name
    try:
        place.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError:
        place = Path(tempfile.mkdtemp(prefix="saematch-export-"))
    return WriterLock(place, SaematchError, of=folder)


def _sweep(folder: Path) -> None:
    """Remove what killed exports to `folder` left beside it."""
    wanted = re.compile(r"\." + re.escape(folder.name) + r"\.[0-9a-f]{8}" + re.escape(SUFFIX))
    for partial in folder.parent.glob(f".*{SUFFIX}"):
        if wanted.fullmatch(partial.name) and not partial.is_symlink() and is_stale(partial):
            shutil.rmtree(partial, ignore_errors=True)


def _write(run: Run, places: Places, folder: Path) -> dict[str, int]:
    sizes = {}
    for place, file in _files(run, places):
        target = folder / place
        target.parent.mkdir(parents=True, exist_ok=True)
        if place == INDEX:
            page = file.read_text(encoding="utf-8")
            target.write_text(titled(page, run), encoding="utf-8", newline="")
        else:
            shutil.copyfile(file, target)
        sizes[place] = target.stat().st_size
    for place, text in ((_README, _readme(run)), (_AS_THEY_ARE, "")):
        (folder / place).write_text(text, encoding="utf-8")
        sizes[place] = (folder / place).stat().st_size
    entry = {"format": FORMAT, "saematch": saematch.__version__, "files": sizes}
    text = json.dumps(entry, indent=1, ensure_ascii=False)
    (folder / LIST).write_text(text + "\n", encoding="utf-8")
    return {**sizes, LIST: (folder / LIST).stat().st_size}


def _files(run: Run, places: Places) -> Iterator[tuple[str, Path]]:
    """Every file of an export, by its place there."""
    told = {f"{RUN}/{place}" for place in (MANIFEST, *listed(run.record))}
    ours = f"{RUN}/{MADE}/"
    for place, file in places.files():
        if place in told or place.startswith(ours) or not place.startswith(f"{RUN}/"):
            told.discard(place)
            yield place, file
    for place in sorted(told):
        raise RunError(f"{run.path} lists {place.removeprefix('run/')}, which is missing or a link")


def _earlier(folder: Path, overwrite: bool) -> dict[str, Any] | None:
    """The files of the earlier export in `folder`; none if it is new or empty."""
    if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
        raise SaematchError(f"{folder} is no folder: give a new one")
    if not folder.is_dir() or not any(folder.iterdir()):
        return None
    files = None
    with contextlib.suppress(SaematchError):
        entry = read_json(folder / LIST)
        if isinstance(entry, dict) and entry.get("format") == FORMAT:
            files = entry.get("files")
    if not isinstance(files, dict):
        raise SaematchError(f"{folder} is not empty and no earlier export: give a new folder")
    if not overwrite:
        raise SaematchError(
            f"{folder} holds an earlier export: give another folder, or --overwrite"
        )
    return files


def _replace(partial: Path, folder: Path, sizes: Mapping[str, int], earlier: Mapping) -> None:
    last = f"{RUN}/{MANIFEST}"
    for place in sorted(sizes, key=lambda place: place == last):
        target = folder / place
        if not _within(folder, target):
            raise SaematchError(f"{target} leads out of {folder}: give a new folder")
        target.parent.mkdir(parents=True, exist_ok=True)
        os.replace(partial / place, target)
    for place in earlier.keys() - sizes.keys():
        old = folder / place
        if _within(folder, old) and old.is_file():
            old.unlink()


def _within(folder: Path, path: Path) -> bool:
    return path.parent.resolve().is_relative_to(folder.resolve())


def _readme(run: Run) -> str:
    """A README, with the header that a static Space on Hugging Face needs."""
    name = run.path.resolve().name
    return f"""---
title: {json.dumps(name, ensure_ascii=True)}
emoji: 🔎
colorFrom: blue
colorTo: gray
sdk: static
app_file: index.html
pinned: false
---

How features flow through a model: a run of saematch {saematch.__version__}, with
{len(run.names)} sparse autoencoders and {len(run.pairs)} pairs of them, as a page.

Any web host serves this folder as it is: upload it whole. On this machine:
`saematch explore run` here, or `python -m http.server --bind 127.0.0.1` and http://127.0.0.1:8000
in a browser. A page opened as a file (`file://`) may not read the tables beside it, and says so.
"""

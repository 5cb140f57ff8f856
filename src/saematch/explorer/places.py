"""Which files the explorer serves, and under which addresses; the same in an export.

    index.html, favicon.*, assets/**     the built page
    run/run.json                         the run, as it is
    run/FOLDER/NAME.parquet              its tables, in the folders that a run has
    run/explorer/**                      tables made for the page: see saematch.explorer.tables;
                                         those of two runs: see saematch.explorer.against; and some
                                         that are added, which come before others of their name

Nothing else in these folders has an address.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote_to_bytes

from saematch.errors import SaematchError
from saematch.files.atomic import SUFFIX
from saematch.runs.folder import FOLDERS
from saematch.runs.manifest import MANIFEST

PAGE = Path(__file__).parent / "page"
INDEX = "index.html"
RUN = "run"
MADE = "explorer"  # under the run: tables made for the page
AGAINST = "against"  # under that: tables of two runs, by pair
PIECES = ("firing", "life")  # folders of those that come in several files
NO_PAGE = "this copy of saematch has no built page: run npm ci && npm run build in web/"
_ICON = re.compile(r"favicon\.(svg|png|ico)")
# a colon would start a drive or a stream on Windows
_SEPARATORS = re.compile(r"[\x00-\x1f\x7f/\\:]")


@dataclass(frozen=True)
class Places:
    """The folders that files come from: the page, the run, the tables made for the page.

    Of two runs there is one more, whose tables go before those of `made`.
    """

    page: Path
    run: Path
    made: Path
    against: Path | None = None
    added: Path | None = None

    def check(self) -> None:
        """Check that there is a page.

        Raises:
            SaematchError: it was never built.
        """
        if not (self.page / INDEX).is_file():
            raise SaematchError(NO_PAGE)

    def find(self, address: str) -> Path | None:
        """The file at an address as requested: percent-encoded, with or without a query.

        None for an address that is not listed above, or one that names a hidden or unfinished file,
        a folder, or a symbolic link that leads out of its folder.
        """
        parts = _parts(address)
        if parts is None:
            return None
        root, rest = self._root(parts)
        if root is None:
            return None
        added = None
        if self.added is not None and root in (self.made, self.against):
            added = _contained(self.added, rest)
        return added or _contained(root, rest)

    def files(self) -> Iterator[tuple[str, Path]]:
        """Every file that has an address, by its place, for an export; links are not followed."""
        for path in _walk(self.page):
            parts = path.relative_to(self.page).parts
            if self._root(parts)[0] is not None:
                yield "/".join(parts), path
        yield f"{RUN}/{MANIFEST}", self.run / MANIFEST
        for folder in FOLDERS:
            for path in _walk(self.run / folder):
                parts = (RUN, *path.relative_to(self.run).parts)
                if self._root(parts)[0] is not None:
                    yield "/".join(parts), path
        made: dict[str, Path] = {}
        for folder in filter(None, (self.made, self.against, self.added)):
            for path in _walk(folder):
                parts = (RUN, MADE, *path.relative_to(folder).parts)
                root = self._root(parts)[0]
                if root == folder or (root is not None and folder == self.added):
                    made["/".join(parts)] = path
        yield from made.items()

    def _root(self, parts: tuple[str, ...]) -> tuple[Path | None, tuple[str, ...]]:
        """The folder that a listed address lies in, and its place there."""
        if not all(map(_plain, parts)):
            return None, ()
        match parts:
            case ():
                return self.page, (INDEX,)
            case (name,) if name == INDEX or _ICON.fullmatch(name):
                return self.page, parts
            case ("assets", _, *_):
                return self.page, parts
            case ("run", name) if name == MANIFEST:
                return self.run, parts[1:]
            case ("run", "explorer", "index.json" as name):
                return self.against or self.made, (name,)
            case ("run", "explorer", name) if _table(name):
                own = name.startswith(AGAINST) and self.against
                return own or self.made, (name,)
            case ("run", "explorer", folder, name) if folder in PIECES and _table(name):
                return self.made, parts[2:]
            case ("run", "explorer", folder, name) if folder == AGAINST and _table(name):
                return self.against or self.made, parts[2:]
            case ("run", folder, name) if folder in FOLDERS and _table(name):
                return self.run, parts[1:]
        return None, ()


def _parts(address: str) -> tuple[str, ...] | None:
    """The parts of an address, each decoded once; None if it is not one of this server."""
    path = re.split(r"[?#]", address, maxsplit=1)[0]
    if not path.startswith("/"):
        return None
    if path == "/":
        return ()
    try:
        parts = tuple(unquote_to_bytes(part).decode() for part in path[1:].split("/"))
    except UnicodeError:
        return None
    return None if any(not _plain(part) for part in parts) else parts


def _plain(part: str) -> bool:
    """Whether it names one file or folder of this level that is neither hidden nor unfinished."""
    return (
        0 < len(part) < 256
        and not part.startswith(".")
        and not part.endswith(SUFFIX)
        and _SEPARATORS.search(part) is None
    )


def _table(name: str) -> bool:
    return name.endswith(".parquet")


def _contained(root: Path, parts: tuple[str, ...]) -> Path | None:
    try:
        path = root.joinpath(*parts).resolve(strict=True)
        inside = path.is_relative_to(root.resolve(strict=True)) and path.is_file()
    except (OSError, RuntimeError, ValueError):
        return None
    return path if inside else None


def _walk(folder: Path) -> Iterator[Path]:
    if folder.is_symlink() or not folder.is_dir():
        return
    for path in sorted(folder.iterdir()):
        if path.is_symlink():
            continue
        if path.is_dir():
            yield from _walk(path)
        elif path.is_file():
            yield path

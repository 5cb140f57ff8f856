"""Text of the page as it is sent: packed by gzip, once while the server runs.

The tables of a run are compressed in themselves and read in parts: they are sent as they are.
"""

from __future__ import annotations

import gzip
import threading
from pathlib import Path
from typing import BinaryIO

TEXTS = (".css", ".html", ".js", ".mjs", ".svg", ".txt")


class Compressed:
    """Keeps each file of the page packed, in the version it was asked for last."""

    def __init__(self, page: Path) -> None:
        """Pack nothing yet.

        Args:
            page: the folder of the built page; no other file is packed.
        """
        self._page = page.resolve()
        self._held: dict[Path, tuple[str, bytes]] = {}
        self._lock = threading.Lock()

    def takes(self, path: Path) -> bool:
        """Whether a file is text of the page; `path` is resolved."""
        return path.suffix in TEXTS and path.is_relative_to(self._page)

    def read(self, path: Path, file: BinaryIO, tag: str) -> bytes:
        """A file, packed.

        Args:
            path: where it is.
            file: the same, opened.
            tag: changes with its content.
        """
        with self._lock:  # of two who ask at once, one waits for the other's work
            known, packed = self._held.get(path, ("", b""))
            if known != tag:
                packed = gzip.compress(file.read(), mtime=0)
                self._held[path] = tag, packed
            return packed


def takes_gzip(accepted: str | None) -> bool:
    """Whether an Accept-Encoding prefers gzip to the file as it is (RFC 9110, 12.5.3)."""
    weights: dict[str, float] = {}
    for entry in (accepted or "").split(","):
        name, *parameters = (part.strip().lower() for part in entry.split(";"))
        weight = next((p[2:] for p in parameters if p.startswith("q=")), "1")
        try:
            weights[name] = float(weight)
        except ValueError:
            weights[name] = 0.0
    wished = weights.get("gzip", weights.get("*", 0.0))
    return wished > 0 and wished >= weights.get("identity", 0.0)

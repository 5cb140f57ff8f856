"""The files of one run and its page, given out read-only, with byte ranges."""

from __future__ import annotations

import os
from email.utils import formatdate, parsedate_to_datetime
from http import HTTPStatus
from pathlib import Path
from typing import BinaryIO

from saematch.explorer import live as living
from saematch.explorer.byte_ranges import RangeError, byte_range
from saematch.explorer.compressed import Compressed, takes_gzip
from saematch.explorer.live import Live
from saematch.explorer.local import LocalHandler, LocalServer
from saematch.explorer.places import Places

PIECE = 1 << 18  # bytes sent at once
KINDS = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".ico": "image/x-icon",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".map": "application/json",
    ".mjs": "text/javascript; charset=utf-8",
    ".parquet": "application/vnd.apache.parquet",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
    ".wasm": "application/wasm",
    ".woff2": "font/woff2",
}


class Server(LocalServer):
    """Serves `places` until `stop`."""

    called = "saematch explorer"

    def __init__(self, places: Places, port: int | None = None, live: Live | None = None) -> None:
        """Bind the port and start serving.

        Args:
            places: what to serve.
            port: of 127.0.0.1; by default 8237 or, if that is taken, any free one.
            live: what reads sentences, if anything does.

        Raises:
            SaematchError: the port is taken, not allowed, or not a port number.
        """
        self.places, self.live = places, live
        self.compressed = Compressed(places.page)
        super().__init__(Handler, port)


class Handler(LocalHandler):
    """Answers GET and HEAD; POST where a model reads sentences."""

    server: Server  # pyright: ignore[reportIncompatibleVariableOverride]

    def answer(self, body: bool) -> None:
        """Send a file, or part of it."""
        if self.headers.get("Content-Length", "0") != "0" or "Transfer-Encoding" in self.headers:
            self.close_connection = True  # a body is not read, and must not pass for a request
        if self.server.live is not None and self.path.startswith(living.FOLDER):
            living.answer(self, self.server.live, body)
            return
        if reason := self.foreign():
            self.refuse(HTTPStatus.FORBIDDEN, reason)
            return
        path = self.server.places.find(self.path)
        try:
            file = None if path is None else path.open("rb")
        except OSError:
            file = None
        if path is None or file is None:
            self.refuse(HTTPStatus.NOT_FOUND, "no such file")
            return
        with file:
            self._send(path, file, body)

    def take(self) -> None:
        """Answer what is asked of a model, where there is one."""
        if self.server.live is None:
            super().take()
        else:
            living.take(self, self.server.live)

    def log_message(self, format: str, *args) -> None:
        """As the parent class, without the token."""
        live = self.server.live
        text = format % args
        super().log_message("%s", text.replace(live.token, "TOKEN") if live else text)

    def _send(self, path: Path, file: BinaryIO, body: bool) -> None:
        status = os.fstat(file.fileno())
        size, tag = status.st_size, etag(status)
        modified = formatdate(status.st_mtime, usegmt=True)
        headers = {"ETag": tag, "Last-Modified": modified, "Accept-Ranges": "bytes"}
        packed = None
        if self.server.compressed.takes(path):
            headers["Vary"] = "Accept-Encoding"
            # parts are given of the file as it is
            if "Range" not in self.headers and takes_gzip(self.headers.get("Accept-Encoding")):
                packed = self.server.compressed.read(path, file, tag)
                size, tag = len(packed), f'{tag[:-1]}-gzip"'
                headers["ETag"] = tag
        if not _wanted(self.headers.get("If-Match"), tag):
            self.head(HTTPStatus.PRECONDITION_FAILED, {**headers, "Content-Length": "0"})
            return
        if self._has_it(tag, int(status.st_mtime)):
            self.head(HTTPStatus.NOT_MODIFIED, headers)
            return
        code, start, end = HTTPStatus.OK, 0, size
        asked = self.headers.get("Range") if body else None  # of GET alone
        if self.headers.get("If-Range", tag).strip() != tag:
            asked = None
        try:
            if (part := byte_range(asked, size)) is not None:
                code, (start, end) = HTTPStatus.PARTIAL_CONTENT, part
                headers["Content-Range"] = f"bytes {start}-{end - 1}/{size}"
        except RangeError:
            more = {"Content-Range": f"bytes */{size}", "Content-Length": "0"}
            self.head(HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, {**headers, **more})
            return
        headers["Content-Type"] = KINDS.get(path.suffix, "application/octet-stream")
        if packed is not None:
            headers["Content-Encoding"] = "gzip"
        self.head(code, {**headers, "Content-Length": str(end - start)})
        if body and packed is not None:
            self.wfile.write(packed)
        elif body:
            self._copy(file, start, end)

    def _has_it(self, tag: str, modified: int) -> bool:
        """Whether the browser's copy is current."""
        known = self.headers.get("If-None-Match")
        if known is not None:
            return known.strip() == "*" or tag in _tags(known)
        since = self.headers.get("If-Modified-Since")
        try:
            return since is not None and modified <= parsedate_to_datetime(since).timestamp()
        except (ValueError, OverflowError):
            return False

    def _copy(self, file: BinaryIO, start: int, end: int) -> None:
        file.seek(start)
        left = end - start
        while left and (piece := file.read(min(left, PIECE))):
            self.wfile.write(piece)
            left -= len(piece)
        if left:  # it was cut while it was read: the browser must see that its answer is not whole
            self.close_connection = True


def etag(status: os.stat_result) -> str:
    """Identifies a file's content: files of a run are replaced, never changed in place."""
    return f'"{status.st_ino:x}-{status.st_size:x}-{status.st_mtime_ns:x}"'


def _tags(header: str) -> list[str]:
    return [tag.strip().removeprefix("W/") for tag in header.split(",")]


def _wanted(condition: str | None, tag: str) -> bool:
    """If-Match, by strong comparison."""
    if condition is None or condition.strip() == "*":
        return True
    return tag in [each.strip() for each in condition.split(",")]

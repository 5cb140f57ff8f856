"""A stand-in for Neuronpedia on this machine: its bucket as S3 serves it, and its API."""

import gzip
import hashlib
import json
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

SPACE = "http://s3.amazonaws.com/doc/2006-03-01/"


def row(index: int, text: str | None, model: str = "gpt-4o-mini") -> dict[str, object]:
    """An explanation as the bucket has it."""
    return {
        "modelId": "toy",
        "layer": "3-res",
        "index": str(index),
        "description": text,
        "typeName": "oai_token-act-pair",
        "explanationModelName": model,
        "authorId": "x",
    }


def packed(rows: Sequence[object]) -> bytes:
    """A batch: JSON lines, compressed."""
    text = "".join(json.dumps(one, ensure_ascii=False) + "\n" for one in rows)
    return gzip.compress(text.encode(), mtime=0)


@dataclass
class Answer:
    """What the server says instead of a file."""

    status: int = 200
    content: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    cut: int | None = None  # end after so many bytes, though more are announced
    waits: bool = False  # never answer
    times: int = 1 << 30  # how often; the file itself after that


@dataclass
class Bucket:
    """What the server has, and what it was asked for, in order."""

    address: str
    files: dict[str, bytes] = field(default_factory=dict)  # by key
    api: dict[str, bytes] = field(default_factory=dict)  # by path
    odd: dict[str, Answer] = field(default_factory=dict)  # by key or path; "listing" too
    page: int = 2  # files on a page of the listing
    etags: dict[str, str] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    ended: threading.Event = field(default_factory=threading.Event)

    def fill(self, source: str, *batches: Sequence[object]) -> None:
        for number, rows in enumerate(batches):
            self.files[f"v1/{source}/explanations/batch-{number}.jsonl.gz"] = packed(rows)

    def batches_asked(self) -> list[str]:
        """The batches asked for since this was called last."""
        found = [one.rsplit("/", 1)[1] for one in self.asked if "batch-" in one]
        self.asked.clear()
        return sorted(found)

    def listing(self, prefix: str, token: str | None) -> bytes:
        keys = sorted(key for key in self.files if key.startswith(prefix))
        start = int(token or 0)
        shown, more = keys[start : start + self.page], start + self.page < len(keys)
        entries = "".join(
            f"<Contents><Key>{escape(key)}</Key><Size>{len(self.files[key])}</Size>"
            f"<ETag>&quot;{self.etags.get(key) or _md5(self.files[key])}&quot;</ETag></Contents>"
            for key in shown
        )
        after = f"<NextContinuationToken>{start + self.page}</NextContinuationToken>" * more
        return (
            f'<?xml version="1.0" encoding="UTF-8"?>\n<ListBucketResult xmlns="{SPACE}">'
            f"<IsTruncated>{str(more).lower()}</IsTruncated>{entries}{after}</ListBucketResult>"
        ).encode()


def _md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


class _Handler(BaseHTTPRequestHandler):
    bucket: Bucket

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        query = parse_qs(parts.query)
        path = unquote(parts.path).lstrip("/")
        name = "listing" if "list-type" in query else path
        bucket = self.bucket
        bucket.asked.append(name)
        odd = bucket.odd.get(name)
        if odd is not None and odd.times > 0:
            odd.times -= 1
            if odd.waits:
                bucket.ended.wait(60)
                return
            self._send(odd.status, odd.content, odd.headers, odd.cut)
        elif name == "listing":
            token = query.get("continuation-token", [None])[0]
            self._send(200, bucket.listing(query["prefix"][0], token))
        elif path in (there := {**bucket.files, **bucket.api}):
            self._send(200, there[path])
        else:
            self._send(404, b"no such key")

    def _send(self, status, content, headers: Mapping[str, str] | None = None, cut=None) -> None:
        self.send_response(status)
        for key, value in {"Content-Length": str(len(content)), **(headers or {})}.items():
            self.send_header(key, value)
        self.end_headers()
        self.wfile.write(content[:cut])

    def log_message(self, format, *args) -> None:
        """Says nothing."""


@contextmanager
def serving() -> Iterator[Bucket]:
    """A server until the end of the block."""
    handler = type("Handler", (_Handler,), {})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    bucket = Bucket(f"http://127.0.0.1:{server.server_port}")
    handler.bucket = bucket
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield bucket
    finally:
        bucket.ended.set()
        server.shutdown()
        server.server_close()
        thread.join()

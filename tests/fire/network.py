"""The explorer's server, met by other pages and programs of this machine."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from fire.attacks import attack
from fire.forked import Limits, forked

LIMITS = Limits(space=16 << 30, cpu=60, wall=120.0, idle=90.0)
SECRET = b"nobody may read this"
STEPS = (
    "..",
    "%2e%2e",
    "%2E.",
    "..%2f..",
    "..%5c..",
    "....//",
    ".%00./",
    "%c0%ae%c0%ae",
    "%252e%252e",
)
HOSTS = (
    "evil.example",
    "127.0.0.1.evil.example",
    "",
    "localhost@evil",
    "[::1]",
    "127.0.0.1:1",
    "0",
)


def ask(port: int, request: bytes, patience: float = 10.0) -> bytes:
    """All that the server sends back to these bytes."""
    with closing(socket.create_connection(("127.0.0.1", port), timeout=patience)) as link:
        link.sendall(request)
        received = b""
        try:
            while part := link.recv(1 << 16):
                received += part
        except OSError:
            pass
        return received


def get(port: int, address: str, host: str | None = None, more: str = "") -> bytes:
    host = f"127.0.0.1:{port}" if host is None else host
    head = f"GET {address} HTTP/1.1\r\nHost: {host}\r\n{more}Connection: close\r\n\r\n"
    return ask(port, head.encode("latin-1", "replace"))


def status(answer: bytes) -> int:
    head = answer.split(b" ", 2)
    return int(head[1]) if answer.startswith(b"HTTP/") and len(head) > 1 else 0


def _attack(name: str):
    """Decorator: a function of a port and the folder of the run, called beside its server.

    It returns what went wrong, a line each.
    """

    def keep(function: Callable[[int, Path], list[str]]):
        @attack(f"server: {name}")
        def _(folder: Path, victim: Path) -> str | None:
            (folder / "secret.parquet").write_bytes(SECRET)
            (folder / "run" / "pairs" / "link.parquet").symlink_to(folder / "secret.parquet")
            (folder / "run" / "linked").symlink_to(folder)
            ended = forked(lambda: _met(function, folder), folder, folder.parent / "out", LIMITS)
            if not isinstance(ended.value, list):
                return f"{ended.value} {ended.limit} {ended.output[-300:]}"
            return "; ".join(ended.value) or None

        return function

    return keep


def _met(function: Callable[[int, Path], list[str]], folder: Path) -> list[str]:
    from saematch.explorer.places import PAGE, Places
    from saematch.explorer.server import Server

    server = Server(Places(PAGE, folder / "run", folder / "run"))
    try:
        if status(get(server.port, "/run/run.json")) != 200:
            return ["the run itself is not given out"]
        found = function(server.port, folder)
        if status(get(server.port, "/run/run.json")) != 200:
            found.append("afterwards the run is not given out")
        return found
    finally:
        server.stop()


@_attack("traversal")
def _traversal(port: int, folder: Path) -> list[str]:
    depth = len(folder.parts)
    heads = ("/", "/run/", "/run/pairs/", "/assets/", "//", "/run//", "/run/linked/", "http://x/")
    tails = ("secret.parquet", "etc/passwd", "run/../secret.parquet", "secret.parquet%00.json")
    addresses = [
        f"{head}{'/'.join([step] * times)}/{tail}"
        for head in heads
        for step in STEPS
        for times in (1, 2, depth + 3)
        for tail in tails
    ]
    addresses += ["/run/pairs/link.parquet", "/run/linked/secret.parquet", str(folder / "secret")]
    addresses += [f"/{folder}/secret.parquet", "/run/.hidden", "/run/%2e/run.json%20", "/run/pairs"]
    found = []
    for address in addresses:
        answer = get(port, address)
        if SECRET in answer or b"root:" in answer:
            found.append(f"{address} was read")
        elif status(answer) == 200:
            found.append(f"{address} is answered with 200")
    return found


@_attack("hosts")
def _hosts(port: int, folder: Path) -> list[str]:
    found = [
        f"Host {host!r} is answered with 200"
        for host in (*HOSTS, *(f"{h}:{port}" for h in HOSTS))
        if status(get(port, "/run/run.json", host)) == 200
    ]
    own = f"127.0.0.1:{port}"
    for more in (
        "Origin: http://evil.example\r\n",
        "Origin: null\r\n",
        f"Origin: http://localhost.evil:{port}\r\n",
        "Sec-Fetch-Site: cross-site\r\n",
        f"Host: {own}\r\n",
    ):
        answer = get(port, "/run/run.json", own, more)
        if status(answer) == 200:
            found.append(f"{more.strip()} is answered with 200")
        if b"access-control-allow-origin" in answer.lower():
            found.append(f"{more.strip()}: another origin is allowed")
    return found


@_attack("requests")
def _requests(port: int, folder: Path) -> list[str]:
    """Two answers to what is one request, and bodies that must not pass for requests."""
    own = f"Host: 127.0.0.1:{port}\r\n"
    inner = f"GET /run/run.json HTTP/1.1\r\n{own}\r\n"
    found = []
    for lengths in (
        f"Content-Length: 0\r\nContent-Length: {len(inner)}\r\n",
        f"Content-Length : {len(inner)}\r\n",
        f"Content-Length: {len(inner)}\r\n",
        "Transfer-Encoding: chunked\r\n",
        f"Content-Length: +{len(inner)}\r\n",
    ):
        request = f"GET /index.html HTTP/1.1\r\n{own}{lengths}\r\n{inner}"
        answers = ask(port, request.encode(), 2.0).count(b"HTTP/1.")
        if answers > 1:
            found.append(f"{lengths.strip()!r}: {answers} answers")
    bare = ask(port, f"GET /run/run.json HTTP/0.9\r\n{own}\r\n".encode(), 2.0)
    if bare and not bare.startswith(b"HTTP/"):
        found.append("HTTP/0.9 is answered without headers")
    for line in ("G" * 100_000, "GET " + "/" * 100_000 + " HTTP/1.1", "\x00\xff", ""):
        if status(ask(port, f"{line}\r\n{own}\r\n".encode("latin-1"), 2.0)) == 200:
            found.append(f"{line[:20]!r} is answered with 200")
    return found


@_attack("connections")
def _connections(port: int, folder: Path) -> list[str]:
    """Many that say nothing, while one asks; afterwards nothing is left of them."""
    threads = len(os.listdir("/proc/self/task"))
    silent = [socket.create_connection(("127.0.0.1", port), timeout=5) for _ in range(150)]
    for link in silent[:75]:
        link.sendall(b"GET / HT")
    began = time.monotonic()
    answer = get(port, "/run/run.json")
    took = time.monotonic() - began
    found = [] if status(answer) == 200 and took < 5 else [f"a good request took {took:.1f} s"]
    for link in silent:
        link.close()
    left = 0
    for _ in range(50):
        time.sleep(0.1)
        left = len(os.listdir("/proc/self/task")) - threads
        if left <= 5:
            return found
    return [*found, f"{left} threads are left"]


@_attack("trickle")
def _trickle(port: int, folder: Path) -> list[str]:
    """A client that sends a byte every second: closed within 80 seconds, whatever it sends."""
    with closing(socket.create_connection(("127.0.0.1", port), timeout=5)) as link:
        link.setblocking(False)
        for _ in range(80):
            try:
                link.sendall(b"G")
                if link.recv(100) == b"":
                    return []
            except BlockingIOError:
                pass
            except OSError:
                return []
            time.sleep(1)
    return ["open after 80 seconds, a byte a second"]

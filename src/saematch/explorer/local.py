"""A small server for the browsers of this machine, of which files and votes are two kinds.

It listens on 127.0.0.1. Three rules keep a page of another site from reading what it gives out
through the browser: requests must name this server as their host (a foreign name that was made to
point here, DNS rebinding, does not), they must not come from another origin, and answers must not
be embedded elsewhere.
"""

from __future__ import annotations

import errno
import io
import logging
import os
import socket
import sys
import threading
import time
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import saematch
from saematch.errors import SaematchError

HOST = "127.0.0.1"
PORT = 8237  # tried first, so that bookmarks keep working
NAMES = (HOST, "localhost")
IDLE = 60.0  # seconds after which a silent connection is closed
HEAD = 20.0  # seconds from the first byte of a request to the last of its head
MOST = 512  # connections at once; programs are commonly limited to 1,024 open files
# what may show the page inside itself: notebooks on this machine
_FRAMES = "'self' http://127.0.0.1:* http://localhost:* vscode-webview: vscode-file:"
POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self' 'wasm-unsafe-eval'",
        "style-src 'self' 'unsafe-inline'",
        "img-src 'self' data: blob:",
        "font-src 'self'",
        "connect-src 'self'",
        "worker-src 'self' blob:",
        "frame-src https://www.neuronpedia.org",
        f"frame-ancestors {_FRAMES}",
        "base-uri 'none'",
        "form-action 'none'",
    )
)
ALWAYS = {
    "Cache-Control": "no-cache",
    "Content-Security-Policy": POLICY,
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
_GONE = (ConnectionError, TimeoutError)  # the browser went away, which is no error

log = logging.getLogger(__name__)


class LocalServer(ThreadingHTTPServer):
    """Answers by a handler until `stop`."""

    called = "saematch server"  # the thread that serves
    daemon_threads = True
    request_queue_size = 128
    # on Windows the option would let two servers have one port
    allow_reuse_address = os.name == "posix"

    def __init__(self, handler: type[LocalHandler], port: int | None = None) -> None:
        """Bind the port and start serving.

        Args:
            handler: of the requests.
            port: of 127.0.0.1; by default `PORT` or, if that is taken, any free one.

        Raises:
            SaematchError: the port is taken, not allowed, or not a port number.
        """
        self._connections: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._bind(handler, port)
        self._thread = threading.Thread(
            target=self.serve_forever, args=(0.1,), name=self.called, daemon=True
        )
        self._thread.start()

    @property
    def port(self) -> int:
        """The port the server listens on."""
        return self.server_address[1]

    def stop(self) -> None:
        """Free the port and end all connections; a second call does nothing."""
        self.shutdown()
        self.server_close()
        self._thread.join()
        with self._lock:
            connections = list(self._connections)
        for connection in connections:
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue

    def server_bind(self) -> None:
        """As the parent class, without asking a name server for this machine's name."""
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = HOST, self.server_address[1]

    def get_request(self) -> tuple[socket.socket, object]:
        """Accept a connection, and remember it so that `stop` can end it."""
        connection, address = super().get_request()
        with self._lock:
            self._connections.add(connection)
        return connection, address

    def shutdown_request(self, request) -> None:
        """End a connection."""
        with self._lock:
            self._connections.discard(request)
        super().shutdown_request(request)

    def verify_request(self, request, client_address) -> bool:
        """Whether another connection is allowed; if not, it is closed."""
        with self._lock:
            return len(self._connections) <= MOST

    def handle_error(self, request, client_address) -> None:
        """Log the error, unless the browser only went away."""
        if not isinstance(sys.exception(), _GONE):
            log.exception("a request of %s failed", client_address)

    def _bind(self, handler: type[LocalHandler], port: int | None) -> None:
        if port is not None and not 0 < port < 65536:
            raise SaematchError(f"port is {port}; it must be between 1 and 65535")
        for wished in (PORT, 0) if port is None else (port,):
            try:
                super().__init__((HOST, wished), handler)
                return
            except OSError as error:
                if port is not None:
                    taken = error.errno == errno.EADDRINUSE
                    why = "in use by another program" if taken else error.strerror
                    raise SaematchError(
                        f"port {port} of {HOST} is {why}: give another, or none for a free one"
                    ) from error
        raise SaematchError(f"no port of {HOST} is free")


class _Incoming(io.RawIOBase):
    """The data of a connection: each piece within `IDLE`, a request's headers within `HEAD`."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._until: float | None = None

    def readable(self) -> bool:
        return True

    def begin(self) -> None:
        """Start the clock of a request, which begins with the next byte."""
        self._until = None

    def readinto(self, buffer) -> int:
        left = IDLE if self._until is None else min(IDLE, self._until - time.monotonic())
        if left <= 0:
            raise TimeoutError("the head of a request took too long")
        self._connection.settimeout(left)
        try:
            count = self._connection.recv_into(buffer)
        finally:
            self._connection.settimeout(IDLE)
        if self._until is None:
            self._until = time.monotonic() + HEAD
        return count


class LocalHandler(BaseHTTPRequestHandler):
    """What all requests must fulfil; a kind of it says what is answered, and what is taken."""

    allowed = "GET, HEAD"  # methods

    protocol_version = "HTTP/1.1"
    timeout = IDLE
    # headers and body are two writes, and the second must not wait for a receipt of the first
    disable_nagle_algorithm = True
    raw_requestline: bytes
    server: LocalServer  # pyright: ignore[reportIncompatibleVariableOverride]

    def setup(self) -> None:
        """As the parent class, with a limit on how long a request may take to arrive."""
        super().setup()
        self._incoming = _Incoming(self.connection)
        self.rfile = io.BufferedReader(self._incoming)

    def handle_one_request(self) -> None:
        """As the parent class."""
        self._incoming.begin()
        super().handle_one_request()

    def parse_request(self) -> bool:
        """As the parent class, but refuse requests that two readers could read differently."""
        self.command, self.requestline = "", ""
        words = self.raw_requestline.split()
        if len(words) == 2 or words[-1:] == [b"HTTP/0.9"]:  # answers would have no heads
            self.request_version = "HTTP/1.0"
            self.send_error(HTTPStatus.BAD_REQUEST, "expected HTTP/1.1")
            return False
        if not super().parse_request():
            return False
        if self.request_version == "HTTP/0.9":  # by name, as if it had none
            self.request_version = "HTTP/1.0"
            self.send_error(HTTPStatus.BAD_REQUEST, "a request needs version HTTP/1.0 or 1.1")
            return False
        if self.headers.defects or any(name != name.strip() for name in self.headers):
            self.send_error(HTTPStatus.BAD_REQUEST, "its headers are malformed")
            return False
        if len(set(self.headers.get_all("Content-Length", []))) > 1:
            self.send_error(HTTPStatus.BAD_REQUEST, "it has two lengths")
            return False
        return True

    def do_GET(self) -> None:
        """Answer."""
        self.answer(body=True)

    def do_HEAD(self) -> None:
        """Answer with the headers of a GET."""
        self.answer(body=False)

    def do_POST(self) -> None:
        """Take what is sent."""
        self.take()

    def answer(self, body: bool) -> None:
        """Answer a GET, or without its body a HEAD."""
        raise NotImplementedError

    def take(self) -> None:
        """Take what a POST sends; unless a kind of it does, nothing is taken."""
        self.send_error(HTTPStatus.NOT_IMPLEMENTED)

    def sent(self, kind: str, most: int, what: str) -> bytes | None:
        """The body of a POST; None where it was refused, or the browser went away.

        Args:
            kind: the media type that it must have.
            most: bytes that it may have.
            what: what is sent, for the sentence that refuses it: "a vote".
        """
        keep = self.close_connection
        self.close_connection = True  # until the body is read, it could pass for a request
        if self.headers.get_content_type() != kind:
            self.refuse(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, f"{what} is {kind}")
            return None
        length = self.headers.get("Content-Length", "")
        if "Transfer-Encoding" in self.headers or not (length.isascii() and length.isdigit()):
            self.refuse(HTTPStatus.LENGTH_REQUIRED, f"{what} says its length")
            return None
        if len(length) > 9 or int(length) > most:
            self.refuse(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"{what} has at most {most:,} bytes")
            return None
        body = self.rfile.read(int(length))
        if len(body) < int(length):
            return None
        self.close_connection = keep
        return body

    def version_string(self) -> str:
        """What the server calls itself."""
        return f"saematch/{saematch.__version__}"

    def log_message(self, format: str, *args) -> None:
        """Write to the log, not to the terminal."""
        log.debug(format, *args)

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Send a plain sentence; the parent class calls this for malformed requests."""
        status = HTTPStatus(code)
        if status == HTTPStatus.NOT_IMPLEMENTED:  # what its parent says of other methods
            status, message = HTTPStatus.METHOD_NOT_ALLOWED, f"only {self.allowed}"
        self.close_connection = True  # whatever else was sent is not read
        self.refuse(status, message or status.phrase)

    def foreign(self) -> str | None:
        """Why the request does not come from a page of this server; empty if it does."""
        here = {f"{name}:{self.server.port}" for name in NAMES}
        if self.server.port == 80:
            here |= {*NAMES}
        hosts = self.headers.get_all("Host", [])
        if len(hosts) != 1 or hosts[0].strip().lower() not in here:
            return f"ask for http://{HOST}:{self.server.port}/ (a tunnel must keep the port)"
        origins = [origin.strip().lower() for origin in self.headers.get_all("Origin", [])]
        if any(origin.removeprefix("http://") not in here for origin in origins) or any(
            not origin.startswith("http://") for origin in origins
        ):
            return "pages of other sites may not read this"
        site, mode = self.headers.get("Sec-Fetch-Site"), self.headers.get("Sec-Fetch-Mode")
        if site == "cross-site" and mode != "navigate":
            return "pages of other sites may not read this"
        return None

    def refuse(self, status: HTTPStatus, reason: str) -> None:
        """Send a status with a plain sentence."""
        text = f"{status.value} {status.phrase}: {reason}\n".encode()
        headers = {"Content-Type": "text/plain; charset=utf-8", "Content-Length": str(len(text))}
        if status == HTTPStatus.METHOD_NOT_ALLOWED:
            headers["Allow"] = self.allowed
        self.head(status, headers)
        if self.command != "HEAD":
            self.wfile.write(text)

    def head(self, status: HTTPStatus, headers: dict[str, str]) -> None:
        """Send a status and the headers, those of every answer besides."""
        self.send_response(status)
        for name, value in {**headers, **ALWAYS}.items():
            self.send_header(name, value)
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()

"""A file from a web server, whole or not at all: bounded in size, in time and in attempts.

The standard library's client, not that of huggingface_hub: which one that brings differs from
version to version, and what is fetched here are single small files.
"""

from __future__ import annotations

import contextlib
import http.client
import time
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from email.message import Message
from urllib.parse import urlsplit

import saematch
from saematch.errors import SaematchError
from saematch.files.foreign import one_line, reason

TIMEOUT = 30.0  # seconds in which nothing arrives
WHOLE = 300.0  # seconds for one file
TRIES = 4
PAUSE = 1.0  # seconds before the second attempt; twice as many before each further one
LONGEST_PAUSE = 30.0
PIECE = 1 << 16
_BUSY = (408, 425, 429, 500, 502, 503, 504)


class UnreachableError(SaematchError):
    """A server that does not answer, or not with the file, however often it is asked."""


class MissingError(SaematchError):
    """A file that the server does not have."""


@dataclass(frozen=True)
class _Failed(Exception):  # noqa: N818
    """An attempt that may be repeated."""

    why: str
    wait: float | None = field(default=None)  # seconds that the server asks for


def fetch(url: str, most: int) -> bytes:
    """The content of a file on a web server.

    Args:
        url: http or https.
        most: its largest size in bytes.

    Raises:
        MissingError: the server says that there is none.
        UnreachableError: `TRIES` attempts failed.
        SaematchError: it is larger, the server refuses it, or the address is none.
    """
    if urlsplit(url).scheme not in ("http", "https"):
        raise SaematchError(f"{one_line(url)}: expected an address of http or https")
    failed = _Failed("not asked")
    for attempt in range(TRIES):
        if attempt:
            asked = failed.wait if failed.wait is not None else PAUSE * 2 ** (attempt - 1)
            time.sleep(min(asked, LONGEST_PAUSE))
        try:
            return _once(url, most)
        except _Failed as again:
            failed = again
    raise UnreachableError(f"{one_line(url)}: {failed.why}; asked {TRIES} times")


def _once(url: str, most: int) -> bytes:
    request = urllib.request.Request(
        url, headers={"User-Agent": f"saematch/{saematch.__version__}"}
    )
    try:
        with _opener().open(request, timeout=TIMEOUT) as answer:
            return _read(answer, url, most)
    except urllib.error.HTTPError as refused:
        with refused:
            said = f"the server says {refused.code} {one_line(str(refused.reason))[:100]}"
            if refused.code == 404:
                raise MissingError(f"{one_line(url)}: no such file there ({said})") from refused
            if refused.code not in _BUSY:
                raise SaematchError(f"{one_line(url)}: {said}") from refused
            raise _Failed(said, _wait(refused.headers)) from refused
    except urllib.error.URLError as error:
        why = error.reason if isinstance(error.reason, BaseException) else error
        raise _Failed(f"the server cannot be reached ({reason(why)})") from error
    except TimeoutError as error:
        raise _Failed(f"nothing arrived for {TIMEOUT:g} s") from error
    except (OSError, http.client.HTTPException) as error:
        raise _Failed(f"the connection broke ({reason(error)})") from error
    except ValueError as error:  # an address with a space, say
        if isinstance(error, SaematchError):
            raise
        raise SaematchError(f"{one_line(url)}: not an address ({reason(error)})") from error


def _opener() -> urllib.request.OpenerDirector:
    """The library's usual one, without ftp and files, to which a server might send us on."""
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler,
        urllib.request.UnknownHandler,
        urllib.request.HTTPHandler,
        urllib.request.HTTPSHandler,
        urllib.request.HTTPDefaultErrorHandler,
        urllib.request.HTTPRedirectHandler,
        urllib.request.HTTPErrorProcessor,
    ):
        opener.add_handler(handler())
    return opener


def _read(answer: http.client.HTTPResponse, url: str, most: int) -> bytes:
    until = time.monotonic() + WHOLE
    told = answer.length  # bytes to come, where the server says so
    parts: list[bytes] = []
    size = 0
    while piece := answer.read1(PIECE):
        parts.append(piece)
        size += len(piece)
        if size > most:
            raise SaematchError(f"{one_line(url)}: over {most:,} bytes, expected {most:,} at most")
        if time.monotonic() > until:
            raise _Failed(f"it took over {WHOLE:g} s")
    if told is not None and size < told:
        raise _Failed(f"it ended after {size:,} of {told:,} bytes")
    return b"".join(parts)


def _wait(headers: Message) -> float | None:
    """The pause that a busy server asks for, where it is a number of seconds."""
    with contextlib.suppress(ValueError):
        return max(0.0, float(headers.get("Retry-After", "")))
    return None

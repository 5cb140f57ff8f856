"""Calls of an OpenAI-compatible endpoint; what comes back never holds the key."""

from __future__ import annotations

import json
import os
import random
import re
import threading
import time
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

from saematch.asking.limits import Budget, Pace, Stopped, pause
from saematch.asking.ways import error_of, parse_reply, usage
from saematch.errors import SaematchError, install
from saematch.files.foreign import one_line, plain_text, reason

if TYPE_CHECKING:
    from openai import OpenAI

OPENAI = "https://api.openai.com/v1"
BASE_URL = "OPENAI_BASE_URL"
FIRST_WAIT, LONGEST_WAIT = 1.0, 60.0  # seconds between tries of a call
BYTES, OVERHEAD = 4, 16  # of a token; tokens around what is sent
_PASSING = (0, 408, 409, 425, 429)  # and 5xx, save 501: not implemented
_NO_QUOTA = ("insufficient_quota", "billing_hard_limit_reached")
_NO_KEY = "none"  # local servers ask for none, but the client wants one
_SHORT = 8  # a key with fewer letters is no secret, and could be part of any word
_HIDDEN = "[key]"
_LONGEST = 300  # letters of what an endpoint says, in errors


@dataclass(frozen=True)
class Result:
    """How a call ended: with a reply, or without and why."""

    status: int  # of HTTP; 0: no reply, or none that can be read
    reply: dict[str, Any] | None = None
    said: str = ""  # the error, in one line
    code: str = ""  # the endpoint's own name for the error
    wait: float | None = None  # seconds that the endpoint asks to wait
    perhaps_paid: bool = False  # the model may have worked for nothing
    reached: bool = True  # whether there was a connection


@dataclass(frozen=True)
class Address:
    """Where an endpoint is."""

    url: str

    @property
    def place(self) -> str:
        """Host, port and path: whose answers they are."""
        parts = urlsplit(self.url)
        port = parts.port or {"http": 80, "https": 443}[parts.scheme]
        return f"{parts.hostname}:{port}{parts.path}"


def address(base_url: str | None) -> Address:
    """The endpoint's URL as given, else that of the environment, else OpenAI's.

    Raises:
        SaematchError: it is no http(s) URL, or has parts in which keys are hidden.
    """
    named = "base_url" if base_url else BASE_URL
    url = (base_url or os.environ.get(BASE_URL) or OPENAI).strip().rstrip("/")
    if any(mark in url for mark in "@?#"):
        raise SaematchError(
            f"{named} holds a user name, a password or a query, where a key would be written down "
            "with every answer: give the bare URL, and the key in an environment variable"
        )
    try:
        parts = urlsplit(url)
        there = bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        raise SaematchError(f"{named} is no valid URL") from None
    if parts.scheme not in ("http", "https") or not there:
        raise SaematchError(
            f"{named} is no URL of an endpoint: expected one such as http://localhost:8000/v1"
        )
    return Address(url)


class Key:
    """The key in an environment variable, and how to keep it out of everything.

    Raises:
        SaematchError: it cannot be a key, or the URL holds it.
    """

    def __init__(self, variable: str, where: Address) -> None:
        self.variable = variable
        self.value = os.environ.get(variable, "").strip()
        if not (self.value.isascii() and self.value.isprintable()):
            raise SaematchError(f"the key in {variable} has letters that no key has: copy it anew")
        if len(self.value) >= _SHORT and self.value in where.url:
            raise SaematchError(f"the URL of the endpoint holds the key in {variable}: remove it")
        if not self.value and where.url.startswith(OPENAI):
            raise SaematchError(f"{variable} is not set: put your key of {where.url} there")
        written = (self.value, quote(self.value, safe=""), json.dumps(self.value)[1:-1])
        self._forms = written if len(self.value) >= _SHORT else ()
        # of a key that is quoted in part, the beginning is what one sees
        begun = rf"|{re.escape(self.value[:_SHORT])}\S*" if self._forms else ""
        self._seen = re.compile(rf"(?i:bearer)\s+\S+{begun}")

    def hide(self, value: Any) -> Any:
        """A JSON value without the key."""
        if isinstance(value, str):
            for form in self._forms:
                value = value.replace(form, _HIDDEN)
            return value
        if isinstance(value, list):
            return [self.hide(one) for one in value]
        if isinstance(value, dict):
            return {self.hide(name): self.hide(one) for name, one in value.items()}
        return value

    def message(self, text: str) -> str:
        """What an endpoint says as a short line without the key, nor what looks like it."""
        text = self._seen.sub(_HIDDEN, self.hide(text))
        text = one_line(" ".join(text.split()))
        return text if len(text) <= _LONGEST else text[:_LONGEST] + "..."


def connect(where: Address, key: Key, timeout: float) -> OpenAI:
    """A client that never retries by itself.

    Raises:
        SaematchError: the package openai is not installed.
    """
    try:
        from openai import OpenAI
    except ImportError as error:
        raise SaematchError(
            f"judges that ask a language model need openai: {install('judge')}"
        ) from error
    return OpenAI(api_key=key.value or _NO_KEY, base_url=where.url, timeout=timeout, max_retries=0)


class Caller:
    """Calls that are tried again while what hinders them may pass.

    Args:
        client, key: of the endpoint.
        retries: of each call.
        budget, pace: limits of them all.
        stop: set when no more calls are to start.
    """

    def __init__(
        self,
        client: OpenAI,
        key: Key,
        retries: int,
        budget: Budget,
        pace: Pace,
        stop: threading.Event,
    ) -> None:
        self._client, self._key, self._retries = client, key, retries
        self._budget, self._pace, self._stop = budget, pace, stop

    def result(self, body: dict[str, Any], longest: int) -> Result:
        """How the last try ended.

        Args:
            body: the request.
            longest: tokens that the reply may take.

        Raises:
            BudgetError: it would not fit.
            Stopped: the run ends.
            SaematchError: no other request would fare better: the key or the model is refused.
        """
        sent = tokens_of(*(message["content"] for message in body["messages"]))
        result = Result(0)
        for attempt in range(self._retries + 1):
            self._pace.turn(self._stop)
            with self._budget.call(sent + longest, self._stop) as took:
                if self._stop.is_set():
                    raise Stopped
                result = _call(self._client, self._key, body)
                took(_spent(result, sent, longest))
            self._check(result, body["model"])
            passing = result.status in _PASSING or result.status >= 500
            if not passing or result.status == 501:
                break
            if attempt < self._retries:
                self._back_off(attempt, result)
        return result

    def _back_off(self, attempt: int, result: Result) -> None:
        if result.wait is not None:  # it is the endpoint that is busy: all calls wait
            self._pace.hold(min(result.wait, LONGEST_WAIT))
        else:
            longest = min(LONGEST_WAIT, FIRST_WAIT * 2**attempt)
            pause(longest * random.uniform(0.5, 1), self._stop)

    def _check(self, result: Result, model: str) -> None:
        """Raise for what no other request would change."""
        name, there = self._key.variable, bool(self._key.value)
        url = str(self._client.base_url).rstrip("/")
        told = f"(status {result.status}): {result.said}"
        if result.code in _NO_QUOTA or result.status == 402:
            raise SaematchError(f"{url}: no quota is left for {model} {told}")
        if result.status == 401:
            wrong = "was refused" if there else "is missing: the variable is not set"
            raise SaematchError(f"{url}: the key in {name} {wrong} (status 401)")
        if result.status == 403:
            lacks = f"the key in {name}" if there else f"no key ({name} is not set)"
            raise SaematchError(f"{url}: {lacks} gives no access to {model} {told}")
        if result.status == 404:
            raise SaematchError(
                f"{url}: there is no model {model}, or this is not the base URL of an "
                f"OpenAI-compatible API, which mostly ends in /v1 {told}"
            )


def tokens_of(*texts: str) -> int:
    """About how many tokens it takes to send texts."""
    return -(-sum(len(plain_text(text).encode()) for text in texts) // BYTES) + OVERHEAD


def _call(client: OpenAI, key: Key, body: dict[str, Any]) -> Result:
    """One call. Whatever goes wrong is a result: exceptions could carry the key."""
    from openai import APIStatusError, APITimeoutError

    try:
        raw = client.chat.completions.with_raw_response.create(**body)
        text = raw.http_response.text
    except APIStatusError as raised:
        return _refused(raised.status_code, raised.response.text, key, raised.response.headers)
    except Exception as raised:
        cause = raised.__cause__ or raised
        said = f"no reply within {client.timeout} s"
        if not isinstance(raised, APITimeoutError):
            said = key.message(reason(cause))
        reached = not type(cause).__name__.startswith("Connect")  # of httpx and its successor
        return Result(0, said=said, perhaps_paid=reached, reached=reached)
    reply = parse_reply(text)
    if reply is not None:
        return Result(200, key.hide(reply))
    if '"error"' in text:  # some send errors with status 200
        said, code = error_of(text)
        status = int(code) if code.isdecimal() else 0
        return Result(status, said=key.message(said), code=code)
    return Result(0, said="a reply that is no chat completion", perhaps_paid=True)


def _refused(status: int, text: str, key: Key, headers: Any) -> Result:
    said, code = error_of(text)
    return Result(status, said=key.message(said), code=code, wait=_wait(headers))


def _wait(headers: Any) -> float | None:
    """Seconds of a Retry-After header: a number, or a date."""
    given = str(headers.get("retry-after", "")).strip()
    try:
        return max(0.0, float(given))
    except ValueError:
        pass
    try:
        return max(0.0, parsedate_to_datetime(given).timestamp() - time.time())
    except (ValueError, TypeError, OverflowError):
        return None


def _spent(result: Result, sent: int, longest: int) -> int:
    """Tokens of a call as the endpoint counted them, else as forecast, if it worked at all."""
    if result.reply is None:
        return sent + longest if result.perhaps_paid else 0
    counted = usage(result.reply)
    return sum(
        forecast if count is None else count
        for count, forecast in zip(counted, (sent, longest), strict=True)
    )

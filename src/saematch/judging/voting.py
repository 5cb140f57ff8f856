"""A page on which a person votes, served on this machine.

The rules of the explorer's server hold (`saematch.explorer.local`), and beyond them every address
begins with a token that only the printed address has: other users of this machine can reach the
port, but neither read the page nor vote.
"""

from __future__ import annotations

import hmac
import secrets
import threading
from http import HTTPStatus
from pathlib import Path
from typing import Annotated

import msgspec

from saematch.errors import RunError
from saematch.explorer.local import HOST, LocalHandler, LocalServer
from saematch.judging.ballot import Ballot, sides
from saematch.judging.shown import Shown
from saematch.judging.verdict import DIFFERENT, SAME
from saematch.judging.votes import VotesFile, unordered

PAGE = Path(__file__).parent / "page"
FILES = {
    "": ("index.html", "text/html; charset=utf-8"),
    "vote.js": ("vote.js", "text/javascript; charset=utf-8"),
    "vote.css": ("vote.css", "text/css; charset=utf-8"),
}
MOST = 1000  # bytes of a vote
JSON = "application/json"


class Cast(msgspec.Struct, forbid_unknown_fields=True):
    """A vote as the page sends it."""

    case: Annotated[int, msgspec.Meta(ge=0)]  # its place on the ballot
    grade: Annotated[int, msgspec.Meta(ge=DIFFERENT, le=SAME)]
    seconds: Annotated[float, msgspec.Meta(ge=0, le=1e6)]


class Voting:
    """A ballot that is being served; as a context manager, it stops at the end of the block."""

    def __init__(
        self, ballot: Ballot, shown: Shown, votes: VotesFile, name: str, port: int | None = None
    ) -> None:
        """Start serving.

        Args:
            ballot: the pairs.
            shown: that has read their contexts.
            votes: where votes are kept.
            name: of the person, for the page.
            port: of 127.0.0.1; a free one unless given.

        Raises:
            SaematchError: the port is taken.
        """
        self.votes, self.ballot, self._shown, self._name = votes, ballot, shown, name
        self._token = secrets.token_urlsafe(24)
        self._adding = threading.Lock()
        self._stopped = threading.Event()
        self._server = _Server(self, port)

    @property
    def url(self) -> str:
        """The address of the page, with its token."""
        return f"http://{HOST}:{self._server.port}/{self._token}/"

    @property
    def path(self) -> Path:
        """The file of the votes."""
        return self.votes.path

    @property
    def total(self) -> int:
        """How many pairs there are to vote on."""
        return len(self.ballot.pairs)

    @property
    def done(self) -> int:
        """How many of them have a vote."""
        return sum(self._grade(place) is not None for place in range(self.total))

    def stop(self) -> None:
        """Free the port; a second call does nothing."""
        if not self._stopped.is_set():
            self._stopped.set()
            self._server.stop()

    def wait(self) -> None:
        """Return when another thread calls `stop`."""
        # on Windows, Ctrl-C does not interrupt a wait without a time limit
        while not self._stopped.wait(0.5):
            pass

    def __enter__(self) -> Voting:
        return self

    def __exit__(self, *_) -> None:
        self.stop()

    def place_of(self, address: str) -> str | None:
        """What an address names after the token; None if it does not begin with that."""
        _, _, rest = address.partition("?")[0].partition("/")
        token, slash, place = rest.partition("/")
        known = hmac.compare_digest(token.encode(), self._token.encode())
        return place if known and slash else None

    def content(self, place: str) -> tuple[bytes, str] | None:
        """What is at a place, and its type."""
        if place == "ballot.json":
            return msgspec.json.encode(self._content()), JSON
        if place not in FILES:
            return None
        file, kind = FILES[place]
        return (PAGE / file).read_bytes(), kind

    def cast(self, vote: Cast) -> None:
        """Keep a vote.

        Raises:
            RunError: it cannot be written, or is on no pair of the ballot.
        """
        if vote.case >= self.total:
            raise RunError(f"case is {vote.case}; the last one is {self.total - 1}")
        pair = self.ballot.pairs[vote.case]
        with self._adding:
            self.votes.add(*pair, vote.grade, vote.seconds)

    def _grade(self, place: int) -> int | None:
        vote = self.votes.votes.get(unordered(*self.ballot.pairs[place]))
        return None if vote is None else vote.grade

    def _content(self) -> dict[str, object]:
        cases = []
        for place in range(self.total):
            left, right = sides(self.ballot, self._shown, place)
            cases.append({"left": left, "right": right, "grade": self._grade(place)})
        return {"name": self._name, "cases": cases}


class _Server(LocalServer):
    called = "saematch vote"

    def __init__(self, voting: Voting, port: int | None) -> None:
        self.voting = voting
        super().__init__(_Handler, port)


class _Handler(LocalHandler):
    allowed = "GET, HEAD, POST"
    server: _Server  # pyright: ignore[reportIncompatibleVariableOverride]

    def answer(self, body: bool) -> None:
        if self.headers.get("Content-Length", "0") != "0" or "Transfer-Encoding" in self.headers:
            self.close_connection = True  # a body is not read, and must not pass for a request
        place = self._place()
        if place is None:
            return
        found = self.server.voting.content(place)
        if found is None:
            self.refuse(HTTPStatus.NOT_FOUND, "no such page")
            return
        content, kind = found
        self.head(HTTPStatus.OK, {"Content-Type": kind, "Content-Length": str(len(content))})
        if body:
            self.wfile.write(content)

    def take(self) -> None:
        keep = self.close_connection
        self.close_connection = True  # until the body is read, it could pass for a request
        place = self._place()
        if place is None:
            return
        if place != "votes":
            self.refuse(HTTPStatus.NOT_FOUND, "votes are sent to votes")
            return
        self.close_connection = keep
        sent = self.sent(JSON, MOST, "a vote")
        if sent is not None:
            self._take(sent)

    def _take(self, sent: bytes) -> None:
        voting = self.server.voting
        try:
            vote = msgspec.json.decode(sent, type=Cast)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            self.refuse(HTTPStatus.BAD_REQUEST, f"no vote: {error}")
            return
        if vote.case >= voting.total:
            self.refuse(HTTPStatus.BAD_REQUEST, f"there are {voting.total} pairs, from 0")
            return
        try:
            voting.cast(vote)
        except RunError as error:
            self.refuse(HTTPStatus.INTERNAL_SERVER_ERROR, str(error))
            return
        content = msgspec.json.encode({"done": voting.done})
        self.head(HTTPStatus.OK, {"Content-Type": JSON, "Content-Length": str(len(content))})
        self.wfile.write(content)

    def _place(self) -> str | None:
        """What the address names; refuses requests of other sites and without the token."""
        if reason := self.foreign():
            self.refuse(HTTPStatus.FORBIDDEN, reason)
            return None
        place = self.server.voting.place_of(self.path)
        if place is None:
            self.refuse(HTTPStatus.NOT_FOUND, "open the whole address that saematch vote printed")
        return place

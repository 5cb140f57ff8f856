"""The one thing of the explorer that computes: what fires on a sentence, and what steering does.

    GET  /live/TOKEN/           what there is, and how much is allowed
    POST /live/TOKEN/sentence   {"text"}: see `saematch.explorer.sentence.Sentence.values`
    POST /live/TOKEN/steer      `Asking`: how the model goes on, as it is and steered

The rules of the server hold (`saematch.explorer.local`). The token is drawn at each start and
stands in the printed address alone. Texts are neither kept nor logged.
"""

from __future__ import annotations

import hmac
import secrets
import threading
import time
from dataclasses import dataclass
from http import HTTPStatus
from typing import Annotated, Any, Literal

import msgspec

from saematch.errors import SaematchError
from saematch.explorer.local import LocalHandler
from saematch.explorer.sentence import (
    SECONDS,
    STRONGEST,
    TOKENS,
    OvertimeError,
    SentenceReader,
    shown_name,
    within,
)
from saematch.files.foreign import is_panic, plain_text
from saematch.layers.tracks import MODES
from saematch.models.token_text import Pieces
from saematch.progress import log
from saematch.steering.plan import Asked, Plan
from saematch.steering.steering import Steering
from saematch.steering.text import continuations

FOLDER = "/live/"
JSON = "application/json"
MOST = 1 << 16  # bytes of a request
NEW = 60  # tokens that a continuation has at most
STRENGTH = 100.0  # at most, either way


class Text(msgspec.Struct, forbid_unknown_fields=True):
    """A sentence to be read."""

    text: str


class Asking(msgspec.Struct, forbid_unknown_fields=True):
    """A text to be continued by the model as it is and steered; see `saematch.steer`."""

    text: str
    feature: Annotated[str, msgspec.Meta(max_length=300)]  # SAE/INDEX
    along: Literal["layer", "track"] = "layer"
    how: Literal["add", "remove"] = "add"
    strength: Annotated[float, msgspec.Meta(ge=-STRENGTH, le=STRENGTH)] | None = None
    tokens: Annotated[int, msgspec.Meta(ge=1, le=NEW)] = 40
    seed: Annotated[int, msgspec.Meta(ge=0, lt=1 << 31)] = 0


@dataclass(frozen=True)
class _Answer:
    status: HTTPStatus
    content: bytes | str  # JSON, or a sentence that says why there is none


class Live:
    """A model that answers the page of one run, a request at a time.

    Args:
        reader: the model, and the SAEs of the run.
        tokens: of a sentence, at most.
        seconds: that an answer may take.
    """

    def __init__(
        self, reader: SentenceReader, tokens: int = TOKENS, seconds: float = SECONDS
    ) -> None:
        self.reader, self.tokens, self.seconds = reader, tokens, seconds
        self.token = secrets.token_urlsafe(24)
        self._pieces = Pieces(reader.model.tokenizer)
        self._busy = threading.Lock()

    def place_of(self, address: str) -> str | None:
        """What an address names after the token; None if it does not begin with that."""
        path = address.partition("?")[0].removeprefix(FOLDER)
        token, slash, place = path.partition("/")
        known = hmac.compare_digest(token.encode(), self.token.encode())
        return place if known and slash else None

    def about(self) -> dict[str, Any]:
        """What there is, and how much is allowed."""
        model = self.reader.model
        return {
            "model": shown_name(model),
            "tokens": self.tokens,
            "most": STRONGEST,
            "bytes": MOST,
            "seconds": self.seconds,
            "steers": model.causal,
            "new_tokens": NEW,
            "mode": self._mode,
        }

    def ask(self, place: str, sent: bytes) -> _Answer:
        """The answer to a request, or the sentence that refuses it."""
        kinds = {"sentence": (Text, self._sentence), "steer": (Asking, self._steered)}
        kind, answer = kinds[place]
        try:
            asked = msgspec.json.decode(sent, type=kind)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            return _Answer(HTTPStatus.BAD_REQUEST, f"this cannot be understood: {error}")
        if not self._busy.acquire(blocking=False):
            return _Answer(
                HTTPStatus.TOO_MANY_REQUESTS,
                "the model reads another sentence, and one at a time: try again in a moment",
            )
        try:
            return _Answer(HTTPStatus.OK, msgspec.json.encode(answer(asked)))
        except OvertimeError as error:
            return _Answer(HTTPStatus.SERVICE_UNAVAILABLE, str(error))
        except SaematchError as error:
            return _Answer(HTTPStatus.UNPROCESSABLE_ENTITY, str(error))
        except BaseException as error:
            if not isinstance(error, Exception) and not is_panic(error):
                raise
            # its own message may have the text in it
            log.warning(f"a live request failed: {type(error).__name__}")
            return _Answer(
                HTTPStatus.INTERNAL_SERVER_ERROR,
                f"the model could not read this ({type(error).__name__}): try another text",
            )
        finally:
            self._busy.release()

    @property
    def _mode(self) -> Any:
        """The mode of the tracks that the page shows."""
        mode = self.reader.nodes.mode
        return mode if mode in MODES else None

    def _sentence(self, asked: Text) -> dict[str, Any]:
        found = self.reader.read(asked.text, tokens=self.tokens, seconds=self.seconds)
        return found.values()

    def _steered(self, asked: Asking) -> dict[str, Any]:
        begin = time.perf_counter()
        reader, model = self.reader, self.reader.model
        text = plain_text(asked.text)
        reader.ids_of(text, self.tokens)
        how = Asked(
            strength=asked.strength,
            how=asked.how,
            along=asked.along,
            **({"mode": self._mode} if asked.along == "track" and self._mode else {}),
        )
        plan = Plan(reader.run, model, reader.saes.__getitem__, plain_text(asked.feature), how)
        steering = Steering(model, plan.changes(), plan.saes)
        with within(model, self.seconds):
            (plain,) = continuations(model, [text], tokens=asked.tokens, seed=asked.seed)
            with steering:
                (steered,) = continuations(model, [text], tokens=asked.tokens, seed=asked.seed)
        both = list(zip(plain.ids, steered.ids, strict=False))
        differs = next((k for k, (a, b) in enumerate(both) if a != b), len(both))
        return {
            "text": text,
            "plain": self._pieces(plain.ids),
            "steered": self._pieces(steered.ids),
            "differs": None if plain.ids == steered.ids else differs,
            "changes": [
                {"site": c.site, "feature": c.feature, "how": c.how, "amount": c.amount}
                for c in steering.changes
            ],
            "seconds": time.perf_counter() - begin,
        }


def answer(handler: LocalHandler, live: Live, body: bool) -> None:
    """Answer a GET or HEAD below `FOLDER`: what there is."""
    place = _place(handler, live)
    if place is None:
        return
    if place:
        handler.refuse(HTTPStatus.NOT_FOUND, "a sentence is sent by POST")
        return
    _send(handler, msgspec.json.encode(live.about()), body)


def take(handler: LocalHandler, live: Live) -> None:
    """Answer a POST below `FOLDER`."""
    keep = handler.close_connection
    handler.close_connection = True  # until the body is read, it could pass for a request
    place = _place(handler, live)
    if place is None:
        return
    if place not in ("sentence", "steer"):
        handler.refuse(HTTPStatus.NOT_FOUND, "there are sentence and steer")
        return
    handler.close_connection = keep
    sent = handler.sent(JSON, MOST, "a sentence")
    if sent is None:
        return
    answer = live.ask(place, sent)
    if isinstance(answer.content, bytes):
        _send(handler, answer.content, body=True)
    else:
        handler.refuse(answer.status, answer.content)


def _place(handler: LocalHandler, live: Live) -> str | None:
    """What is asked for; requests of other sites and without the token are refused."""
    if reason := handler.foreign():
        handler.refuse(HTTPStatus.FORBIDDEN, reason)
        return None
    place = live.place_of(handler.path)
    if place is None:
        handler.refuse(
            HTTPStatus.NOT_FOUND, "open the whole address that saematch explore --model printed"
        )
    return place


def _send(handler: LocalHandler, content: bytes, body: bool) -> None:
    handler.head(HTTPStatus.OK, {"Content-Type": JSON, "Content-Length": str(len(content))})
    if body:
        handler.wfile.write(content)

"""Answers of language models, each kept in a file of its own: what was paid for is never lost."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from saematch.asking.ways import Question, Way, read, usage
from saematch.errors import SaematchError
from saematch.files.atomic import sweep, whole
from saematch.files.foreign import read_json, reason
from saematch.files.records import Record, now, plain, read_record


@dataclass(frozen=True)
class Answer:
    """What a language model answered to a question.

    `probabilities` are of the options and sum to 1: the model's own, from its log-probabilities,
    where the endpoint gives them, else 1 for the option answered. They are None if there is no
    valid answer; `problem` says why. Tokens are as counted by the endpoint, 0 if it does not say,
    of all calls that the answer took; those of a cached answer were spent before.
    """

    probabilities: tuple[float, ...] | None
    text: str  # what the model wrote
    problem: str | None
    input_tokens: int
    output_tokens: int
    cached: bool


class Request(Record, frozen=True):
    """All that an answer depends on; in which way it was got is not part of it."""

    model: str
    endpoint: str  # host and path: models of one name can differ
    instructions: str
    prompt: str
    options: list[str]

    @property
    def name(self) -> str:
        content = json.dumps(plain(self), sort_keys=True, ensure_ascii=False)
        return hashlib.sha256(content.encode()).hexdigest()

    @property
    def question(self) -> Question:
        return Question(self.instructions, self.prompt, tuple(self.options))


class Kept(Record, frozen=True):
    """An answer on disk: replies as the endpoint sent them, the last of which counts."""

    request: Request
    way: Way
    replies: list[dict[str, Any]]
    asked: str  # when the last reply came

    def answer(self, cached: bool) -> Answer:
        """What the replies say.

        Raises:
            msgspec.ValidationError: there is none, or one that is no chat completion.
        """
        if not self.replies:
            raise msgspec.ValidationError("no reply")
        reading = read(self.request.question, self.replies[-1])
        counts = [usage(reply) for reply in self.replies]
        problem = None
        if reading.probabilities is None:
            options = ", ".join(self.request.options)
            problem = f"the model wrote {_short(reading.text)}, expected one of {options}"
        return Answer(
            probabilities=reading.probabilities,
            text=reading.text,
            problem=problem,
            input_tokens=sum(given or 0 for given, _ in counts),
            output_tokens=sum(made or 0 for _, made in counts),
            cached=cached,
        )


class Answers:
    """A folder of answers: `ab/<sha256 of the request>.json`.

    Any number of programs may use it at once: files appear whole, and two that ask the same at the
    same moment leave the answer of one of them.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def get(self, request: Request) -> Kept | None:
        """What is kept, if it is a valid answer; a file that cannot be read counts for nothing."""
        path = self._path(request)
        if not path.is_file():
            return None
        try:
            kept = read_record(read_json(path), Kept)
            valid = kept.request == request and kept.answer(True).probabilities is not None
        except (SaematchError, msgspec.ValidationError):
            return None
        return kept if valid else None

    def put(self, request: Request, way: Way, replies: Sequence[dict[str, Any]]) -> Kept:
        """Keep replies, unless they are no valid answer and another program has kept one.

        Raises:
            SaematchError: the file cannot be written.
        """
        kept = Kept(request=request, way=way, replies=[*replies], asked=now())
        if kept.answer(False).probabilities is None and (better := self.get(request)):
            return better
        path = self._path(request)
        try:
            with whole(path) as partial:
                partial.write_text(
                    json.dumps(plain(kept), ensure_ascii=False, indent=1) + "\n", encoding="utf-8"
                )
        except OSError as raised:
            raise SaematchError(f"{path}: an answer cannot be kept: {reason(raised)}") from raised
        return kept

    def prepare(self) -> None:
        """Make sure that answers can be kept, before any is paid for.

        Raises:
            SaematchError: the folder cannot be made.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as raised:
            raise SaematchError(f"{self.folder} cannot be written: {reason(raised)}") from raised
        for shard in self.folder.glob("[0-9a-f][0-9a-f]"):
            sweep(shard)

    def _path(self, request: Request) -> Path:
        return self.folder / request.name[:2] / f"{request.name}.json"


def _short(text: str) -> str:
    return repr(text if len(text) <= 60 else text[:60] + "...") if text.strip() else "nothing"

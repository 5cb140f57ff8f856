"""How a question is put to a language model, and how the reply is read.

Endpoints differ in what they take. The best way gives the log-probability of every option; the next
one has the endpoint hold the model to the options by a JSON schema; plain text always works. What
an endpoint refuses is left out.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import permutations
from typing import Any, Literal

import msgspec
from msgspec.structs import replace

from saematch.errors import SaematchError
from saematch.files.foreign import parse_json
from saematch.files.records import Count, Record

TOKEN, OBJECT = 4, 16  # tokens that an answer may take besides the option's letters
ROOMY = 4096  # the same where the model reasons before it answers
TOP, FEWER = 20, 5  # tokens whose log-probabilities are asked for; some endpoints give fewer
# white space, quotes and emphasis around an answer, and how tokenizers write a space
_MARKS = " \t\r\n\"'`*()[].,:;!\u2581\u0120\u010a"
_THOUGHT = "</think>"  # ends the reasoning of models that show it


@dataclass(frozen=True)
class Question:
    """A question to a language model that has a few possible answers."""

    instructions: str  # system message
    prompt: str  # user message
    options: tuple[str, ...]  # what may be answered: short strings, such as 1, 2, 3


class Way(Record, frozen=True):
    """How an endpoint is asked: what it is known to take."""

    how: Literal["logprobs", "schema", "text"] = "logprobs"
    top: Count = TOP
    roomy: bool = False
    limit: Literal["max_tokens", "max_completion_tokens"] | None = "max_tokens"
    temperature: bool = True
    system: bool = True  # whether there are system messages


class Reading(msgspec.Struct, frozen=True):
    """What a reply says."""

    probabilities: tuple[float, ...] | None  # of the options; None: it is none of them
    text: str
    likely: bool = False  # whether the probabilities are the model's own


class _Candidate(msgspec.Struct):
    token: str
    logprob: float


class _Token(_Candidate):
    top_logprobs: list[_Candidate] = []


class _Tokens(msgspec.Struct):
    content: list[_Token] | None = None


class _Message(msgspec.Struct):
    content: str | None = None


class _Choice(msgspec.Struct):
    message: _Message
    finish_reason: str | None = None
    logprobs: Any = None


class _Usage(msgspec.Struct):
    prompt_tokens: Count | None = None
    completion_tokens: Count | None = None


class _Reply(msgspec.Struct):
    choices: list[_Choice]
    usage: _Usage | None = None


def check(question: Question) -> None:
    """Refuse a question whose answers could not be told apart."""
    bare = [_bare(option) for option in question.options]
    if not bare or "" in bare or len({*bare}) < len(bare):
        raise SaematchError(
            f"options={question.options!r}: expected one or more that differ in more than case, "
            "white space and punctuation"
        )


def of_one_token(options: Sequence[str]) -> bool:
    """Whether the first token of an answer can tell the options apart: none begins with another."""
    bare = [_bare(option) for option in options]
    return not any(a.startswith(b) for a, b in permutations(bare, 2))


def first_way(options: Sequence[str]) -> Way:
    """The way that tells most, before anything is known of an endpoint."""
    return Way(how="logprobs" if of_one_token(options) else "schema")


def body(model: str, question: Question, way: Way, wrong: Sequence[str] = ()) -> dict[str, Any]:
    """The request; `wrong` holds what was answered before that is none of the options."""
    messages = [{"role": "user", "content": question.prompt}]
    if way.system and question.instructions:
        messages.insert(0, {"role": "system", "content": question.instructions})
    elif question.instructions:
        messages[0]["content"] = f"{question.instructions}\n\n{question.prompt}"
    for text in wrong:
        messages.append({"role": "assistant", "content": text or "..."})
        messages.append({"role": "user", "content": _reminder(question.options)})
    asked: dict[str, Any] = {"model": model, "messages": messages}
    if way.limit is not None:
        asked[way.limit] = longest_reply(question, way)
    if way.temperature:
        asked["temperature"] = 0
    if way.how == "logprobs":
        asked |= {"logprobs": True, "top_logprobs": way.top}
    if way.how == "schema":
        asked["response_format"] = _schema(question.options)
    return asked


def longest_reply(question: Question, way: Way) -> int:
    """Tokens that a reply may take: few, as a slow engine writes on whether it is heard or not."""
    if way.roomy:
        return ROOMY
    around = TOKEN if way.how == "logprobs" else OBJECT
    return around + max(len(option) for option in question.options)


def simpler(way: Way, refusal: str, settled: bool) -> Way | None:
    """What to try after a request was refused as malformed; None: the way is not to blame.

    Args:
        way: how it was asked.
        refusal: what the endpoint said.
        settled: whether it took this way before; then only what it names can be to blame.
    """
    said = refusal.casefold()
    if way.how == "logprobs" and "top_logprobs" in said and way.top > FEWER:
        return replace(way, top=FEWER)
    if way.how == "logprobs" and "logprob" in said:
        return replace(way, how="schema")
    if way.how == "schema" and any(word in said for word in ("response_format", "schema")):
        return replace(way, how="text")
    if way.limit is not None and way.limit in said:
        return _other_limit(way)
    if way.temperature and "temperature" in said:
        return replace(way, temperature=False)
    if way.system and "system" in said and "role" in said:
        return replace(way, system=False)
    if settled:
        return None
    if way.how != "text":
        return replace(way, how="schema" if way.how == "logprobs" else "text")
    if way.temperature:
        return replace(way, temperature=False)
    return _other_limit(way) if way.limit == "max_tokens" else None


def amended(way: Way, reply: Any, settled: bool) -> Way | None:
    """What to try after a reply without what was asked for; None: the way is not to blame."""
    choice = _choice(reply)
    text = choice.message.content or ""
    unfinished = not text.strip() or ("<think>" in text and _THOUGHT not in text)
    if choice.finish_reason == "length" and unfinished:
        return None if way.roomy else replace(way, roomy=True)
    if way.how == "logprobs" and not settled and not _tokens(choice):
        return replace(way, how="schema")
    return None


def parse_reply(text: str) -> dict[str, Any] | None:
    """A reply's JSON, or None where it is not that of a chat completion."""
    try:
        reply = parse_json(text)
        _choice(reply)
    except (ValueError, RecursionError):
        return None
    return reply


def error_of(text: str) -> tuple[str, str]:
    """The message and the code of an error that an endpoint sent, in whatever form it did."""
    try:
        said = parse_json(text)
    except (ValueError, RecursionError):
        return text, ""
    code = ""
    for name in ("error", "message"):
        if isinstance(said, Mapping) and name in said:
            code = str(said.get("code") or code)
            said = said[name]
    if isinstance(said, Mapping):
        code = str(said.get("code") or code)
    return said if isinstance(said, str) else json.dumps(said, ensure_ascii=False), code


def read(question: Question, reply: Any) -> Reading:
    """Probabilities of the options: from log-probabilities if there are any, else 1 for one."""
    choice = _choice(reply)
    text = choice.message.content or ""
    if of_one_token(question.options) and (found := _from_tokens(question, _tokens(choice))):
        return Reading(found, text, likely=True)
    answer = _bare(_answer_in(text.rpartition(_THOUGHT)[2]))
    given = [_bare(option) == answer for option in question.options]
    return Reading(tuple(map(float, given)) if any(given) else None, text)


def usage(reply: Any) -> tuple[int | None, int | None]:
    """Tokens of the request and of the reply, where the endpoint counted them."""
    counted = msgspec.convert(reply, _Reply).usage or _Usage()
    return counted.prompt_tokens, counted.completion_tokens


def _from_tokens(question: Question, tokens: Sequence[_Token]) -> tuple[float, ...] | None:
    options = [_bare(option) for option in question.options]
    text = "".join(token.token for token in tokens)
    begin = text.find(_THOUGHT) + len(_THOUGHT) if _THOUGHT in text else 0
    at = 0
    for token in tokens:
        if at >= begin and _bare(token.token):
            break
        at += len(token.token)
    else:
        return None
    # 1 is not answered by 10, even where every digit is a token
    written = text[at:].lstrip(_MARKS).casefold()
    if not any(
        written.startswith(option) and not written[len(option) : len(option) + 1].isalnum()
        for option in options
    ):
        return None
    weight = [0.0] * len(options)
    candidates = {one.token: one.logprob for one in [token, *token.top_logprobs]}
    for candidate, logprob in candidates.items():
        word = _bare(candidate)
        meant = [i for i, option in enumerate(options) if word and option.startswith(word)]
        if len(meant) == 1:
            weight[meant[0]] += math.exp(min(logprob, 0.0))
    total = sum(weight)
    return tuple(one / total for one in weight) if total > 0 else None


def _answer_in(text: str) -> str:
    """The answer in a JSON object, or the text itself."""
    try:
        answer = parse_json(text)["answer"]
    except (ValueError, RecursionError, KeyError, TypeError):
        return text
    return answer if isinstance(answer, str) else text


def _bare(text: str) -> str:
    return text.strip(_MARKS).casefold()


def _reminder(options: Sequence[str]) -> str:
    return f"Answer with one of these and nothing else: {', '.join(options)}"


def _schema(options: Sequence[str]) -> dict[str, Any]:
    schema = {
        "type": "object",
        "properties": {"answer": {"type": "string", "enum": [*options]}},
        "required": ["answer"],
        "additionalProperties": False,
    }
    return {
        "type": "json_schema",
        "json_schema": {"name": "answer", "strict": True, "schema": schema},
    }


def _other_limit(way: Way) -> Way:
    return replace(way, limit="max_completion_tokens" if way.limit == "max_tokens" else None)


def _choice(reply: Any) -> _Choice:
    choices = msgspec.convert(reply, _Reply).choices
    if not choices:
        raise msgspec.ValidationError("a reply without choices")
    return choices[0]


def _tokens(choice: _Choice) -> list[_Token]:
    try:
        return msgspec.convert(choice.logprobs, _Tokens).content or []
    except msgspec.ValidationError:
        return []

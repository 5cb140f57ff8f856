"""What became of an input: fine, refused in one line, or a finding, and of which kind."""

from __future__ import annotations

import re
import signal
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fire.forked import Ended, Limits

LONGEST = 3000  # characters of an error's one line


@dataclass(frozen=True)
class Verdict:
    """`kind` is fine, refused, skipped, harness (a fault of these tests), or a finding's kind."""

    kind: str
    what: str = ""  # that was done to the input
    how: str = ""  # it was met
    place: str = ""  # the exception and the innermost function of the package

    @property
    def finding(self) -> bool:
        return self.kind not in ("fine", "refused", "skipped", "harness")

    @property
    def group(self) -> str:
        return f"{self.kind} {self.place}".strip()


def raised(error: BaseException) -> dict[str, Any]:
    """An exception as plain values: what, where, and whether it is the package's own."""
    from saematch.errors import SaematchError

    frames = traceback.extract_tb(error.__traceback__)
    ours = [f for f in frames if "/saematch/" in f.filename and "/tests/" not in f.filename]
    last = (ours or frames)[-1] if frames else None
    # a deep recursion has many places of which any may be the last
    place = "" if last is None else f"{Path(last.filename).stem}.{last.name}"
    if type(error).__name__ == "RecursionError" and ours:
        place = f"{Path(ours[0].filename).stem}.{ours[0].name}"
    return {
        "type": type(error).__name__,
        "own": isinstance(error, SaematchError),
        "place": place,
        "text": ascii(str(error))[1:-1][: LONGEST + 100],
        "lines": len(str(error).splitlines()),
        "plain": _plain(str(error)),
    }


def judge(ended: Ended, limits: Limits, canary: bool) -> Verdict:
    """The verdict on a process that read an input."""
    told: dict[str, Any] = ended.value or {}
    what = str(told.get("what", ""))

    def verdict(kind: str, how: str = "", place: str = "") -> Verdict:
        return Verdict(kind, what, how[:400], place)

    if canary:
        return verdict("code run", "a canary was left")
    if "harness" in told:
        return verdict("harness", told["harness"])
    if ended.limit:
        word = {"waits": "waits for ever", "wall": "too slow", "cpu": "too slow"}[ended.limit]
        return verdict(word, f"stopped after {ended.seconds:.0f} s ({ended.limit})")
    if ended.signal:
        name = signal.Signals(ended.signal).name
        return verdict("crash", f"ended by {name}: {_tail(ended.output)}", name)
    if not told:
        return verdict("crash", f"ended without a word: {_tail(ended.output)}")
    if told.get("skipped"):
        return verdict("skipped")
    if ended.grown > limits.grown:
        return verdict("memory", f"{ended.grown >> 20} MB more, {told.get('error') or 'fine'}")
    if "status" in told:
        return _of_command(told, ended.output, verdict)
    error = told.get("error")
    if error is None:
        return _of_result(told, verdict)
    if not error["own"]:
        return verdict("traceback", error["text"], f"{error['type']} in {error['place']}")
    if error["lines"] > 1 or len(error["text"]) > LONGEST:
        return verdict("not one line", error["text"], error["place"])
    if not error["plain"]:
        return verdict("not plain", error["text"], error["place"])
    if "panicked at" in ended.output:
        return verdict("noise", _tail(ended.output), error["place"])
    return verdict("refused", error["text"])


def _of_result(told: dict[str, Any], verdict) -> Verdict:
    if told.get("wrong"):
        return verdict("wrong result", told["wrong"], told["wrong"])
    if told.get("refuse"):
        return verdict("taken", f"taken without a word: {told['refuse']}")
    return verdict("fine")


def _of_command(told: dict[str, Any], output: str, verdict) -> Verdict:
    status = told["status"]
    lines = [line for line in output.splitlines() if line.strip()]
    if "panicked at" in output or "Traceback (most recent" in output:
        return verdict("noise", _tail(output))
    if status == 2:  # the arguments themselves
        return verdict("refused", lines[-1] if lines else "")
    said = [line for line in lines if line.startswith("saematch: ")]
    if status != 1 or len(said) != 1 or lines[-1] != said[0]:
        return verdict("untidy end", f"status {status}: {' / '.join(lines[-3:])}")
    return verdict("refused", said[0])


def _plain(text: str) -> bool:
    return not re.search("[\ud800-\udfff\x00-\x08\x0b-\x1f\x7f]", text.replace("\n", " "))


def _tail(output: str) -> str:
    return " / ".join(output.strip().splitlines()[-3:])[-300:]

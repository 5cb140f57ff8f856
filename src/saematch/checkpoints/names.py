"""The names that people type for SAEs: what their parts are, and patterns over many."""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass

from saematch.errors import CheckpointError

_BRACES = re.compile(r"\{([^{}]*)\}")
_HUB = re.compile(
    r"(?P<repo>[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*)(?:@(?P<revision>[^/]+))?(?:/(?P<inner>.+))?"
)


@dataclass(frozen=True)
class HubName:
    """`org/repo@revision/inner/path` in its parts."""

    repo: str
    revision: str | None = None
    inner: str = ""

    def __str__(self) -> str:
        revision = f"@{self.revision}" if self.revision else ""
        return f"{self.repo}{revision}" + (f"/{self.inner}" if self.inner else "")


def parse_hub(name: str) -> HubName | None:
    """The parts of a hub name; none where `name` is not of that form."""
    found = _HUB.fullmatch(name.strip("/"))
    if found is None:
        return None
    return HubName(found["repo"], found["revision"], (found["inner"] or "").strip("/"))


def expand_braces(pattern: str) -> list[str]:
    """`layer_{0-2}` -> layer_0, layer_1, layer_2; `{a,b}` -> a, b; several braces multiply.

    Raises:
        CheckpointError: an unbalanced brace, an empty item or a range that runs backwards.
    """
    pieces = _BRACES.split(pattern)
    if any("{" in piece or "}" in piece for piece in pieces[::2]):
        raise CheckpointError(f"{pattern}: its braces do not pair up")
    choices = [
        [piece] if i % 2 == 0 else _choices(piece, pattern) for i, piece in enumerate(pieces)
    ]
    return ["".join(parts) for parts in itertools.product(*choices)]


def _choices(inside: str, pattern: str) -> list[str]:
    found: list[str] = []
    for item in inside.split(","):
        span = re.fullmatch(r"\s*(\d+)\s*-\s*(\d+)\s*", item)
        if span is None:
            if not item.strip():
                raise CheckpointError(f"{pattern}: nothing between the braces or commas")
            found.append(item.strip())
            continue
        first, last = int(span[1]), int(span[2])
        if last < first:
            raise CheckpointError(f"{pattern}: the range {item.strip()} runs backwards")
        # a leading zero keeps the width: {00-11}
        width = len(span[1]) if span[1].startswith("0") and len(span[1]) > 1 else 0
        found += [str(number).zfill(width) for number in range(first, last + 1)]
    return found

"""The names that people type for SAEs: what their parts are, and patterns over many."""

from __future__ import annotations

import itertools
import math
import os
import re
from dataclasses import dataclass
from urllib.parse import unquote

from saematch.errors import CheckpointError

FORMS = (
    "a file or folder here (runs/layer_5), ORG/REPO/PATH on the Hugging Face hub "
    "(google/gemma-scope-2b-pt-res/layer_12/width_16k/average_l0_82), SAELens' RELEASE:ID "
    "(gemma-scope-2b-pt-res-canonical:layer_12/width_16k/canonical), or saematch:NAME "
    "(saematch:resid_post_3)"
)
MOST_NAMES = 100_000
_BRACES = re.compile(r"\{([^{}]*)\}")
_HUB = re.compile(
    r"(?P<repo>[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*)(?:@(?P<revision>[^/]+))?(?:/(?P<inner>.+))?"
)
_ADDRESS = re.compile(r"(?:https?://)?(?:www\.)?(?:huggingface\.co|hf\.co)/(?P<rest>.*)")
_NOT_MODELS = ("datasets", "spaces", "collections", "papers", "docs", "blog", "api")
_PAGE = re.compile(
    r"(?P<repo>[^/]+/[^/]+)/(?:tree|blob|resolve|raw)/(?P<revision>[^/]+)(?:/(?P<inner>.*))?"
)


@dataclass(frozen=True)
class HubName:
    """`org/repo@revision/inner/path` in its parts."""

    repo: str
    revision: str | None = None
    inner: str = ""

    def __str__(self) -> str:
        revision = "@" + self.revision.replace("/", "%2F") if self.revision else ""
        return f"{self.repo}{revision}" + (f"/{self.inner}" if self.inner else "")


def parse_hub(name: str) -> HubName | None:
    """The parts of a hub name; none where `name` is not of that form."""
    found = _HUB.fullmatch(name.strip("/"))
    if found is None:
        return None
    revision = found["revision"] and unquote(found["revision"])
    return HubName(found["repo"], revision, (found["inner"] or "").strip("/"))


def parse_address(name: str) -> HubName | None:
    """The hub name that an address means: one of the hub's pages, or `hf://org/repo/path`.

    Returns:
        Its parts; None where `name` is no address.

    Raises:
        CheckpointError: an address of another host, of a data set, or of no repository's files.
    """
    page, scheme = _ADDRESS.fullmatch(name), re.match(r"[A-Za-z][A-Za-z0-9+.-]+://", name)
    if page is None and scheme is None:
        return None
    found = None
    if page is not None:
        rest = re.split(r"[?#]", page["rest"])[0].strip("/")
        found = parse_hub(rest)
        if (parts := _PAGE.fullmatch(rest)) is not None:
            repo, revision, inner = (part and unquote(part) for part in parts.groups())
            found = HubName(repo, None if revision == "main" else revision, inner or "")
    elif name.startswith("hf://"):
        found = parse_hub(name.removeprefix("hf://").removeprefix("models/"))
    if found is None or found.repo.split("/")[0] in _NOT_MODELS or parse_hub(found.repo) is None:
        raise CheckpointError(
            f"{name}: no address of a model repository on the Hugging Face hub; expected "
            "https://huggingface.co/ORG/REPO/tree/main/PATH, or ORG/REPO/PATH in short"
        )
    return found


def expand_braces(pattern: str) -> list[str]:
    """`layer_{0-2}` -> layer_0, layer_1, layer_2; `{a,b}` -> a, b; several braces multiply.

    Braces in the part of a path that is there on disk are its own.

    Raises:
        CheckpointError: an unbalanced brace, an empty item, a range that runs backwards, or more
            than `MOST_NAMES` names.
    """
    there, pattern = _there(pattern)
    pieces = _BRACES.split(pattern)
    if any("{" in piece or "}" in piece for piece in pieces[::2]):
        raise CheckpointError(f"{pattern}: its braces do not pair up")
    choices = [
        [piece] if i % 2 == 0 else _choices(piece, pattern) for i, piece in enumerate(pieces)
    ]
    if math.prod(map(len, choices)) > MOST_NAMES:
        raise CheckpointError(f"{pattern}: it stands for more than {MOST_NAMES:,} names")
    return ["".join((there, *parts)) for parts in itertools.product(*choices)]


def _there(pattern: str) -> tuple[str, str]:
    """The folders of a pattern that exist, as they are typed, and the rest."""
    if "{" not in pattern and "}" not in pattern:
        return "", pattern
    ends = [i for i, letter in enumerate(pattern) if letter == "/" and i] + [len(pattern)]
    there = [i for i in ends if os.path.exists(os.path.expanduser(pattern[:i]))]
    end = there[-1] if there else 0
    return pattern[:end], pattern[end:]


def _choices(inside: str, pattern: str) -> list[str]:
    found: list[str] = []
    for item in inside.split(","):
        span = re.fullmatch(r"\s*(\d+)\s*-\s*(\d+)\s*", item)
        if span is None:
            if not item.strip():
                raise CheckpointError(f"{pattern}: nothing between the braces or commas")
            found.append(item.strip())
            continue
        if len(span[2]) > len(str(MOST_NAMES)):
            raise CheckpointError(f"{pattern}: the range {item.strip()[:40]} is too long")
        first, last = int(span[1]), int(span[2])
        if last < first:
            raise CheckpointError(f"{pattern}: the range {item.strip()} runs backwards")
        # a leading zero keeps the width: {00-11}
        width = len(span[1]) if span[1].startswith("0") and len(span[1]) > 1 else 0
        found += [str(number).zfill(width) for number in range(first, last + 1)]
    return found

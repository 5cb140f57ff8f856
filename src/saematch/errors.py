# pyright: strict
"""Errors that a user can mend: the message names what is wrong and what would be right."""

import re
from collections.abc import Sequence
from difflib import get_close_matches

LISTED = 20  # names in an error


class SaematchError(ValueError):
    """Base of every error that saematch raises on bad input; its message is one line."""

    def __init__(self, message: object = "") -> None:
        # names in it may come from a file, line breaks and all
        super().__init__(" ".join(str(message).splitlines()))


class CheckpointError(SaematchError):
    """A file or name that cannot be read as a sparse autoencoder."""


class MatchError(SaematchError):
    """A matching that was asked for and cannot be made."""


class RunError(SaematchError):
    """A run directory that cannot be read or written as asked."""


# optional dependencies, as in pyproject.toml: saematch is on no index that they could come from
EXTRAS = {
    "activations": "datasets transformers",
    "plots": "kaleido plotly",
    "sae-lens": "sae-lens",
}


def install(extra: str) -> str:
    """What to type where an optional dependency is missing."""
    return f"pip install {EXTRAS[extra]}, or in a clone of saematch pip install '.[{extra}]'"


def names_there(missed: str, names: Sequence[str], verb: str = "has") -> str:
    """For an error: which names there are, and which of them a missed one may have meant.

    That is the name most like it among those with the same numbers: `it has a_1, a_2`, `did you
    mean a_1? It has a_1, a_2`.
    """
    shown = ", ".join(names[:LISTED])
    if len(names) > LISTED:
        shown += f", ... ({len(names)} in all)"
    alike = [name for name in names if re.findall(r"\d+", name) == re.findall(r"\d+", missed)]
    meant = get_close_matches(missed, alike, n=1)
    return f"did you mean {meant[0]}? It {verb} {shown}" if meant else f"it {verb} {shown}"

# pyright: strict
"""Errors that users can fix: the message says what is wrong and what is expected."""

import re
from collections.abc import Sequence
from difflib import get_close_matches

LISTED = 25  # names in an error


class SaematchError(ValueError):
    """Base of every error that saematch raises on bad input; its message is one line."""

    def __init__(self, message: object = "") -> None:
        # names in it may come from a file, line breaks and all
        super().__init__(" ".join(str(message).splitlines()))


class CheckpointError(SaematchError):
    """A file or name that cannot be read as a sparse autoencoder."""


class MatchError(SaematchError):
    """A matching that cannot be made."""


class RunError(SaematchError):
    """A run directory that cannot be read or written as asked."""


# optional dependencies, as in pyproject.toml: saematch is on no index that they could come from
EXTRAS = {
    "activations": "datasets transformers",
    "cluster": "distributed",
    "judge": "openai wordllama",
    "plots": "kaleido plotly",
    "sae-lens": "sae-lens",
}


def install(extra: str) -> str:
    """The command that installs a missing optional dependency."""
    return f"pip install {EXTRAS[extra]}, or in a clone of saematch pip install '.[{extra}]'"


def names_there(missed: str, names: Sequence[str], verb: str = "has") -> str:
    """For an error: the names there are, and the one that was probably meant.

    That is the most similar name among those with the same numbers: `it has a_1, a_2`, `did you
    mean a_1? It has a_1, a_2`.
    """
    shown = ", ".join(names[:LISTED])
    if len(names) > LISTED:
        shown += f", ... ({len(names)} in all)"
    alike = [name for name in names if re.findall(r"\d+", name) == re.findall(r"\d+", missed)]
    meant = get_close_matches(missed, alike, n=1)
    return f"did you mean {meant[0]}? It {verb} {shown}" if meant else f"it {verb} {shown}"

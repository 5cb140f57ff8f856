"""Errors that a user can mend: the message names what is wrong and what would be right."""


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

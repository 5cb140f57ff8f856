"""Errors that a user can mend: the message names what is wrong and what would be right."""


class SaematchError(ValueError):
    """Base of every error that saematch raises on bad input."""


class CheckpointError(SaematchError):
    """A file or name that cannot be read as a sparse autoencoder."""


class MatchError(SaematchError):
    """A matching that was asked for and cannot be made."""


class RunError(SaematchError):
    """A run directory that cannot be read or written as asked."""

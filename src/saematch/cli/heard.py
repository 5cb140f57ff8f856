"""The activations that a command was given, read as they are asked for."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from saematch.activations import FeatureActivations


class Heard:
    """A store of activations, of which the SAE's on the first `tokens` are read by checksum.

    Raises:
        RunError: there is no such store, or it is not finished.
    """

    def __init__(self, path: Path, tokens: int | None = None) -> None:
        from saematch.activations.store import ActivationStore
        from saematch.errors import RunError

        self.store = ActivationStore.open(path)
        if self.store.finished is None:
            raise RunError(
                f"{path} is not finished: give its saematch activations command again, and it goes "
                "on where it stopped"
            )
        if tokens is not None and tokens > self.store.n_tokens:
            raise RunError(f"{path} has {self.store.n_tokens:,} tokens, fewer than {tokens:,}")
        self.tokens = tokens or self.store.n_tokens
        self._held: dict[str, FeatureActivations] = {}  # the last one used stands last

    @property
    def options(self) -> dict[str, Any]:
        """What the activations are of, as plain values, for a run."""
        cache = self.store.cache
        return {"model": cache["model"], "texts": cache["texts"], "tokens": self.tokens}

    def of(self, checksum: str) -> FeatureActivations:
        """Those of an SAE; never more than two are held."""
        if checksum not in self._held and len(self._held) == 2:
            del self._held[next(iter(self._held))]
        found = self._held.pop(checksum, None)
        if found is None:
            found = self.store.activations(self.store.named(checksum), self.tokens)
        self._held[checksum] = found
        return found

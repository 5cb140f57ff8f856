"""The activations that a command was given, read as they are asked for."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from saematch.activations import FeatureActivations
    from saematch.runs.records import SaeRecord
    from saematch.runs.run import Run


class Heard:
    """A store of activations, of which those on `tokens` of its tokens are read, all unless given.

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
        from saematch.activations.subsample import STRETCH

        record, total = self.store.record, self.store.n_tokens
        known = {"model": record.model, "dtype": record.options.get("dtype")}
        # with these two any reader finds the same tokens, and a run knows that they are the same
        some = {} if self.tokens == total else {"of": total, "stretch": STRETCH}
        return {**known, "texts": record.texts, "tokens": self.tokens, **some}

    def name_of(self, sae: SaeRecord) -> str:
        """What the store calls an SAE of a run, given its record in run.json.

        Raises:
            RunError: the store does not have it.
        """
        site = sae.conventions.site
        return self.store.named(sae.checksum, None if site is None else site.hook)

    def describe(self, run: Run) -> None:
        """Tell a run what the features of its SAEs fire on, of those that came without contexts."""
        from saematch.activations.describe import features_table
        from saematch.errors import RunError

        for sae in run.record.saes if self.store.n_tokens else ():
            if sae.contexts is not None:
                continue
            try:
                name = self.name_of(sae)
            except RunError:
                continue
            run.add_contexts(sae.name, features_table(self.store, name))

    def of(self, sae: SaeRecord) -> FeatureActivations:
        """Those of an SAE of a run; never more than two are held."""
        name = self.name_of(sae)
        if name not in self._held and len(self._held) == 2:
            del self._held[next(iter(self._held))]
        found = self._held.pop(name, None)
        self._held[name] = self.store.activations(name, self.tokens) if found is None else found
        return self._held[name]

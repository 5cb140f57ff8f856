"""The activations that a workflow was given: in a store, or those of two SAEs in memory."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from saematch.activations.describe import features_table
from saematch.activations.store import ActivationStore
from saematch.activations.subsample import STRETCH
from saematch.activations.table import FeatureActivations
from saematch.errors import MatchError, RunError
from saematch.models.jacobian import Jacobian
from saematch.numerics.held import Held
from saematch.progress import Progress
from saematch.runs.records import SaeRecord
from saematch.runs.run import Run
from saematch.sae.checksum import checksum
from saematch.sae.sae import SAE
from saematch.workflows.saes import Saes

Both = tuple[FeatureActivations, FeatureActivations]


@dataclass(frozen=True)
class PairEvidence:
    """What is known of a pair besides weights, as far as it must travel."""

    store: Path | None = None  # of activations, on a disk that every worker sees
    tokens: int | None = None
    jacobian: Jacobian | None = None


class StoredTokens:
    """A store of activations, of which `tokens` tokens are read, all unless given.

    Raises:
        RunError: there is no such store, it is not finished, or it has fewer tokens.
    """

    def __init__(self, store: ActivationStore | str | Path, tokens: int | None = None) -> None:
        self.store = store if isinstance(store, ActivationStore) else ActivationStore.open(store)
        path = self.store.path
        if self.store.finished is None:
            raise RunError(
                f"{path} is not finished: repeat its saematch capture command, which continues "
                "where it stopped"
            )
        if tokens is not None and tokens > self.store.n_tokens:
            raise RunError(f"{path} has {self.store.n_tokens:,} tokens, fewer than {tokens:,}")
        self.tokens = tokens or self.store.n_tokens
        self._held = Held[str, FeatureActivations](
            lambda name: self.store.activations(name, self.tokens)
        )

    @property
    def options(self) -> dict[str, Any]:
        """What the activations are of, as plain values, for a run."""
        record, total = self.store.record, self.store.n_tokens
        options = {key: record.options.get(key) for key in ("dtype", "massive")}
        known = {"model": record.model, **options}
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
        """Add to a run what features fire on, for its SAEs that came without contexts."""
        for sae in run.record.saes if self.store.n_tokens else ():
            if sae.contexts is not None:
                continue
            try:
                name = self.name_of(sae)
            except RunError:
                continue
            run.add_contexts(sae.name, features_table(self.store, name))

    def prepare(
        self, run: Run | None, saes: Saes, pairs: Sequence[tuple[int, int]], progress: Progress
    ) -> None:
        """Check that the SAEs of those pairs are in the store, and describe a run's features.

        Raises:
            RunError: one is not.
        """
        if run is None:
            return
        for place in sorted({place for pair in pairs for place in pair}):
            self.name_of(run.record.saes[place])
        self.describe(run)

    def both(self, a: SAE, b: SAE) -> Both:
        """Activations of two SAEs; no more than two are held.

        Raises:
            RunError: the store lacks one of them.
        """
        return self._of(a), self._of(b)

    def of_pair(self, run: Run, a: str, b: str) -> PairEvidence:
        """The same as it travels to another process."""
        return PairEvidence(self.store.path.resolve(), self.tokens)

    def jacobian(self, a: SAE, b: SAE) -> None:
        """None: activations say nothing of what the model does between two hook points."""

    def _of(self, sae: SAE) -> FeatureActivations:
        site = sae.conventions.site
        return self._held[self.store.named(checksum(sae), None if site is None else site.hook)]


class TokensInMemory:
    """Activations of two SAEs on the same tokens."""

    def __init__(self, both: Both) -> None:
        self._both = both

    @property
    def options(self) -> dict[str, Any]:
        """What tells them from others, as plain values, for a run."""
        found = hashlib.sha256()
        for table in self._both:
            for part in (table.matrix.data, table.matrix.indices, table.matrix.indptr):
                found.update(part.tobytes())
            found.update(table.example.tobytes())
        return {"tokens": self._both[0].n_tokens, "digest": f"sha256:{found.hexdigest()}"}

    def prepare(
        self, run: Run | None, saes: Saes, pairs: Sequence[tuple[int, int]], progress: Progress
    ) -> None:
        """Nothing: they tell no contexts."""

    def of_pair(self, run: Run, a: str, b: str) -> PairEvidence:
        """Never: raises MatchError."""
        raise MatchError("activations in memory are not sent to workers: give a store's folder")

    def jacobian(self, a: SAE, b: SAE) -> None:
        """None, as of a store."""

    def both(self, a: SAE, b: SAE) -> Both:
        return self._both

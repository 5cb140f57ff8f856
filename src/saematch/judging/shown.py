"""What is known of the features that are judged: labels, contexts from two halves of text.

What is shown of A comes from the one half of the text, what is shown of B from the other. Of one
half, two features that fire on the same tokens would be shown in the same sentences, which any
judge would notice whatever they mean.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property

import numpy as np
import polars as pl
from numpy import ndarray

from saematch.activations.correlations import correlations
from saematch.activations.describe import contexts_apart
from saematch.activations.store import ActivationStore
from saematch.errors import MatchError
from saematch.judging.cases import Case, Feature
from saematch.runs.run import Run
from saematch.sae.contexts import Context

LEAST = 10  # tokens on which a feature must fire to be judged
CONTEXTS = 8  # of each half
TOKENS = 8  # of a description by tokens


class Shown:
    """Labels, and what a store of activations says of features.

    Args:
        run: whose features are judged.
        store: activations of the run's SAEs; without it there are only labels.
        named: what the store calls each SAE of the run.
        labels: `site`, `feature`, `label`: descriptions that were given.
    """

    def __init__(
        self,
        run: Run,
        store: ActivationStore | None = None,
        named: Mapping[str, str] | None = None,
        labels: pl.DataFrame | None = None,
    ) -> None:
        self._run, self._store, self._named = run, store, named or {}
        self._given = labels
        self._contexts: dict[Feature, tuple[list[Context], list[Context]]] = {}
        self._often: dict[str, ndarray] = {}

    @property
    def has_text(self) -> bool:
        """Whether there are activations on text."""
        return self._store is not None

    @cached_property
    def labels(self) -> dict[Feature, str]:
        """The labels that were given."""
        if self._given is None:
            return {}
        rows = self._given.select("site", "feature", "label").iter_rows()
        return {Feature(site, feature): label for site, feature, label in rows}

    def often(self, site: str) -> ndarray:
        """`(features,)` float64: on how many tokens each feature fires; NaN without a store."""
        if site not in self._often:
            width = self._run.sae(site).d_sae
            self._often[site] = np.full(width, np.nan)
            if self._store is not None:
                counts = np.zeros(width)
                for part in self._store.shards(self._named[site]):
                    counts += part.counts()
                self._often[site] = counts
        return self._often[site]

    def usable(self, site: str) -> ndarray:
        """`(features,)` bool: which can be judged: they fire, or without a store have a label."""
        if self._store is not None:
            return self.often(site) >= LEAST
        known = np.zeros(self._run.sae(site).d_sae, bool)
        known[[feature.number for feature in self.labels if feature.site == site]] = True
        return known

    def read(self, cases: Sequence[Case], contexts: int = CONTEXTS) -> None:
        """Read the contexts of all features of some cases at once."""
        if self._store is None:
            return
        wanted: dict[str, set[int]] = {}
        for case in cases:
            for feature in (case.a, case.b, *case.negatives):
                if feature not in self._contexts:
                    wanted.setdefault(feature.site, set()).add(feature.number)
        for site, some in wanted.items():
            features = sorted(some)
            found = contexts_apart(self._store, self._named[site], features, contexts=contexts)
            for index, halves in zip(features, found, strict=True):
                self._contexts[Feature(site, index)] = halves

    def contexts(self, feature: Feature, half: int) -> list[Context]:
        """The strongest contexts of a feature in one half of the text, the best first.

        Raises:
            MatchError: there is no text.
        """
        if self._store is None:
            raise MatchError(
                "this judge reads what features fire on: give activations (--activations), "
                "which saematch capture makes"
            )
        return self._contexts[feature][half]

    def description(self, feature: Feature, half: int) -> str | None:
        """A feature's label; without one, the tokens it fires on most in a half of the text."""
        if feature in self.labels:
            return self.labels[feature]
        if self._store is None:
            return None
        tokens = dict.fromkeys(context.token for context in self.contexts(feature, half))
        if not tokens:
            return None
        return "fires on the tokens " + ", ".join(f"«{token}»" for token in [*tokens][:TOKENS])

    def correlations(self, cases: Sequence[Case]) -> ndarray:
        """`(cases,)` float64: Pearson correlation of each pair of features over all tokens.

        Raises:
            MatchError: there is no text.
        """
        if self._store is None:
            raise MatchError("correlations are of activations: give them (--activations)")
        found = np.zeros(len(cases))
        places: dict[tuple[str, str], list[int]] = {}
        for place, case in enumerate(cases):
            places.setdefault((case.a.site, case.b.site), []).append(place)
        for sites, some in places.items():
            one, other = (self._store.stream(self._named[site]) for site in sites)
            i, j = (np.array([getattr(cases[k], end).number for k in some]) for end in ("a", "b"))
            found[some] = correlations(one, other, i, j)
        return found

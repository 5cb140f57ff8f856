"""The text sets that dashboards are of: stores of activations, one after the other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import polars as pl

from saematch.activations.store import ActivationStore
from saematch.activations.table import FeatureActivations


@dataclass(frozen=True, eq=False)
class Part:
    """Some whole examples of a text set: what an SAE's features do there."""

    text: int  # which text set
    first: int  # the number of the first token among those of all text sets
    activations: FeatureActivations


@dataclass(frozen=True, eq=False)
class TextSets:
    """One SAE on several text sets, shard by shard; tokens are numbered through all of them."""

    stores: Sequence[ActivationStore]
    names: Sequence[str]  # what each store calls the SAE

    @property
    def d_sae(self) -> int:
        return self.stores[0].sae(self.names[0]).d_sae

    @property
    def tokens(self) -> list[int]:
        """The number of tokens of each text set."""
        return [store.n_tokens for store in self.stores]

    def parts(self) -> Iterator[Part]:
        """What the features do, one shard in memory at a time."""
        first = 0
        for text, (store, name) in enumerate(zip(self.stores, self.names, strict=True)):
            for shard in store.shards(name):
                yield Part(text, first, shard)
                first += shard.n_tokens

    def words(self) -> Iterator[pl.DataFrame]:
        """The tables of tokens (`token_id`, `example`, `piece`), in the order of `parts`."""
        for store in self.stores:
            yield from store.token_shards()

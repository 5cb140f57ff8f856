"""A store put together from others, each of which holds the activations on a part of its texts."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import polars as pl

from saematch.activations.store import ActivationStore
from saematch.activations.store_manifest import TOKENS, whole

Taken = list[tuple[ActivationStore, int]]  # shards of parts, by their numbers there


def merged(
    path: str | Path, parts: Sequence[ActivationStore], overwrite: bool = False
) -> ActivationStore:
    """The store that one capture of all the texts would have made, cut at the same places.

    It goes on where it stopped.

    Args:
        path: its directory.
        parts: in the order of their texts; each batch is a shard of its own there.
        overwrite: discard a store that was made otherwise.

    Raises:
        RunError: as of `ActivationStore.create`; or a table of a part cannot be read.
    """
    store = ActivationStore.begin(Path(path), whole(parts[0].record), None, overwrite)
    if store.finished:
        return store
    waiting: Taken = []
    for part in parts:
        for number, shard in enumerate(part.record.shards):
            if shard.last_example < store.next_example:
                continue
            waiting.append((part, number))
            if _tokens(waiting) >= store.record.shard_tokens:
                take_over(store, waiting)
                waiting = []
    if waiting:
        take_over(store, waiting)
    store.finish()
    return store


def take_over(store: ActivationStore, taken: Taken) -> None:
    """Write some shards of parts as one."""
    shards = [part.record.shards[number] for part, number in taken]
    tables = {name: partial(_joined, store, name, taken) for name in (TOKENS, *store.names)}
    examples = shards[0].first_example, shards[-1].last_example
    store.write_tables(tables, _tokens(taken), examples)


def _joined(store: ActivationStore, name: str, taken: Taken) -> pl.DataFrame:
    """A table of shards of parts, with their tokens numbered as in the whole."""
    found, first = [], store.n_tokens
    for part, number in taken:
        shards = part.record.shards
        before = sum(shard.tokens for shard in shards[:number])
        moved = pl.col("token") + pl.lit(first - before, pl.Int32)
        found.append(part.table(name, number).with_columns(moved))
        first += shards[number].tokens
    return pl.concat(found)


def _tokens(taken: Taken) -> int:
    return sum(part.record.shards[number].tokens for part, number in taken)

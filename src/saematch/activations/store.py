"""Activations of any number of SAEs on disk, in files that other programs can read.

    cache.json              model, texts, SAEs and options they were made with, and the shards
    tokens/00000.parquet    token (place in the whole text), example, position, token_id, piece
    NAME/00000.parquet      of one SAE: token, feature, value, in the order of tokens and features
    NAME/features.parquet   of one SAE: what its features fire on, once the store is finished

A shard holds whole examples and is listed in cache.json only once all its files are complete; what
is not listed does not belong to the store. So a capture may be stopped anywhere, and continues with
`next_example`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Self

import numpy as np
import polars as pl
import scipy.sparse as sp
from msgspec import UNSET
from msgspec.structs import replace
from numpy import ndarray

from saematch.activations.batch import Batch
from saematch.activations.pair_sums import MOST_TOKENS
from saematch.activations.shards import (
    PiecesOf,
    activations_table,
    read_activations,
    tokens_table,
)
from saematch.activations.store_manifest import (
    CACHE,
    STORE_FILE,
    TOKENS,
    Shard,
    StoredSae,
    StoreRecord,
    emptied,
    new_store,
)
from saematch.activations.subsample import spread
from saematch.activations.table import FeatureActivations
from saematch.errors import RunError, names_there
from saematch.files.directory import refuse_links, remove, sweep_folder, writing
from saematch.files.foreign import read_parquet
from saematch.files.lock import WriterLock
from saematch.files.records import now
from saematch.files.share import SHARDS, ShardRecord
from saematch.models.texts import GENERATED
from saematch.sae.contexts import FILE
from saematch.sae.sae import SAE

SHARD_TOKENS = 65_536
TOKEN_COLUMNS = ("token", "example", "position", "token_id", "piece")
VALUE_COLUMNS = ("token", "feature", "value")


@dataclass(frozen=True)
class StoredActivations:
    """The activations of one SAE in a store, read shard by shard."""

    store: ActivationStore
    name: str

    @property
    def d_sae(self) -> int:
        return self.store.sae(self.name).d_sae

    def shards(self) -> Iterator[FeatureActivations]:
        yield from self.store.shards(self.name)


class ActivationStore:
    """A store, made by `ActivationStore.create` or read by `ActivationStore.open`.

    `record` is the content of cache.json. A store that was created may be written to by this
    process alone until it is finished or gone.
    """

    def __init__(
        self,
        path: Path,
        record: StoreRecord,
        pieces: PiecesOf | None = None,
        lock: WriterLock | None = None,
    ) -> None:
        self.path = path
        self.record = record
        self._pieces = pieces
        self._lock = lock
        self._waiting: list[Batch] = []

    @classmethod
    def create(
        cls,
        path: str | Path,
        *,
        model: str,
        texts: Mapping[str, Any],
        saes: Mapping[str, SAE],
        options: Mapping[str, Any] | None = None,
        pieces: PiecesOf | None = None,
        shard_tokens: int = SHARD_TOKENS,
        overwrite: bool = False,
        shard: ShardRecord | None = None,
    ) -> ActivationStore:
        """Start a store, or continue the same one where it stopped.

        Args:
            path: the directory; made if it is missing.
            model: the name of the language model.
            texts: what identifies the texts, as plain values.
            saes: the SAEs by name; a name becomes a folder.
            options: whatever else the activations depend on, as plain values.
            pieces: maps the token ids of an example to the text of each, for the column `piece`
                (`saematch.models.token_text`); two stores do not differ by it.
            shard_tokens: a shard is written once it has this many tokens; examples stay whole, so
                it may have more.
            overwrite: discard a store that was made with other arguments.
            shard: of which whole it is a part; then every batch becomes a shard of tokens, so that
                all parts can be put together as one store would be cut.

        Raises:
            RunError: the directory has a store that was made with other arguments, or one that
                cannot be read (both only without `overwrite`), or files that do not belong to a
                store; another program is writing to it; or one of its folders is a link.
        """
        asked = {**(options or {}), "shard_tokens": int(shard_tokens)}
        new = new_store(model, texts, saes, asked, shard or UNSET)
        return cls.begin(Path(path), new, pieces, overwrite)

    @classmethod
    def begin(cls, path: Path, new: StoreRecord, pieces: PiecesOf | None, overwrite: bool) -> Self:
        """As `create`, from the record of an empty store."""
        saes = [sae.name for sae in new.saes]
        lock, there, same = STORE_FILE.begin(path, new, overwrite)
        old = there or new
        folders = {TOKENS, *saes, *(sae.name for sae in old.saes)}
        refuse_links(path, (f"{folder}/x" for folder in {*folders, SHARDS}))
        if there is not None and same:
            store = cls(path, there, pieces, lock)
            store._keep_what_is_there()
            return store
        # emptied first: from here on no file of the old store counts
        if there is not None:
            STORE_FILE.save(path, emptied(there))
        # one more than are listed: that of a writer that was killed
        numbers = range(len(old.shards) + 1)
        remove(path, (_place(folder, number) for folder in folders for number in numbers))
        remove(path, (f"{folder}/{FILE}" for folder in folders))
        store = cls(path, new, pieces, lock)
        store._save()
        store._sweep()
        return store

    @classmethod
    def open(cls, path: str | Path) -> ActivationStore:
        """Open an existing store, finished or not.

        Raises:
            RunError: there is none, or its cache.json cannot be read.
        """
        return cls(Path(path), STORE_FILE.open(Path(path)))

    @property
    def names(self) -> list[str]:
        """The names of the SAEs, in the order they were given."""
        return [sae.name for sae in self.record.saes]

    @property
    def n_tokens(self) -> int:
        """The number of tokens on disk."""
        return sum(shard.tokens for shard in self.record.shards)

    @property
    def next_example(self) -> int:
        """The first example that is neither on disk nor waiting to be written."""
        if self._waiting:
            return int(self._waiting[-1].example[-1]) + 1
        shards = self.record.shards
        return shards[-1].last_example + 1 if shards else 0

    @property
    def finished(self) -> str | None:
        """When `finish` was called, ISO 8601 in UTC."""
        return self.record.finished

    @property
    def bytes(self) -> int:
        """The size of the shards on disk."""
        return sum(sum(shard.bytes.values()) for shard in self.record.shards)

    def sae(self, name: str) -> StoredSae:
        """What cache.json tells of an SAE: checksum, hook, d_sae."""
        for sae in self.record.saes:
            if sae.name == name:
                return sae
        raise RunError(f"{self.path} has no SAE {name!r}; {names_there(name, self.names)}")

    def named(self, checksum: str, hook: str | None = None) -> str:
        """What the store calls the SAE of that checksum (`saematch.sae.checksum`).

        With `hook`, of those weights read at that site.

        Raises:
            RunError: it holds none of it.
        """
        known = [sae for sae in self.record.saes if sae.checksum == checksum]
        for sae in known:
            if hook in (None, sae.hook):
                return sae.name
        there = f"an SAE of these weights; it has those of {', '.join(self.names)}"
        if known:
            there = f"{known[0].name} at {hook}; it has those at {known[0].hook}"
        raise RunError(
            f"{self.path} has no activations of {there}: make them with saematch capture"
        )

    def __repr__(self) -> str:
        state = "finished" if self.finished else f"up to example {self.next_example}"
        return (
            f"ActivationStore({str(self.path)!r}: {len(self.names)} SAEs, "
            f"{self.n_tokens:,} tokens, {state})"
        )

    def add(self, batch: Batch) -> None:
        """Queue more examples; they are written once a shard is full, or by `finish`.

        Raises:
            RunError: the store is finished, an example of the batch was added before, or the batch
                has other SAEs than the store.
        """
        if self.finished:
            raise RunError(f"{self.path} is finished; activations of more text need another store")
        if batch.n_tokens == 0:
            return
        for name in self.names:
            found, width = batch.saes.get(name), self.sae(name).d_sae
            if found is None or found.d_sae != width:
                got = "none" if found is None else f"{found.d_sae:,}"
                raise RunError(f"a batch with {got} features of {name}; the store is of {width:,}")
        if batch.example[0] < self.next_example:
            raise RunError(
                f"example {int(batch.example[0])} was added before; {self.path} goes on with "
                f"example {self.next_example}, and a batch holds whole examples"
            )
        self._waiting.append(batch)
        full = sum(b.n_tokens for b in self._waiting) >= self.record.shard_tokens
        if full or self.record.shard:
            self._write_shard()

    def finish(self) -> None:
        """Write the queued examples, and record that the store is complete."""
        if self._waiting:
            self._write_shard()
        if self.finished is None:
            self._save(finished=now())
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def activations(self, name: str, tokens: int | None = None) -> FeatureActivations:
        """All activations of an SAE, or those on some tokens of all its texts, in memory.

        Args:
            name: the name of the SAE.
            tokens: how many; `saematch.activations.subsample` chooses them, the same for every SAE
                of the store. Examples keep their numbers. Shards without any of them are not read.

        Raises:
            RunError: there is no such SAE, or a shard cannot be read.
            SaematchError: the store has fewer tokens.
        """
        total = self.n_tokens
        wanted = None if tokens is None or tokens == total else spread(total, tokens)
        parts, first = [], 0
        for number, shard in enumerate(self.record.shards):
            last = first + shard.tokens
            if wanted is None:
                parts.append(self._shard(name, number, first))
            else:
                rows = wanted[slice(*np.searchsorted(wanted, [first, last]))] - first
                if len(rows):
                    parts.append(self._shard(name, number, first).take(rows))
            first = last
        if not parts:
            empty = sp.csr_array((0, self.sae(name).d_sae), dtype=np.float32)
            return FeatureActivations(empty, np.zeros(0, np.int32))
        # not `joined`: examples have their numbers in the whole text
        matrix = sp.csr_array(sp.vstack([part.matrix for part in parts], format="csr"))
        example = np.concatenate([part.example for part in parts])
        return FeatureActivations(matrix, example, GENERATED in self.record.texts.get("from", ()))

    def counts(self, name: str) -> ndarray:
        """`(d_sae,)` int64: the number of tokens on which each feature of an SAE fired."""
        width = self.sae(name).d_sae
        return sum((part.counts() for part in self.shards(name)), np.zeros(width, np.int64))

    def stream(self, name: str) -> StoredActivations:
        """The activations of an SAE, which can be read shard by shard any number of times."""
        self.sae(name)
        return StoredActivations(self, name)

    def shards(self, name: str) -> Iterator[FeatureActivations]:
        """The activations of an SAE, one shard at a time."""
        first = 0
        for number, shard in enumerate(self.record.shards):
            yield self._shard(name, number, first)
            first += shard.tokens

    def _shard(self, name: str, number: int, first: int) -> FeatureActivations:
        width, shard = self.sae(name).d_sae, self.record.shards[number]
        place = self.path / _place(name, number)
        told = shard.tokens, shard.nonzeros[name]
        table = self.table(name, number)
        found = read_activations(table, self._tokens(number, ["example"]), first, width, place)
        if (found.n_tokens, found.matrix.nnz) != told:
            raise RunError(f"{place}: not what {CACHE} tells of it; make the store again")
        return found

    def _tokens(self, number: int, columns: Sequence[str]) -> pl.DataFrame:
        most = self.record.shards[number].tokens
        place = self.path / _place(TOKENS, number)
        return read_parquet(place, columns, error=RunError, most_rows=most)

    def token_shards(self) -> Iterator[pl.DataFrame]:
        """The tables `tokens/`, one shard at a time, in the order of `shards`."""
        for number in range(len(self.record.shards)):
            yield self._tokens(number, TOKEN_COLUMNS)

    def _write_shard(self) -> None:
        batches, first = self._waiting, self.n_tokens
        examples = int(batches[0].example[0]), int(batches[-1].example[-1])
        tables = {TOKENS: lambda: tokens_table(batches, first, self._pieces)}
        for name in self.names:
            parts = [batch.saes[name] for batch in batches]
            tables[name] = partial(activations_table, parts, first)
        self.write_tables(tables, sum(batch.n_tokens for batch in batches), examples)
        self._waiting = []

    def table(self, name: str, number: int) -> pl.DataFrame:
        """The table of an SAE, or of `tokens`, in a shard, as it is stored."""
        if name == TOKENS:
            return self._tokens(number, TOKEN_COLUMNS)
        most = self.record.shards[number].nonzeros[name]
        place = self.path / _place(name, number)
        return read_parquet(place, VALUE_COLUMNS, error=RunError, most_rows=most)

    def write_tables(
        self, tables: Mapping[str, Callable[[], pl.DataFrame]], n: int, examples: tuple[int, int]
    ) -> None:
        """Write the tables of a shard of `n` tokens, made one after the other, and list it."""
        number = len(self.record.shards)
        if self.n_tokens + n > MOST_TOKENS:
            raise RunError(f"{self.path} cannot hold more than {MOST_TOKENS:,} tokens")
        rows = {}
        for name, made in tables.items():
            frame = made()
            self._write(_place(name, number), frame)
            rows[name] = frame.height
        shard = Shard(
            tokens=n,
            first_example=examples[0],
            last_example=examples[1],
            nonzeros={name: rows[name] for name in self.names},
            bytes={name: (self.path / _place(name, number)).stat().st_size for name in tables},
        )
        self._save(shards=[*self.record.shards, shard])

    def _keep_what_is_there(self) -> None:
        """Drop shards from the first on that lacks a file; what killed writers left, too."""
        self._sweep()
        shards = self.record.shards
        for number in range(len(shards)):
            places = (_place(part, number) for part in (TOKENS, *self.names))
            if not all((self.path / place).is_file() for place in places):
                self._save(shards=shards[:number], finished=None)
                break

    def _sweep(self) -> None:
        for folder in (".", TOKENS, *self.names):
            sweep_folder(self.path, folder)

    def _save(self, **changed: Any) -> None:
        record = replace(self.record, **changed)
        STORE_FILE.save(self.path, record)
        self.record = record

    def _write(self, place: str, frame: pl.DataFrame) -> None:
        with writing(self.path, place) as unfinished:
            frame.write_parquet(unfinished)


def _place(part: str, number: int) -> str:
    return f"{part}/{number:05d}.parquet"

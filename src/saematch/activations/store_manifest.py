"""The content of an activation store's cache.json, and which shards count."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, Any

from msgspec import UNSET, Meta, UnsetType
from msgspec.structs import replace

import saematch
from saematch.activations.pair_sums import MOST_TOKENS
from saematch.errors import RunError
from saematch.files.differences import option_differences
from saematch.files.manifest_file import Manifest, ManifestFile
from saematch.files.records import Count, Name, Record, now, outside, plain
from saematch.files.share import ShardRecord, shard_differences
from saematch.sae.checksum import checksum
from saematch.sae.records import ConventionsRecord, Width, sae_differences
from saematch.sae.sae import SAE

CACHE = "cache.json"
FORMAT = "saematch activations"
VERSION = 1  # of the format; larger when a reader of an older one would misread it
TOKENS = "tokens"


class StoredSae(Record, frozen=True, kw_only=True):
    """An SAE of a store; its name is a folder's."""

    name: Name
    checksum: str
    hook: str
    d_sae: Width
    conventions: ConventionsRecord

    def __post_init__(self) -> None:
        if self.name == TOKENS:
            raise ValueError(f"the name {TOKENS!r} is that of the texts' folder")


class Shard(Record, frozen=True, kw_only=True):
    """Some whole examples, in one file for the tokens and one for each SAE."""

    tokens: Annotated[int, Meta(ge=0, le=MOST_TOKENS)]
    first_example: int
    last_example: int
    nonzeros: dict[str, Count]
    bytes: dict[str, Count]


class StoreRecord(Manifest, frozen=True, kw_only=True):
    """cache.json: model, texts, SAEs and options, and the shards that are there."""

    created: str
    finished: str | None
    model: str
    texts: dict[str, Any]
    options: dict[str, Any]
    saes: list[StoredSae]
    shards: list[Shard]

    def __post_init__(self) -> None:
        widths = {sae.name: sae.d_sae for sae in self.saes}
        if len(widths) != len(self.saes):
            raise ValueError("two of $.saes have one name")
        if not isinstance(self.shard_tokens, int) or self.shard_tokens < 1:
            raise ValueError(f"$.options.shard_tokens is {self.shard_tokens!r:.99}")
        for number, shard in enumerate(self.shards):
            if shard.nonzeros.keys() != widths.keys():
                raise ValueError(f"$.shards[{number}].nonzeros is not of $.saes")
            # what no file of that size could hold
            if any(found > shard.tokens * widths[name] for name, found in shard.nonzeros.items()):
                raise ValueError(f"$.shards[{number}] has {shard.tokens:,} tokens, too few")

    @property
    def shard_tokens(self) -> int:
        """A shard is written once it has as many."""
        return self.options.get("shard_tokens", 0)


def new_store(
    model: str,
    texts: Mapping[str, Any],
    saes: Mapping[str, SAE],
    options: Mapping[str, Any],
    shard: ShardRecord | UnsetType = UNSET,
) -> StoreRecord:
    """The record of a store that holds nothing yet.

    Raises:
        RunError: a name cannot be that of a folder beside `tokens`.
    """
    for name in saes:
        if outside(name) or name == TOKENS:
            raise RunError(f"{name!r} cannot name an SAE of a store: it becomes a folder's name")
    return StoreRecord(
        format=FORMAT,
        format_version=VERSION,
        saematch=saematch.__version__,
        created=now(),
        finished=None,
        model=model,
        # as they will be read again: tuples become lists
        texts=json.loads(json.dumps(plain(texts))),
        options=json.loads(json.dumps(plain(options))),
        saes=[_stored(name, sae) for name, sae in saes.items()],
        shards=[],
        shard=shard,
    )


def emptied(record: StoreRecord) -> StoreRecord:
    """The record of the same store with nothing in it."""
    return replace(record, shards=[], finished=None)


def whole(record: StoreRecord) -> StoreRecord:
    """The record of the store that another is a part of, with nothing in it yet."""
    return replace(emptied(record), created=now(), shard=UNSET)


def _stored(name: str, sae: SAE) -> StoredSae:
    return StoredSae(
        name=name,
        checksum=checksum(sae),
        hook=str(sae.conventions.site or ""),
        d_sae=sae.d_sae,
        conventions=ConventionsRecord.of(sae),
    )


def differences(there: StoreRecord, here: StoreRecord) -> list[str]:
    """The differences between two stores, in words; empty if they hold the same."""

    def asked(record: StoreRecord) -> dict[str, Any]:
        texts = {key: value for key, value in record.texts.items() if key != "digest"}
        return {**record.options, "texts": texts, "model": record.model}

    found = []
    if there.saematch != here.saematch:
        found.append(f"made by saematch {there.saematch}, not {here.saematch}")
    found += shard_differences(there.shard, here.shard)
    found += option_differences(asked(there), asked(here)) + sae_differences(there.saes, here.saes)
    found += [
        f"{old.name} is read at {old.hook} there, at {new.hook} here"
        for old, new in zip(there.saes, here.saes, strict=False)
        if old.name == new.name and old.hook != new.hook
    ]
    # what follows from another option is said by that alone
    if not found and there.texts.get("digest") != here.texts.get("digest"):
        found.append("the texts have other tokens there")
    return found


STORE_FILE = ManifestFile(
    file=CACHE,
    kind="store of activations",
    of=StoreRecord,
    format=FORMAT,
    version=VERSION,
    differences=differences,
    has_results=lambda record: bool(record.shards),
)

"""What run.json and cache.json tell of an SAE: where it reads, how it is applied, its weights."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Annotated, Protocol, cast

from msgspec import Meta

from saematch.files.differences import word
from saematch.files.records import Number, Record, plain, read_record
from saematch.sae.sae import SAE, Site, SiteKind

MOST_FEATURES = 1 << 28  # of an SAE; a larger number is damage
Width = Annotated[int, Meta(gt=0, lt=MOST_FEATURES)]
_APPLIED = ("activation", "k", "centred", "normalisation")


class SiteRecord(Record, frozen=True, kw_only=True):
    """A `saematch.Site`."""

    hook: str
    kind: str = "other"
    layer: int | None = None
    hook_out: str | None = None

    def site(self) -> Site:
        return Site(self.hook, cast(SiteKind, self.kind), self.layer, self.hook_out)


class ConventionsRecord(Record, frozen=True, kw_only=True):
    """`saematch.Conventions`: the same fields, open to values that another version writes."""

    activation: str = ""
    k: int | None = None
    centred: bool = False
    normalisation: str = "none"
    normalisation_eps: Number = 1e-5
    denormalised: bool = True
    norm_factor: Number | None = None
    architecture: str = ""
    family: str = ""
    site: SiteRecord | None = None
    model: str | None = None
    source: str = ""
    commit: str | None = None
    dtype: str = "float32"
    neuronpedia_id: str | None = None
    notes: list[str] = []

    @classmethod
    def of(cls, sae: SAE) -> ConventionsRecord:
        return read_record(plain(dataclasses.asdict(sae.conventions)), cls)


class Told(Protocol):
    """What a file tells of an SAE."""

    @property
    def name(self) -> str: ...

    @property
    def checksum(self) -> str: ...

    @property
    def conventions(self) -> ConventionsRecord: ...


def sae_differences(there: Sequence[Told], here: Sequence[Told]) -> list[str]:
    """What makes two lists of SAEs different ones, in words."""
    old_names, new_names = ([sae.name for sae in saes] for saes in (there, here))
    if old_names != new_names:
        return [f"its SAEs are {', '.join(old_names)}, not {', '.join(new_names)}"]
    found = []
    for old, new in zip(there, here, strict=True):
        if old.checksum != new.checksum:
            found.append(f"{old.name} has other weights there")
        for key in _APPLIED:
            one, other = getattr(old.conventions, key), getattr(new.conventions, key)
            if one != other:
                found.append(f"{old.name}: {key} is {word(one)} there, {word(other)} here")
    return found

"""Shard K of N: a part of a long command's work, and the folder that it is done in.

A shard is a run or store of its own, in a folder that no other shard writes to. `saematch merge`
puts all of them together.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, TypeVar

from msgspec import Meta, UnsetType

from saematch.errors import RunError, SaematchError
from saematch.files.records import Record, plain

SHARDS = "shards"  # folder of a run or store
MOST = 100_000  # shards of one command
_TEXT = re.compile(r"(\d{1,6})/(\d{1,6})")
FOLDER = re.compile(r"([a-z]+)-(\d+)-of-(\d+)")

T = TypeVar("T")
Number = Annotated[int, Meta(ge=1, le=MOST)]


class ShardRecord(Record, frozen=True, kw_only=True):
    """Which part of the work a directory holds, and what the whole is, as far as it must be known.

    `whole` is alike in all shards of a command.
    """

    command: str
    number: Number
    of: Number
    whole: dict[str, Any]

    def __post_init__(self) -> None:
        if self.number > self.of:
            raise ValueError(f"$.shard.number is {self.number} of {self.of}")

    def __str__(self) -> str:
        return f"{self.number}/{self.of}"


def shard_differences(there: ShardRecord | UnsetType, here: ShardRecord | UnsetType) -> list[str]:
    """What makes two directories those of different parts, in words."""
    one, other = (str(shard) if shard else "none" for shard in (there, here))
    if one != other:
        return [f"shard is {one} there, {other} here"]
    if there and here and there.whole != here.whole:
        keys = sorted({*there.whole, *here.whole})
        of = [key for key in keys if there.whole.get(key) != here.whole.get(key)]
        return [f"it is shard {one} of other work: the {' and '.join(of)} of the whole differ"]
    return []


@dataclass(frozen=True)
class Share:
    """Shard `number` of `of`, the first being 1."""

    number: int
    of: int

    @classmethod
    def parsed(cls, text: str) -> Share:
        """The share that `K/N` stands for.

        Raises:
            SaematchError: it is not of that form, or K is not one of 1 to N.
        """
        found = _TEXT.fullmatch(text.strip()) if isinstance(text, str) else None
        number, of = (int(part) for part in found.groups()) if found else (0, 0)
        if not 1 <= number <= of <= MOST:
            raise SaematchError(
                f"shard is {text!r}; it is K/N with K from 1 to N, such as 3/16 for the third of 16"
            )
        return cls(number, of)

    def __str__(self) -> str:
        return f"{self.number}/{self.of}"

    def block(self, items: Sequence[T]) -> Sequence[T]:
        """Its part of the work: neighbours stay together, and no two parts differ by more than one.

        Every shard has a part where there are N items or more.
        """
        n = len(items)
        return items[n * (self.number - 1) // self.of : n * self.number // self.of]

    def record(self, command: str, **whole: Any) -> ShardRecord:
        """What its directory tells of it, with what else must be known of the whole."""
        # as it will be read again: tuples become lists
        known = json.loads(json.dumps(plain(whole)))
        return ShardRecord(command=command, number=self.number, of=self.of, whole=known)

    def place(self, path: str | Path | None, command: str) -> Path:
        """The folder of this shard of what `command` makes in the directory `path`.

        Raises:
            RunError: no directory is given, or one holds shards of another N.
        """
        if path is None:
            raise RunError(
                f"shard {self} is a part of what is put together later: give a directory (out, -o)"
            )
        folder = Path(path) / SHARDS
        for other in folder.glob(f"{command}-*-of-*") if folder.is_dir() else ():
            named = FOLDER.fullmatch(other.name)
            if named is not None and int(named[3]) != self.of:
                raise RunError(
                    f"{other} is shard {named[2]} of {named[3]}, not of {self.of}: go on with "
                    f"--shard K/{named[3]}, write elsewhere, or remove {folder}"
                )
        return folder / f"{command}-{self.number}-of-{self.of}"

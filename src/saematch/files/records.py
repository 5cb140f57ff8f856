"""Our JSON files as typed records, checked as they are read.

A record is a msgspec Struct. Errors name the JSON path (`$.saes[0].d_sae`). Keys that a record does
not know, of a newer or another writer, are kept in `more` and written again.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import UNSET, Meta
from msgspec.structs import force_setattr

LONGEST = 200  # characters of a name that becomes a file's
_NAME = r"^[^./\\\x00][^/\\\x00]*\Z"

# a name that becomes a file's or a folder's: nothing that leads out of where it is put
Name = Annotated[str, Meta(min_length=1, max_length=LONGEST, pattern=_NAME)]
Count = Annotated[int, Meta(ge=0)]
Number = int | float  # an integer stays one when it is written again


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """A JSON object with known keys, and `more`: the others that were read with them."""

    more: dict[str, Any] = msgspec.field(default_factory=dict, name="")


R = TypeVar("R", bound=Record)


def read_record(content: Any, of: type[R]) -> R:
    """A record from parsed JSON.

    Raises:
        msgspec.ValidationError: something is missing, of another type or out of range; it says
            what was expected and ends in the JSON path.
    """
    record = msgspec.convert(content, of)
    _keep(record, content)
    return record


def _keep(record: Any, content: Any) -> None:
    """Put the keys that a record, and the records in it, do not know into their `more`."""
    if isinstance(record, Record):
        known = {*record.__struct_fields__} - {"more"}
        force_setattr(record, "more", {k: v for k, v in content.items() if k not in known})
        for name in known & content.keys():
            _keep(getattr(record, name), content[name])
    elif isinstance(record, list):
        for item, its in zip(record, content, strict=True):
            _keep(item, its)
    elif isinstance(record, dict):
        for key, item in record.items():
            _keep(item, content[key])


def plain(value: Any) -> Any:
    """As JSON can hold it: records become objects, what is not a finite number becomes null."""
    if isinstance(value, Record):
        known = ((key, getattr(value, key)) for key in value.__struct_fields__ if key != "more")
        set_ = {key: plain(item) for key, item in known if item is not UNSET}
        return {**set_, **plain(value.more)}
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def outside(name: str) -> bool:
    """Whether a name could not be that of a file or folder within another; see `Name`."""
    return len(name) > LONGEST or re.search(_NAME, name) is None


def now() -> str:
    """ISO 8601 in UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")

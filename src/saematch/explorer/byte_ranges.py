"""Byte ranges of HTTP (RFC 9110, section 14): what part of a file a request asks for."""

from __future__ import annotations

import re

_RANGE = re.compile(r"[ \t]*bytes[ \t]*=[ \t]*(\d*)-(\d*)[ \t]*", re.ASCII | re.IGNORECASE)
_DIGITS = 18  # more than any file has; int() of very long digits is slow


class RangeError(Exception):
    """The range lies beyond the end of the file."""


def byte_range(header: str | None, size: int) -> tuple[int, int] | None:
    """First byte and the byte after the last, of `bytes=FIRST-LAST`, `FIRST-` or `-LENGTH`.

    None where the whole file is to be sent: without a header, for other units, for what is not
    well-formed, and for several ranges at once, which a server may ignore.

    Args:
        header: the value of `Range`.
        size: of the file in bytes.

    Raises:
        RangeError: the file has no byte of the range.
    """
    found = _RANGE.fullmatch(header or "")
    if found is None:
        return None
    first, last = found[1].lstrip("0") or found[1][:1], found[2].lstrip("0") or found[2][:1]
    if not first and not last:
        return None
    beyond = 10**_DIGITS
    start = beyond if len(first) > _DIGITS else int(first or 0)
    end = beyond if len(last) > _DIGITS else int(last or 0)
    if not first:
        if end == 0:
            raise RangeError
        # no range can be named of a file without bytes
        return (max(size - end, 0), size) if size else None
    if last and end < start:
        return None
    if start >= size:
        raise RangeError
    return start, min(end + 1, size) if last else size

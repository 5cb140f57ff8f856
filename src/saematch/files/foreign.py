"""One boundary for files of others and the parsers that read them.

Given bytes that its authors never thought of, a parser raises errors that they never thought of: a
recursion too deep, an assertion, a Rust panic. Every call of one (JSON, Parquet, safetensors,
torch, zip, transformers) is wrapped in `parsing`, which turns any error into one line, so that no
reader keeps a list of exceptions. Only regular files are opened (`regular`): reading a pipe or a
device might never end.
"""

from __future__ import annotations

import json
import os
import re
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from saematch.errors import SaematchError

if TYPE_CHECKING:
    import polars as pl

JSON_BYTES = 1 << 28  # the largest JSON file; lists of many thousand pairs are far smaller
_LFS = b"version https://git-lfs.github.com/spec/"
_SURROGATE = re.compile("[\ud800-\udfff]")
_BREAKING = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_ESCAPED = re.compile(r"\\u[dD][89a-fA-F]")


@contextmanager
def parsing(
    label: object,
    kind: str | None = None,
    error: type[SaematchError] = SaematchError,
    *,
    say: str | None = None,
) -> Iterator[None]:
    """Calls of a foreign parser: any exception they raise becomes an error of one line.

    The project's own errors pass unchanged, and so do KeyboardInterrupt and its like.

    Args:
        label: what is read, as the user named it.
        kind: what it should be, such as `a safetensors file`; the message is "LABEL: truncated,
            corrupt or not KIND (REASON)".
        error: the class of error to raise.
        say: text to use instead, between the label and the reason.

    Raises:
        SaematchError: of the class `error`, from whatever was raised inside.
    """
    said = say or f"truncated, corrupt or not {kind or 'what it should be'}"
    try:
        yield
    except SaematchError:
        raise
    except BaseException as raised:
        if not isinstance(raised, Exception) and not is_panic(raised):
            raise
        raise error(f"{one_line(str(label))}: {said} ({reason(raised)})") from raised


def reason(raised: BaseException) -> str:
    """The message of an exception in one short line."""
    if isinstance(raised, MemoryError):
        return "it needs more memory than there is"
    if isinstance(raised, RecursionError):
        return "it is nested too deeply"
    if isinstance(raised, OSError) and raised.strerror:
        return raised.strerror
    lines = [line.strip() for line in plain_text(str(raised)).splitlines() if line.strip()]
    line = lines[0] if lines else ""
    # a KeyError's text is the bare key
    told = line if " " in line else f"{type(raised).__name__} {line}".strip()
    return "".join(c for c in told if c.isprintable())[:200]


def regular(
    path: Path, label: object = None, error: type[SaematchError] = SaematchError
) -> os.stat_result:
    """The status of a file, which must be a regular file with its content.

    Raises:
        SaematchError: of the class `error`: there is no such file; it is a folder, pipe or device;
            or it is the pointer that Git LFS leaves in place of a large file.
    """
    label = one_line(str(path if label is None else label))
    try:
        found = path.stat()
    except FileNotFoundError as missing:
        raise error(f"{label}: no such file") from missing
    except (OSError, ValueError, RuntimeError) as raised:
        raise error(f"{label}: cannot be read ({reason(raised)})") from raised
    if not stat.S_ISREG(found.st_mode):
        what = "a folder" if stat.S_ISDIR(found.st_mode) else "a pipe, socket or device"
        raise error(f"{label}: {what}, expected a file")
    if found.st_size < 1024:
        with parsing(label, error=error, say="cannot be read"):
            start = path.read_bytes()[: len(_LFS)]
        if start == _LFS:
            raise error(
                f"{label}: a Git LFS pointer, not the file itself; fetch it with `git lfs pull`"
            )
    return found


def read_text(path: Path, label: object = None, error: type[SaematchError] = SaematchError) -> str:
    """The text of a regular file in UTF-8, with or without a byte-order mark.

    Raises:
        SaematchError: as `regular`, or it is not UTF-8.
    """
    regular(path, label, error)
    label = path if label is None else label
    with parsing(label, error=error, say="not text in UTF-8"):
        return path.read_text(encoding="utf-8-sig")


def read_json(path: Path, label: object = None, error: type[SaematchError] = SaematchError) -> Any:
    """The content of a JSON file.

    Raises:
        SaematchError: as `read_text`, or it is not valid JSON, or larger than `JSON_BYTES`.
    """
    label = path if label is None else label
    size = regular(path, label, error).st_size
    if size > JSON_BYTES:
        raise error(f"{label}: {size:,} bytes of JSON, expected {JSON_BYTES:,} at most")
    text = read_text(path, label, error)
    with parsing(label, error=error, say="not valid JSON"):
        return parse_json(text)


def parse_json(text: str) -> Any:
    """`json.loads`, with U+FFFD for every half of a surrogate pair, which no file can contain.

    Raises:
        ValueError, RecursionError: as `json.loads`; see `parsing`.
    """
    content = json.loads(text)
    return _clean(content) if _ESCAPED.search(text) or _SURROGATE.search(text) else content


def plain_text(text: str) -> str:
    """Text that can be written in UTF-8: halves of surrogate pairs become U+FFFD."""
    return _SURROGATE.sub("\ufffd", text)


def one_line(text: str) -> str:
    """Text for a message: line breaks and characters that cannot be written become U+FFFD."""
    return _BREAKING.sub("\ufffd", text)


def read_parquet(
    path: Path,
    columns: Sequence[str] | None = None,
    *,
    label: object = None,
    error: type[SaematchError] = SaematchError,
    most_rows: int | None = None,
) -> pl.DataFrame:
    """A Parquet table; its number of rows is checked in the footer before they are read.

    Arrow reads it, not polars: one wrong byte in a page can make polars ask for 2^61 bytes, and
    Rust then ends the process, so that nothing can be caught.

    Raises:
        SaematchError: as `regular`; it cannot be read, lacks one of `columns`, or has more than
            `most_rows` rows.
    """
    import polars as pl
    import pyarrow.parquet as pq

    label = path if label is None else label
    regular(path, label, error)
    with parsing(label, "a Parquet table", error), pq.ParquetFile(path) as file:
        rows, there = file.metadata.num_rows, file.schema_arrow.names
        if most_rows is not None and rows > most_rows:
            raise error(f"{label}: {rows:,} rows, expected {most_rows:,} at most")
        missing = [name for name in columns or () if name not in there]
        if missing:
            has = ", ".join(there) or "none"
            raise error(one_line(f"{label}: no column {', '.join(missing)}; it has {has}"))
        # names, text and lengths are checked here: polars takes Arrow's word for them
        for field in file.schema_arrow:
            _check_names(field)
        table = file.read(columns=None if columns is None else [*columns])
        table.validate(full=True)
        found = pl.from_arrow(table.replace_schema_metadata(None))
    assert isinstance(found, pl.DataFrame)
    return found


def scan_parquet(
    path: Path, *, label: object = None, error: type[SaematchError] = SaematchError
) -> pl.LazyFrame:
    """A Parquet table too large for memory, checked once to make sure that polars can read it.

    Raises:
        SaematchError: as `read_parquet`.
    """
    import polars as pl
    import pyarrow.parquet as pq

    label = path if label is None else label
    regular(path, label, error)
    with parsing(label, "a Parquet table", error), pq.ParquetFile(path) as file:
        for field in file.schema_arrow:
            _check_names(field)
        for batch in file.iter_batches():
            batch.validate(full=True)
        return pl.scan_parquet(path)


def _check_names(field: Any) -> None:
    """Raise if the name or metadata of a column is not UTF-8."""
    _ = field.name  # decoded when it is asked for
    for word in (field.metadata or {}).items():
        b" ".join(word).decode()
    for i in range(field.type.num_fields):
        _check_names(field.type.field(i))


def is_panic(raised: BaseException) -> bool:
    """Whether it is a panic of a Rust library, which derives from BaseException directly."""
    return type(raised).__name__ == "PanicException"


def _clean(value: Any) -> Any:
    if isinstance(value, str):
        return plain_text(value)
    if isinstance(value, list):
        return [_clean(item) for item in value]
    if isinstance(value, dict):
        return {plain_text(key): _clean(item) for key, item in value.items()}
    return value

"""Labels from a file: JSON lines, CSV or Parquet, one row per label.

Columns: `feature` (or `index`), `label` (or `description`); `site`, the name of an SAE in the run,
where the file is about several; `source`, who wrote the label. There may be others.
"""

from __future__ import annotations

import csv
import io
import logging
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import polars as pl

from saematch.errors import SaematchError, names_there
from saematch.files.foreign import (
    one_line,
    parse_json,
    parsing,
    read_parquet,
    read_text,
    regular,
)
from saematch.labels.bulk import SCHEMA, unpacked
from saematch.labels.neuronpedia import checked_text, feature_number

log = logging.getLogger("saematch")
ENDINGS = (".jsonl", ".jsonl.gz", ".csv", ".parquet")
MOST_BYTES = 1 << 31
MOST_ROWS = 1 << 25
FEATURE, LABEL = ("feature", "index"), ("label", "description")


def file_labels(path: Path, widths: Mapping[str, int], only: str | None) -> dict[str, pl.DataFrame]:
    """The labels in a file, by SAE.

    Args:
        path: the file; its name ends in one of `ENDINGS`.
        widths: the SAEs of the run, and how many features each has.
        only: the SAE that the file is about, or the one to take from it.

    Returns:
        For each SAE that the file has labels of: `feature`, `label`, `source` (the file's name
        where it has no such column), in the order of the file, by feature.

    Raises:
        SaematchError: the file is damaged, lacks a column, says nothing of which SAE it is, or is
            about SAEs or features that there are not.
    """
    found: dict[str, list[tuple[int, str, str]]] = {}
    strange: str | None = None
    for where, row in _rows(path):
        site = _text(row.get("site"), f"{where}: site")
        if site is None and only is None:
            raise SaematchError(
                f"{where}: no site, so which SAE is it about? Name one with --sae (sae=), of "
                f"{', '.join(widths)}"
            )
        site = site or only or ""
        if only not in (None, site):
            continue
        if site not in widths:
            strange = strange or f"{where}: site is {site!r}; {names_there(site, [*widths])}"
            continue
        feature = feature_number(_first(row, FEATURE), widths[site], where)
        text = _first(row, LABEL)
        text = "" if text is None else checked_text(text, where)
        source = _text(row.get("source"), f"{where}: source") or path.name
        if text:
            found.setdefault(site, []).append((feature, text, source))
    if not found:
        of = "" if only is None else f" of {only}"
        raise SaematchError(one_line(strange or f"{path}: no labels{of}"))
    if strange is not None:
        log.warning(f"left out what is of no SAE of the run: {one_line(strange)}")
    return {
        site: pl.DataFrame(rows, schema=SCHEMA, orient="row")
        .sort("feature", maintain_order=True)
        .unique(maintain_order=True)
        for site, rows in found.items()
    }


def _rows(path: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Each row, and where it stands in words."""
    if not path.name.endswith(ENDINGS):
        raise SaematchError(
            f"{path}: expected neuronpedia, neuronpedia:MODEL/SOURCE, or a file whose name ends in "
            f"{', '.join(ENDINGS)}"
        )
    size = regular(path).st_size
    if size > MOST_BYTES:
        raise SaematchError(f"{path}: {size:,} bytes, expected {MOST_BYTES:,} at most")
    if path.suffix == ".parquet":
        table = read_parquet(path, most_rows=MOST_ROWS)
        _check_columns(path, table.columns)
        names = [name for name in (*FEATURE, *LABEL, "site", "source") if name in table.columns]
        numbered = enumerate(table.select(names).iter_rows(named=True), start=1)
        yield from ((f"{path}, row {number}", row) for number, row in numbered)
    elif path.suffix == ".csv":
        yield from _csv(path)
    else:
        packed = path.suffix == ".gz"
        yield from _jsonl(path, unpacked(path.read_bytes(), path) if packed else read_text(path))


def _jsonl(path: Path, content: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for number, line in enumerate(content.split("\n"), start=1):
        if not line.strip():
            continue
        where = f"{path}, line {number}"
        with parsing(where, say="not JSON"):
            row: Any = parse_json(line)
        if not isinstance(row, dict):
            raise SaematchError(f"{where}: expected an object with feature and label")
        _check_columns(where, row)
        yield where, row


def _csv(path: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    reader = csv.DictReader(io.StringIO(read_text(path), newline=""), strict=True)
    with parsing(path, "a CSV table"):
        names = reader.fieldnames or []
    _check_columns(path, names)
    while True:
        with parsing(f"{path}, line {reader.line_num + 1}", "a row of CSV"):
            row = next(reader, None)
        if row is None:
            return
        if None in row:
            raise SaematchError(
                f"{path}, line {reader.line_num}: more cells than the {len(names)} columns; put "
                "labels with commas in quotes"
            )
        yield f"{path}, line {reader.line_num}", row


def _check_columns(where: object, there: Iterable[str]) -> None:
    there = [*there]
    for wanted in (FEATURE, LABEL):
        if not any(name in there for name in wanted):
            has = ", ".join(there) or "none"
            raise SaematchError(
                one_line(f"{where}: no column {' or '.join(wanted)}; it has {has[:300]}")
            )


def _first(row: Mapping[str, Any], names: tuple[str, ...]) -> Any:
    return next((row[name] for name in names if name in row), None)


def _text(value: Any, where: str) -> str | None:
    """A name; None where the cell is empty."""
    return None if value is None else checked_text(value, where) or None

"""All labels of an SAE from Neuronpedia's public files, kept in the user's cache.

`v1/MODEL/SOURCE/explanations/batch-N.jsonl.gz` in the bucket `neuronpedia-datasets`; each line has
`index` (digits), `description`, `typeName`, `explanationModelName`. There are several lines of some
features, and none of others.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode
from xml.etree import ElementTree

import polars as pl

from saematch.errors import SaematchError
from saematch.files.atomic import sweep, whole
from saematch.files.cache import user_cache
from saematch.files.foreign import one_line, parse_json, parsing, read_json, reason
from saematch.labels.fetching import UnreachableError, fetch
from saematch.labels.neuronpedia import NeuronpediaId, feature_number, label_of

BUCKET = "https://neuronpedia-datasets.s3.us-east-1.amazonaws.com"
SERVER = "SAEMATCH_NEURONPEDIA_BUCKET"  # the variable that names another address of the files
LISTING = "listing.json"  # what the bucket had when it was last asked
AT_ONCE = 8  # files
MOST_BATCH = 1 << 26  # bytes of a batch as it comes; real ones have 100,000
MOST_TEXT = 1 << 28  # and unpacked
MOST_PAGES = 1000  # of the listing, of 1,000 files each
_MOST_PAGE = 1 << 24  # bytes of such a page
_NAME = re.compile(r"batch-(\d{1,9})\.jsonl\.gz", re.ASCII)
_MD5 = re.compile(r"[0-9a-f]{32}")
SCHEMA = {"feature": pl.Int64, "label": pl.String, "source": pl.String}
# called as batches come, with how many are there and how many there will be
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Batch:
    """A file of labels, as the bucket lists it."""

    name: str
    size: int
    etag: str  # the MD5 of its content, if it was uploaded in one piece

    def is_whole(self, content: bytes) -> bool:
        """Whether this is its content, as far as can be told."""
        if len(content) != self.size:
            return False
        return not _MD5.fullmatch(self.etag) or _md5(content) == self.etag


def bulk_labels(of: NeuronpediaId, d_sae: int, progress: Progress | None = None) -> pl.DataFrame:
    """Every label that Neuronpedia has of an SAE; what is in the cache is not fetched again.

    Args:
        of: the SAE's name there.
        d_sae: how many features it has.
        progress: called as files come.

    Returns:
        `feature`, `label`, `source` (who wrote it), by feature. Where a feature has several, those
        of the author with most labels of this SAE come first.

    Raises:
        SaematchError: Neuronpedia has no labels of it, cannot be reached, or one of the files is
            damaged or about features that the SAE does not have.
    """
    rows: list[tuple[int, str, str]] = []
    for path, url in _fetched(of, progress or _silent):
        try:
            rows += _rows(path, url, d_sae)
        except SaematchError:
            path.unlink(missing_ok=True)  # so that the next call fetches it again
            raise
    frame = pl.DataFrame(rows, schema=SCHEMA, orient="row")
    return (
        frame.with_columns(pl.len().over("source").alias("all"))
        .sort("feature", "all", "source", descending=[False, True, False], maintain_order=True)
        .drop("all")
        .unique(maintain_order=True)
    )


def folder_of(of: NeuronpediaId) -> Path:
    """Where the files of an SAE are kept."""
    return user_cache() / "neuronpedia" / of.model / of.source


def _fetched(of: NeuronpediaId, progress: Progress) -> list[tuple[Path, str]]:
    """The files in the order of their numbers, all of them in the cache, and their addresses."""
    folder = folder_of(of)
    try:
        batches = _listed(of)
    except UnreachableError:
        # without a network the cache will do, if it holds all that there was
        batches = _known(folder)
        if not batches or any(_kept(folder / batch.name, batch) is None for batch in batches):
            raise
    else:
        told = [[batch.name, batch.size, batch.etag] for batch in batches]
        _write(folder / LISTING, json.dumps(told).encode())
    sweep(folder)
    missing = [batch for batch in batches if _kept(folder / batch.name, batch) is None]
    done = len(batches) - len(missing)
    progress(done, len(batches))
    pool = ThreadPoolExecutor(AT_ONCE)
    try:
        for _ in pool.map(lambda batch: _fetch(of, batch, folder), missing):
            done += 1
            progress(done, len(batches))
    finally:
        pool.shutdown(cancel_futures=True)
    return [(folder / batch.name, _address(of, batch.name)) for batch in batches]


def _fetch(of: NeuronpediaId, batch: Batch, folder: Path) -> None:
    url = _address(of, batch.name)
    content = fetch(url, MOST_BATCH)
    if not batch.is_whole(content):
        raise SaematchError(
            f"{url}: {len(content):,} bytes that are not the {batch.size:,} listed; call the same "
            "again, which fetches it anew"
        )
    _write(folder / batch.name, content)


def _listed(of: NeuronpediaId) -> list[Batch]:
    """The files that the bucket has of an SAE."""
    prefix = f"v1/{of}/explanations/"
    found: dict[int, Batch] = {}
    token: str | None = None
    for _ in range(MOST_PAGES):
        query = {"list-type": "2", "prefix": prefix}
        if token is not None:
            query["continuation-token"] = token
        url = f"{_bucket()}/?{urlencode(query, quote_via=quote, safe='/')}"
        page = _Page.parse(fetch(url, _MOST_PAGE), url)
        for key, size, etag in page.files:
            name = _NAME.fullmatch(key.removeprefix(prefix))
            if key.startswith(prefix) and name is not None:
                found[int(name[1])] = Batch(name[0], size, etag)
        token = page.next
        if token is None:
            break
    if not found:
        raise SaematchError(
            f"Neuronpedia has no file of labels of {of} ({_bucket()}/{prefix} is empty); give the "
            "SAE's name there as neuronpedia:MODEL/SOURCE"
        )
    return [found[number] for number in sorted(found)]


@dataclass(frozen=True)
class _Page:
    """A page of an S3 listing."""

    files: tuple[tuple[str, int, str], ...]  # key, size, ETag
    next: str | None

    @classmethod
    def parse(cls, content: bytes, url: str) -> _Page:
        if b"<!DOCTYPE" in content or b"<!ENTITY" in content:
            raise SaematchError(f"{url}: expected a listing of S3, which has no DOCTYPE")
        with parsing(url, "a listing of S3"):
            root = ElementTree.fromstring(content)
            space = root.tag.removesuffix("ListBucketResult")
            if space == root.tag:
                raise ValueError(f"it is a <{root.tag}>")
            files = tuple(
                (
                    entry.findtext(f"{space}Key") or "",
                    int(entry.findtext(f"{space}Size") or "-1"),
                    (entry.findtext(f"{space}ETag") or "").strip('"'),
                )
                for entry in root.iter(f"{space}Contents")
            )
            more = root.findtext(f"{space}IsTruncated") == "true"
            return cls(files, root.findtext(f"{space}NextContinuationToken") if more else None)


def _rows(path: Path, url: str, d_sae: int) -> Iterator[tuple[int, str, str]]:
    for number, line in enumerate(unpacked(path.read_bytes(), url).split("\n"), start=1):
        where = f"{url}, line {number}"
        if not line.strip():
            continue
        with parsing(where, say="not JSON"):
            row: Any = parse_json(line)
        if not isinstance(row, dict) or "index" not in row:
            raise SaematchError(f"{where}: no index; expected a label of Neuronpedia")
        feature = feature_number(row["index"], d_sae, where)
        if (label := label_of(row, where)) is not None:
            yield feature, label.text, label.source


def unpacked(content: bytes, label: object) -> str:
    """The text in a gzip file.

    Raises:
        SaematchError: it is damaged, or has more than `MOST_TEXT` bytes.
    """
    with parsing(label, "a gzip file of text"):
        with gzip.GzipFile(fileobj=io.BytesIO(content)) as file:
            text = file.read(MOST_TEXT + 1)
        if len(text) > MOST_TEXT:
            raise SaematchError(f"{label}: over {MOST_TEXT:,} bytes unpacked, expected fewer")
        return text.decode()


def _kept(path: Path, batch: Batch) -> Path | None:
    """A batch in the cache, if it is the one that the bucket lists."""
    try:
        return path if batch.is_whole(path.read_bytes()) else None
    except OSError:
        return None


def _known(folder: Path) -> list[Batch]:
    """The listing of before; empty where there is none."""
    try:
        told = read_json(folder / LISTING)
        found = [Batch(str(name), int(size), str(etag)) for name, size, etag in told]
    except (SaematchError, ValueError, TypeError):
        return []
    return found if all(_NAME.fullmatch(batch.name) for batch in found) else []


def _write(path: Path, content: bytes) -> None:
    try:
        with whole(path) as partial:
            partial.write_bytes(content)
    except OSError as error:
        raise SaematchError(
            f"{path} cannot be written ({reason(error)}); XDG_CACHE_HOME names another cache folder"
        ) from error


def _bucket() -> str:
    return one_line(os.environ.get(SERVER) or BUCKET).rstrip("/")


def _address(of: NeuronpediaId, name: str) -> str:
    return f"{_bucket()}/v1/{of}/explanations/{name}"


def _md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def _silent(done: int, total: int) -> None:
    """Tells nobody."""

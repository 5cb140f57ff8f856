"""The table of an SAE's dashboards: one row per feature, in small groups that are read alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy import ndarray

from saematch.activations.describe import BEFORE
from saematch.dashboards.activity import BINS, LEVELS, OF_EACH, TOP, Activity
from saematch.dashboards.windows import Windows

ROWS = 64  # of a group
GROUPS = 128  # wide SAEs have larger groups, so that the list of groups stays short
LOGITS = ("logits_top", "logits_bottom", "carried_top", "carried_bottom")

_LOGIT = pa.list_(pa.struct([("token", pa.string()), ("logit", pa.float32())]))
_CONTEXT = pa.struct(
    [
        ("place", pa.int64()),
        ("text", pa.int32()),
        ("example", pa.int32()),
        ("at", pa.int32()),
        ("pieces", pa.list_(pa.string())),
        ("activations", pa.list_(pa.float32())),
    ]
)
_QUANTILE = pa.struct(
    [
        ("low", pa.float32()),
        ("high", pa.float32()),
        ("count", pa.int64()),
        ("contexts", pa.list_(_CONTEXT)),
    ]
)
SCHEMA = pa.schema(
    [
        ("feature", pa.int64()),
        ("frequency", pa.list_(pa.float64())),
        ("max_activation", pa.float32()),
        ("histogram", pa.list_(pa.int32())),
        ("places", pa.list_(pa.int64())),
        ("quantiles", pa.list_(_QUANTILE)),
        *((name, _LOGIT) for name in LOGITS),
    ]
)

# for each feature, so many tokens and their logits, both (d_sae, shown)
Sides = Mapping[str, tuple[ndarray, ndarray]]


def write_dashboards(
    path: Path,
    found: Activity,
    shown: Windows,
    tokens: list[int],
    logits: Sides,
    words: Mapping[int, str],
) -> None:
    """Write the dashboards of an SAE's features.

    Args:
        path: the file.
        found: what the features do.
        shown: what stands around `found.places`.
        tokens: of each text set, how many.
        logits: token ids and logits by the names of `LOGITS`; missing ones are null.
        words: the text of those token ids.
    """
    d = len(found.maximum)
    rows = max(ROWS, -(-d // GROUPS))
    texts = pa.array(shown.words, pa.string())
    options = {"compression": "zstd", "write_statistics": ["feature"]}
    with pq.ParquetWriter(path, SCHEMA, **options) as writer:
        for first in range(0, d, rows):
            some = slice(first, min(d, first + rows))
            table = _block(some, found, shown, texts, tokens, logits, words)
            writer.write_table(table, row_group_size=rows)


def _block(
    some: slice,
    found: Activity,
    shown: Windows,
    texts: pa.Array,
    tokens: list[int],
    logits: Sides,
    words: Mapping[int, str],
) -> pa.Table:
    n = some.stop - some.start
    share = found.counts[:, some].T / np.maximum(tokens, 1)
    places = found.places[some]
    columns = [
        pa.array(np.arange(some.start, some.stop)),
        _lists(np.full(n, len(tokens)), pa.array(share.ravel())),
        pa.array(found.maximum[some].astype(np.float32)),
        _lists(np.full(n, BINS), pa.array(found.histogram[some].ravel().astype(np.int32))),
        _top(places),
        _quantiles(some, found, shown, texts),
        *(_side(n, some, logits.get(name), words) for name in LOGITS),
    ]
    return pa.Table.from_arrays(columns, schema=SCHEMA)


def _top(places: ndarray) -> pa.Array:
    top = places[:, :TOP]
    return _lists((top >= 0).sum(1), pa.array(top[top >= 0]))


def _quantiles(some: slice, found: Activity, shown: Windows, texts: pa.Array) -> pa.Array:
    """The strongest contexts, then those of each interval; none of a feature that never fires."""
    low, high, count, order, sizes = [], [], [], [], []
    strength = np.abs(shown.value[:, :, BEFORE])
    for i in range(some.start, some.stop):
        most = found.maximum[i]
        sizes.append(LEVELS + 1 if most else 0)
        if not most:
            continue
        groups = list(_groups(found.places[i], strength[i]))
        top = [strength[i, c] for c in groups[0]]
        low += [min(top), *(most * k / LEVELS for k in reversed(range(LEVELS)))]
        high += [most, *(most * (k + 1) / LEVELS for k in reversed(range(LEVELS)))]
        count += [len(top), *found.levels[i, ::-1].tolist()]
        order += [[(i, c) for c in group] for group in groups]
    chosen = [pair for group in order for pair in group]
    feature, context = np.array(chosen, np.int64).reshape(-1, 2).T
    word, value = shown.word[feature, context], shown.value[feature, context]
    inside = word >= 0
    lengths = inside.sum(1)
    contexts = pa.StructArray.from_arrays(
        [
            pa.array(found.places[feature, context]),
            pa.array(shown.text[feature, context]),
            pa.array(shown.example[feature, context]),
            pa.array(inside[:, :BEFORE].sum(1).astype(np.int32)),
            _lists(lengths, texts.take(pa.array(word[inside]))),
            _lists(lengths, pa.array(value[inside])),
        ],
        fields=list(_CONTEXT),
    )
    quantiles = pa.StructArray.from_arrays(
        [
            pa.array(np.array(low, np.float32)),
            pa.array(np.array(high, np.float32)),
            pa.array(np.array(count, np.int64)),
            _lists(np.array([len(group) for group in order], np.int64), contexts),
        ],
        fields=list(_QUANTILE),
    )
    return _lists(np.array(sizes), quantiles)


def _groups(places: ndarray, strength: ndarray) -> Iterator[list[int]]:
    """The contexts that are there, by group, each with the strongest first."""
    ends = [0, TOP, *(TOP + OF_EACH * (k + 1) for k in range(LEVELS))]
    for first, end in pairwise(ends):
        there = [c for c in range(first, end) if places[c] >= 0]
        yield sorted(there, key=lambda c: -strength[c])


def _side(
    n: int, some: slice, side: tuple[ndarray, ndarray] | None, words: Mapping[int, str]
) -> pa.Array:
    if side is None:
        return pa.nulls(n, _LOGIT)
    ids, values = (part[some] for part in side)
    told = pa.StructArray.from_arrays(
        [
            pa.array([words[i] for i in ids.ravel().tolist()], pa.string()),
            pa.array(values.ravel().astype(np.float32)),
        ],
        names=["token", "logit"],
    )
    return _lists(np.full(n, ids.shape[1]), told)


def _lists(sizes: ndarray, values: pa.Array) -> pa.Array:
    ends = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int32)
    return pa.ListArray.from_arrays(pa.array(ends), values)

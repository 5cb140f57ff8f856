"""The tables of a shard: activations of one SAE, and their tokens."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import polars as pl
import scipy.sparse as sp
from numpy import ndarray

from saematch.activations.batch import Batch
from saematch.activations.table import FeatureActivations
from saematch.errors import RunError

PiecesOf = Callable[[list[int]], Sequence[str]]


def activations_table(parts: Sequence[FeatureActivations], first: int) -> pl.DataFrame:
    """`token` (from `first` on), `feature`, `value` of consecutive parts; no zeros."""
    token, feature, value = [], [], []
    for part in parts:
        sorted_already = part.matrix.has_sorted_indices
        matrix = part.matrix if sorted_already else part.matrix.sorted_indices()
        rows = np.arange(first, first + part.n_tokens, dtype=np.int32)
        kept = matrix.data != 0
        token.append(np.repeat(rows, np.diff(matrix.indptr))[kept])
        feature.append(matrix.indices[kept].astype(np.int32))
        value.append(matrix.data[kept].astype(np.float32))
        first += part.n_tokens
    names = ("token", "feature", "value")
    columns = zip(names, map(np.concatenate, (token, feature, value)), strict=True)
    return pl.DataFrame(dict(columns))


def tokens_table(batches: Sequence[Batch], first: int, pieces: PiecesOf | None) -> pl.DataFrame:
    """`token` (from `first` on), `example`, `position`, `token_id`, `piece` of some batches."""
    ids, example = _joined(batches, "token_id"), _joined(batches, "example")
    known: list[str | None] = [None] * len(ids)
    if pieces is not None:
        texts = np.split(ids, np.flatnonzero(np.diff(example)) + 1)
        known = [piece for some in texts for piece in pieces(some.tolist())]
    return pl.DataFrame(
        {
            "token": np.arange(first, first + len(ids), dtype=np.int32),
            "example": example,
            "position": _joined(batches, "position"),
            "token_id": ids,
            "piece": pl.Series(known, dtype=pl.String),
        }
    )


def read_activations(
    table: pl.DataFrame, tokens: pl.DataFrame, first: int, width: int, label: object
) -> FeatureActivations:
    """The activations of both tables of a shard whose first token is `first` in the whole text.

    Raises:
        RunError: tokens out of order or not in the other table, features that an SAE of `width`
            features does not have, or non-finite values; the message begins with `label`.
    """
    for frame, name in ((table, "token"), (table, "feature"), (tokens, "example")):
        if not frame[name].dtype.is_integer() or frame[name].null_count():
            raise RunError(f"{label}: column {name} holds {frame[name].dtype}, expected integers")
    if not table["value"].dtype.is_float():
        raise RunError(f"{label}: column value holds {table['value'].dtype}, expected numbers")
    row, n = table["token"].to_numpy().astype(np.int64) - first, tokens.height
    if len(row) and not (row[0] >= 0 and row[-1] < n and (np.diff(row) >= 0).all()):
        raise RunError(f"{label}: its tokens are not {first:,} to {first + n - 1:,} in order")
    # copies: polars hands out arrays that cannot be written to
    index, value = (np.array(table[column]) for column in ("feature", "value"))
    if len(index) and not (index.min() >= 0 and index.max() < width):
        raise RunError(
            f"{label}: features {index.min()} to {index.max()}, but its SAE has {width:,}"
        )
    if not np.isfinite(value).all():
        raise RunError(f"{label}: values that are NaN or infinite")
    example = np.array(tokens["example"])
    if (np.diff(example) < 0).any():
        raise RunError(f"{label}: the examples of its tokens are not in order")
    start = np.zeros(n + 1, np.int32 if len(row) <= np.iinfo(np.int32).max else np.int64)
    np.cumsum(np.bincount(row, minlength=n), out=start[1:])
    matrix = sp.csr_array((value, index, start), shape=(n, width))
    return FeatureActivations(matrix, example)


def _joined(batches: Sequence[Batch], name: str) -> ndarray:
    return np.concatenate([getattr(batch, name) for batch in batches]).astype(np.int32)

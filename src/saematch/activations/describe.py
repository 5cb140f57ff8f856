"""What the features of a stored SAE fire on, as a table like that of `saematch.sae.contexts`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import polars as pl
import scipy.sparse as sp
from numpy import ndarray

from saematch.activations.sharded import shards_of
from saematch.activations.shards import PiecesOf
from saematch.activations.store import ActivationStore
from saematch.errors import SaematchError
from saematch.files.directory import writing
from saematch.numerics.compiled import compiled
from saematch.sae.contexts import FILE, Context, read_features

CONTEXTS = 10
BEFORE, AFTER = 12, 6  # tokens shown around the active one
NEAR = 5  # contexts with the same last tokens count as one
STRETCH = 8  # examples that are in one half together
SPARE = 4  # how many more places than contexts are kept, because some are duplicates
_CONTEXT = {
    "before": pl.String,
    "token": pl.String,
    "after": pl.String,
    "activation": pl.Float32,
    "source": pl.String,
}


def describe_features(
    store: ActivationStore,
    name: str,
    pieces: PiecesOf | None = None,
    *,
    sources: Sequence[str] | None = None,
    contexts: int = CONTEXTS,
) -> pl.DataFrame:
    """How often and how strongly each feature of an SAE fires, and where it fires most.

    A context is the place in an example where the feature is strongest; the strongest contexts with
    different text are kept. Strength is the absolute activation (signs matter only for abs_topk
    SAEs). It makes two passes over the store, with one shard in memory at a time.

    Args:
        store: a store with activations of the SAE.
        name: the name of the SAE in the store.
        pieces: maps consecutive token ids to the text of each: `saematch.models.token_text.Pieces`.
            By default the store's own text of its tokens; without any, there are no contexts.
        sources: the source of each example, by its number; by default the name of the texts.
        contexts: number of contexts to keep per feature.

    Returns:
        One row per feature: `feature`, `frequency`, `mean_activation` when active,
        `max_activation`, `contexts`. It can be written as `features.parquet` beside the SAE.

    Raises:
        SaematchError: the store has no tokens, or `contexts` is negative.
        RunError: the store cannot be read.
    """
    if contexts < 0:
        raise SaematchError(f"contexts is {contexts}; it cannot be negative")
    if store.n_tokens == 0:
        raise SaematchError(f"{store.path} holds no tokens yet")
    stream = store.stream(name)
    kept = SPARE * max(1, contexts)
    place, signed = np.full((stream.d_sae, kept), -1), np.zeros((stream.d_sae, kept))
    active, total, first = np.zeros(stream.d_sae, np.int64), np.zeros(stream.d_sae), 0
    for part in shards_of(stream):
        matrix = part.matrix.tocsc()
        active += np.diff(matrix.indptr)
        total += np.bincount(part.matrix.indices, np.abs(part.matrix.data), stream.d_sae)
        peaks(matrix.indptr, matrix.indices, matrix.data, part.example, first, place, signed)
        first += part.n_tokens
    chosen, row = np.unique(place[place >= 0], return_inverse=True)
    rows = np.full(place.shape, -1)
    rows[place >= 0] = row
    windows, example, words = _windows(store, chosen)
    name_of = _source_of(store, sources)
    found = [
        _contexts(pieces, windows, words, example, name_of, rows[i], signed[i], contexts)
        for i in range(stream.d_sae)
    ]
    return pl.DataFrame(
        {
            "feature": np.arange(stream.d_sae, dtype=np.int64),
            "frequency": (active / store.n_tokens).astype(np.float32),
            "mean_activation": (total / np.maximum(active, 1)).astype(np.float32),
            "max_activation": np.abs(signed[:, 0]).astype(np.float32),
            "contexts": pl.Series(found, dtype=pl.List(pl.Struct(_CONTEXT))),
        }
    )


def contexts_apart(
    store: ActivationStore, name: str, features: Sequence[int], *, contexts: int = CONTEXTS
) -> list[tuple[list[Context], list[Context]]]:
    """Where features fire most in each of two halves of the text that share no example.

    Halves are of alternate stretches of examples, so that each kind of text is in both. It makes
    two passes over the store.

    Args:
        store: a store with activations of the SAE, and the text of its tokens.
        name: the name of the SAE in the store.
        features: whose contexts.
        contexts: how many to find in each half, at most.

    Returns:
        For each of the features its strongest contexts in the one half and in the other.

    Raises:
        RunError: the store cannot be read.
    """
    stream, kept = store.stream(name), SPARE * max(1, contexts)
    place, signed = (np.full((2, len(features), kept), fill) for fill in (-1, 0.0))
    stretch, begun = max(1, min(STRETCH, store.next_example // 16)), 0
    for part in shards_of(stream):
        some = part.matrix.tocsc()[:, [*features]]
        for half in (0, 1):
            here = part.example // stretch % 2 == half
            of = sp.csc_array(some.multiply(here[:, None]))
            of.eliminate_zeros()
            peaks(of.indptr, of.indices, of.data, part.example, begun, place[half], signed[half])
        begun += part.n_tokens
    chosen, row = np.unique(place[place >= 0], return_inverse=True)
    rows = np.full(place.shape, -1)
    rows[place >= 0] = row
    windows, example, words = _windows(store, chosen)
    source = _source_of(store, None)
    found = []
    for k in range(len(features)):
        halves = (
            _contexts(None, windows, words, example, source, rows[h, k], signed[h, k], contexts)
            for h in (0, 1)
        )
        first, second = ([Context(**context) for context in half] for half in halves)
        found.append((first, second))
    return found


def features_table(store: ActivationStore, name: str) -> pl.DataFrame:
    """The table of `describe_features` that a finished store has, or a new one.

    Raises:
        RunError: the store cannot be read.
        CheckpointError: its table cannot be read.
    """
    width = store.sae(name).d_sae
    there = read_features(store.path / name, width)
    return describe_features(store, name) if there is None else there


def keep_features(store: ActivationStore, name: str) -> None:
    """Write `NAME/features.parquet` of a finished store, unless it exists."""
    if not (store.path / name / FILE).is_file():
        found = describe_features(store, name)
        with writing(store.path, f"{name}/{FILE}") as partial:
            found.write_parquet(partial)


def _windows(store: ActivationStore, chosen: ndarray) -> tuple[ndarray, ndarray, ndarray]:
    """The ids around each chosen token, -1 outside its example; its example; their texts."""
    windows = np.full((len(chosen), BEFORE + 1 + AFTER), -1, np.int64)
    words = np.full(windows.shape, None, dtype=object)
    example, first = np.zeros(len(chosen), np.int64), 0
    for frame in store.token_shards():
        ids, of = frame["token_id"].to_numpy(), frame["example"].to_numpy()
        text = np.array(frame["piece"].to_list(), dtype=object)
        here = slice(*np.searchsorted(chosen, [first, first + len(ids)]))
        at = chosen[here] - first
        example[here] = of[at]
        around = at[:, None] + np.arange(-BEFORE, AFTER + 1)
        inside = (around >= 0) & (around < len(ids))
        around = np.where(inside, around, 0)
        inside &= of[around] == of[at][:, None]
        windows[here] = np.where(inside, ids[around], -1)
        words[here] = np.where(inside, text[around], np.array(None, dtype=object))
        first += len(ids)
    return windows, example, words


def _source_of(store: ActivationStore, sources: Sequence[str] | None) -> Callable[[int], str]:
    if sources is None:
        # the text that each example comes from is not stored
        name = ", ".join(store.record.texts.get("from", []))
        return lambda example: name
    return lambda example: str(sources[example])


def _contexts(
    pieces: PiecesOf | None,
    windows: ndarray,
    stored: ndarray,
    example: ndarray,
    source_of: Callable[[int], str],
    rows: ndarray,
    values: ndarray,
    contexts: int,
) -> list[dict[str, Any]]:
    kept: list[dict[str, Any]] = []
    seen: set[tuple[int, ...]] = set()
    for row, value in zip(rows.tolist(), values.tolist(), strict=True):
        if row < 0 or len(kept) == contexts:
            break
        window = windows[row]
        near = tuple(window[BEFORE + 1 - NEAR : BEFORE + 1].tolist())
        if near in seen:
            continue
        seen.add(near)
        inside = window >= 0
        words = stored[row][inside].tolist() if pieces is None else pieces(window[inside].tolist())
        if None in words:
            break
        at = int((window[:BEFORE] >= 0).sum())
        before, token, after = "".join(words[:at]), words[at], "".join(words[at + 1 :])
        source = source_of(int(example[row]))
        values_of = (before, token, after, value, source)
        kept.append(dict(zip(_CONTEXT, values_of, strict=True)))
    return kept


@compiled
def peaks(start, token, value, example, first, place, signed):
    """The strongest token of every example, merged into the strongest of each feature."""
    for i in range(place.shape[0]):
        best, current = -1, -1
        for p in range(start[i], start[i + 1] + 1):
            end = p == start[i + 1]
            if best >= 0 and (end or example[token[p]] != current):
                _keep(place, signed, i, first + token[best], value[best])
                best = -1
            if not end and (best < 0 or abs(value[p]) > abs(value[best])):
                best, current = p, example[token[p]]


@compiled
def _keep(place, signed, row, new_place, new_value):
    at = place.shape[1] - 1
    if place[row, at] >= 0 and abs(signed[row, at]) >= abs(new_value):
        return
    while at > 0 and (place[row, at - 1] < 0 or abs(signed[row, at - 1]) < abs(new_value)):
        place[row, at] = place[row, at - 1]
        signed[row, at] = signed[row, at - 1]
        at -= 1
    place[row, at] = new_place
    signed[row, at] = new_value

# pyright: strict
"""What an SAE's features fire on: the table `features.parquet` beside its weights.

Columns: `feature` (int64); `frequency`, the share of tokens on which it fired; `mean_activation`
when active and `max_activation`, in the SAE's own activation units; `contexts`, the texts of its
largest activations, best first, each with `before`, `token`, `after`, `activation`, `source`.
"""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl
import torch

from saematch.errors import CheckpointError
from saematch.files.foreign import parsing, read_parquet
from saematch.sae import shipped
from saematch.sae.sae import SAE

FILE = "features.parquet"
STATISTICS = ("frequency", "mean_activation", "max_activation")
_TEXTS = ("before", "token", "after", "source")


class Context(NamedTuple):
    """A place in a text where a feature fired."""

    before: str
    token: str  # on which it fired
    after: str
    activation: float
    source: str  # which text


def folder_of(sae: SAE) -> Path | None:
    """The local folder that an SAE was read from; None for one from the hub or from memory."""
    source = sae.conventions.source
    if source.startswith(shipped.PREFIX):
        name = source.removeprefix(shipped.PREFIX)
        return shipped.path(name) if name in shipped.names() else None
    # of a name that no file can have, os.path says that it does not exist
    path = Path(os.path.expanduser(source))
    if not source or not os.path.exists(path):
        return None
    return path if path.is_dir() else path.parent


def features_of(sae: SAE) -> pl.DataFrame | None:
    """The table beside an SAE's weights, checked against its size; None if there is none.

    Raises:
        CheckpointError: as `read_features`, or it has features that the SAE does not have.
    """
    folder = folder_of(sae)
    frame = None if folder is None else read_features(folder, sae.d_sae)
    if frame is not None and frame.height:
        low, high = frame["feature"].min(), frame["feature"].max()
        if low < 0 or high >= sae.d_sae:  # pyright: ignore[reportOptionalOperand, reportOperatorIssue]
            raise CheckpointError(
                f"{folder}/{FILE}: features {low} to {high}, but the SAE has {sae.d_sae:,}"
            )
    return frame


def with_frequency(sae: SAE) -> SAE:
    """The SAE with features that never fired excluded as dead, by the table beside it.

    An SAE that already has frequencies is returned unchanged.

    Raises:
        CheckpointError: as `features_of`.
    """
    frame = features_of(sae) if sae.frequency is None else None
    if frame is None:
        return sae
    frequency = torch.full((sae.d_sae,), float("nan"))
    known = frame.filter(pl.col("frequency").is_not_null() & pl.col("frequency").is_not_nan())
    frequency[known["feature"].to_torch()] = known["frequency"].to_torch()
    dead = (frequency == 0).to(sae.device)
    if not dead.any() or "dead" in sae.exclusions:
        return sae
    return dataclasses.replace(sae, exclusions={**sae.exclusions, "dead": dead})


def read_features(folder: str | Path, most: int | None = None) -> pl.DataFrame | None:
    """The table in an SAE's folder; None if there is none.

    Args:
        folder: the folder of the weights.
        most: the number of features; a table with more rows is not read.

    Raises:
        CheckpointError: it cannot be read, lacks a column, has a column with a wrong type or
            impossible values, repeats a feature, or has more than `most` rows.
    """
    path = Path(folder) / FILE
    if not os.path.lexists(path):
        return None
    wanted = ["feature", *STATISTICS, "contexts"]
    frame = read_parquet(path, wanted, error=CheckpointError, most_rows=most)
    for name, fits, expected in (
        ("feature", frame.schema["feature"].is_integer(), "integers"),
        *((name, frame.schema[name].is_numeric(), "numbers") for name in STATISTICS),
        ("contexts", _are_contexts(frame.schema["contexts"]), "lists of " + _struct()),
    ):
        if not fits:
            raise CheckpointError(
                f"{path}: column {name} holds {frame.schema[name]}, expected {expected}"
            )
    if frame["feature"].null_count() or frame["feature"].is_duplicated().any():
        raise CheckpointError(f"{path}: column feature has gaps or repeats a feature")
    with parsing(path, error=CheckpointError, say="a value that cannot be"):
        frame = frame.select(wanted).with_columns(
            pl.col("feature").cast(pl.Int64), pl.col(*STATISTICS).cast(pl.Float32)
        )
    _check_values(frame, path)
    return frame


def top_contexts(frame: pl.DataFrame, feature: int, n: int = 3) -> list[Context]:
    """Up to `n` contexts of a feature, best first; none for a feature without a row."""
    rows = frame.filter(pl.col("feature") == feature)["contexts"]
    found: list[dict[str, Any] | None] = (
        rows[0].to_list() if len(rows) and rows[0] is not None else []
    )
    return [
        Context(**{name: c[name] or "" for name in _TEXTS}, activation=float(c["activation"] or 0))
        for c in found[:n]
        if c is not None
    ]


def _check_values(frame: pl.DataFrame, path: Path) -> None:
    """Refuse impossible numbers; unknown values are null."""
    shown = frame["contexts"].explode().drop_nulls().struct.field("activation")
    for name, values in ((name, frame[name]) for name in STATISTICS):
        if not values.drop_nulls().is_finite().all():
            raise CheckpointError(f"{path}: column {name} has NaN or infinite values")
    if not shown.drop_nulls().cast(pl.Float64).is_finite().all():
        raise CheckpointError(f"{path}: column contexts has NaN or infinite activations")
    if not frame["frequency"].drop_nulls().is_between(0, 1 + 1e-5).all():
        raise CheckpointError(f"{path}: column frequency has values that are no shares, 0 to 1")


def _are_contexts(kind: pl.DataType) -> bool:
    if not isinstance(kind, pl.List) or not isinstance(kind.inner, pl.Struct):
        return False
    fields = kind.inner.to_schema()
    activation = fields.get("activation")
    texts = all(fields.get(name) == pl.String for name in _TEXTS)
    return texts and activation is not None and activation.is_numeric()


def _struct() -> str:
    return "{" + ", ".join((*_TEXTS[:3], "activation", _TEXTS[3])) + "}"

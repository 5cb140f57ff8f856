"""What an SAE's features fire on: the table `features.parquet` that may lie beside its weights.

Columns: `feature` (int64); `frequency`, the share of tokens on which it fired; `mean_activation`
when active and `max_activation`, in the SAE's own activation units; `contexts`, the texts of its
largest activations, best first, each with `before`, `token`, `after`, `activation`, `source`.
"""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import NamedTuple

import polars as pl
import torch

from saematch import shipped
from saematch.errors import CheckpointError
from saematch.sae import SAE

FILE = "features.parquet"
STATISTICS = ("frequency", "mean_activation", "max_activation")
_TEXTS = ("before", "token", "after", "source")


class Context(NamedTuple):
    """One place in a text where a feature fired."""

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
    """The table beside an SAE's weights, checked against its size; None where there is none.

    Raises:
        CheckpointError: as `read_features`, or it speaks of features that the SAE does not have.
    """
    folder = folder_of(sae)
    frame = None if folder is None else read_features(folder)
    if frame is not None and frame.height:
        low, high = frame["feature"].min(), frame["feature"].max()
        if low < 0 or high >= sae.d_sae:  # pyright: ignore[reportOptionalOperand, reportOperatorIssue]
            raise CheckpointError(
                f"{folder}/{FILE}: features {low} to {high}, but the SAE has {sae.d_sae:,}"
            )
    return frame


def with_frequency(sae: SAE) -> SAE:
    """An SAE without the features that never fired, by the table beside it.

    They are excluded as dead. An SAE with frequencies of its own is returned as it is.

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


def read_features(folder: str | Path) -> pl.DataFrame | None:
    """The table of an SAE's folder; None where the folder holds none.

    Raises:
        CheckpointError: it cannot be read, lacks a column, has one of another type, or repeats a
            feature.
    """
    path = Path(folder) / FILE
    if not path.is_file():
        return None
    try:
        frame = pl.read_parquet(path)
    except (pl.exceptions.PolarsError, OSError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise CheckpointError(f"{path}: not a readable Parquet file ({reason})") from error
    wanted = ["feature", *STATISTICS, "contexts"]
    missing = [name for name in wanted if name not in frame.columns]
    if missing:
        raise CheckpointError(
            f"{path}: no column {', '.join(missing)}; it has {', '.join(frame.columns) or 'none'}"
        )
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
    return frame.select(wanted).with_columns(
        pl.col("feature").cast(pl.Int64), pl.col(*STATISTICS).cast(pl.Float32)
    )


def top_contexts(frame: pl.DataFrame, feature: int, n: int = 3) -> list[Context]:
    """Up to `n` contexts of a feature, best first; none for a feature that has no row."""
    rows = frame.filter(pl.col("feature") == feature)["contexts"]
    found = rows[0].to_list() if len(rows) and rows[0] is not None else []
    return [
        Context(**{name: c[name] or "" for name in _TEXTS}, activation=float(c["activation"] or 0))
        for c in found[:n]
        if c is not None
    ]


def _are_contexts(kind: pl.DataType) -> bool:
    if not isinstance(kind, pl.List) or not isinstance(kind.inner, pl.Struct):
        return False
    fields = kind.inner.to_schema()
    activation = fields.get("activation")
    texts = all(fields.get(name) == pl.String for name in _TEXTS)
    return texts and activation is not None and activation.is_numeric()


def _struct() -> str:
    return "{" + ", ".join((*_TEXTS[:3], "activation", _TEXTS[3])) + "}"

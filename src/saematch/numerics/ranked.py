# pyright: strict
"""Ranked: the best partners of each feature of one side, best first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Generic, TypeVar

import numpy as np
import torch
from numpy import ndarray
from torch import Tensor

if TYPE_CHECKING:
    import polars as pl

Array = TypeVar("Array", Tensor, ndarray)


@dataclass(frozen=True, eq=False)
class Best(Generic[Array]):
    """The best partner of each of n features; -1 and NaN where a feature has none."""

    index: Array  # int64 (n,)
    score: Array  # float (n,)
    p_value: Array  # float (n,)


@dataclass(frozen=True, eq=False)
class Ranked(Generic[Array]):
    """The k best partners of each of n features, best first.

    Missing partners have the index -1 and NaN for all values. The arrays are tensors if they were
    computed and numpy arrays if they were read from tables.
    """

    index: Array  # int64 (n, k)
    score: Array  # float (n, k)
    more: Mapping[str, Array] = field(
        default_factory=dict[str, Array]
    )  # further values (n, k) by name

    @property
    def shape(self) -> tuple[int, int]:
        """The number of features, and of partners kept for each."""
        n, k = self.index.shape
        return n, k

    @property
    def p_value(self) -> Array:
        """The p-values of the scores, `(n, k)`."""
        return self.more["p_value"]

    def best(self) -> Best[Array]:
        """The first partner of each feature."""
        return Best(
            _first(self.index, -1), *(_first(v, np.nan) for v in (self.score, self.p_value))
        )

    @staticmethod
    def from_polars(
        table: pl.DataFrame, name: str, features: int, more: Sequence[str] | None = None
    ) -> Ranked[ndarray]:
        """The lists that a table of `to_polars` was made of, with as many partners as it has.

        Args:
            table: with the columns `feature`, `rank`, `name` and `score`.
            name: the name of the partners' column.
            features: the number of features.
            more: further columns, all of the others by default; one that the table lacks is NaN.
        """
        if more is None:
            more = [c for c in table.columns if c not in ("feature", "rank", name, "score")]
        rank = table["rank"].to_numpy() - 1
        place = table["feature"].to_numpy(), rank
        shape = features, int(rank.max()) + 1 if len(rank) else 0

        def wide(column: str) -> ndarray:
            array = np.full(shape, np.nan)
            if column in table.columns:
                array[place] = table[column].cast(float).fill_null(np.nan).to_numpy()
            return array

        index = np.full(shape, -1)
        index[place] = table[name].to_numpy()
        return Ranked(index, wide("score"), {column: wide(column) for column in more})

    def to_torch(self, device: torch.device | str = "cpu") -> Ranked[Tensor]:
        """The same lists as tensors."""

        def tensor(values: Tensor | ndarray) -> Tensor:
            return torch.as_tensor(values, device=device)

        more = {name: tensor(values) for name, values in self.more.items()}
        return Ranked(tensor(self.index), tensor(self.score), more)

    def to_polars(self, name: str, score: str = "score") -> pl.DataFrame:
        """One row per feature and partner.

        Columns: `feature`, `rank` (from 1), the partner under `name`, its `score`, and all of
        `more`. NaN becomes null.

        Args:
            name: the name of the partners' column, such as `target`.
            score: the name of the scores' column.
        """
        import polars as pl

        n, k = self.shape
        columns = {
            "feature": np.repeat(np.arange(n), k),
            "rank": np.tile(np.arange(1, k + 1), n),
            name: _flat(self.index),
            score: _flat(self.score),
            **{key: _flat(values) for key, values in self.more.items()},
        }
        return pl.DataFrame(columns).filter(pl.col(name) >= 0).fill_nan(None)


def _first(values: Array, none: float) -> Array:
    if values.shape[1]:
        return values[:, 0]
    if isinstance(values, Tensor):
        return values.new_full((len(values),), none)
    return np.full(len(values), none, values.dtype)


def _flat(values: Tensor | ndarray) -> ndarray:
    return values.flatten().cpu().numpy() if isinstance(values, Tensor) else values.ravel()

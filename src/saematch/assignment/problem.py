"""The scores of an assignment problem, checked once."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Num
from torch import Tensor

from saematch.errors import SaematchError

Rows = Num[Tensor, "n D"] | Num[np.ndarray, "n D"]
Columns = Num[Tensor, "m D"] | Num[np.ndarray, "m D"]
PerRow = Num[Tensor, " n"] | Num[np.ndarray, " n"]
PerColumn = Num[Tensor, " m"] | Num[np.ndarray, " m"]

SLICE = 1024  # rows looked at once, of vectors that may be larger than memory


@dataclass(frozen=True)
class Problem:
    """`s_ij = x_i . y_j + row_offset_i + column_offset_j`, never held as a whole."""

    x: Float[Tensor, "n D"]
    y: Float[Tensor, "m D"]
    row_offset: Float[Tensor, " n"]
    column_offset: Float[Tensor, " m"]

    @property
    def n(self) -> int:
        return self.x.shape[0]

    @property
    def m(self) -> int:
        return self.y.shape[0]

    def transposed(self) -> Problem:
        return Problem(self.y, self.x, self.column_offset, self.row_offset)


def problem(
    x: Rows,
    y: Columns,
    row_offset: PerRow | None = None,
    column_offset: PerColumn | None = None,
    dtype: torch.dtype | None = torch.float64,
) -> Problem:
    """Check the parts of a problem and bring them to `dtype` on the device of `x`.

    Without a `dtype`, `x` and `y` become the smaller of float32 and float64 that holds them, and
    the offsets float64.
    """
    offset_dtype = dtype or torch.float64
    x, y = real_tensor(x, "x"), real_tensor(y, "y")
    dtype = dtype or _smallest(x, y)
    x = _real(x, "x", 2, dtype)
    y = _real(y, "y", 2, dtype).to(x.device)
    if x.shape[1] != y.shape[1]:
        raise SaematchError(
            f"x has vectors of length {x.shape[1]} and y of length {y.shape[1]}; "
            "both must lie in the same space"
        )
    return Problem(
        x,
        y,
        _offset(row_offset, "row_offset", x, "rows of x", offset_dtype),
        _offset(column_offset, "column_offset", y, "rows of y", offset_dtype),
    )


def _smallest(*parts: Tensor) -> torch.dtype:
    small = (torch.float16, torch.bfloat16, torch.float32)
    return torch.float32 if all(part.dtype in small for part in parts) else torch.float64


def real_tensor(values: Tensor | np.ndarray | float, name: str) -> Tensor:
    """A tensor of real numbers, of arrays in whatever order of axes and bytes."""
    if not isinstance(values, Tensor):
        try:
            values = np.asarray(values)
        except (TypeError, ValueError) as error:
            raise SaematchError(
                f"{name} is a {type(values).__name__}; a tensor or an array of real numbers is "
                "needed"
            ) from error
        if values.dtype.kind not in "iuf":
            raise SaematchError(f"{name} is an array of {values.dtype}; real numbers are needed")
        plain = values.dtype in (np.float16, np.float32)
        dtype = values.dtype.newbyteorder("=") if plain else np.float64
        with warnings.catch_warnings():
            # nothing here writes to it, and a copy of a memory-mapped file may not fit in memory
            warnings.filterwarnings("ignore", "The given NumPy array is not writable")
            return torch.from_numpy(np.require(values, dtype, ["C"]))  # no steps backwards
    tensor = values.detach()
    if tensor.is_complex() or tensor.dtype == torch.bool:
        raise SaematchError(f"{name} is {tensor.dtype}; real numbers are needed")
    return tensor


def _real(values: Tensor | np.ndarray, name: str, ndim: int, dtype: torch.dtype) -> Tensor:
    tensor = real_tensor(values, name)
    if tensor.ndim != ndim:
        raise SaematchError(f"{name} has shape {tuple(tensor.shape)}; {ndim} dimensions are needed")
    tensor = tensor.to(dtype)
    # a sum shows NaN and infinity in a fraction of the time; it may overflow without them
    if not tensor.sum().isfinite():
        bad = sum(int((~some.isfinite()).sum()) for some in tensor.split(SLICE))
        if bad:
            raise SaematchError(f"{name} has {bad} entries that are NaN or infinite in {dtype}")
    return tensor


def _offset(
    values: PerRow | PerColumn | None, name: str, like: Tensor, what: str, dtype: torch.dtype
) -> Tensor:
    if values is None:
        return like.new_zeros(like.shape[0], dtype=dtype)
    offset = _real(values, name, 1, dtype).to(like.device)
    if offset.shape[0] != like.shape[0]:
        raise SaematchError(
            f"{name} has {offset.shape[0]} entries; one is needed for each of the "
            f"{like.shape[0]} {what}"
        )
    return offset

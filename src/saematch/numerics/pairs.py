"""Sums over pairs of rows of two matrices, in float64, without copies of the rows."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from saematch.numerics.compiled import compiled

STRIP = 256  # dimensions brought into order at once


def products(
    x: Float[Tensor, "n D"],
    y: Float[Tensor, "m D"],
    row: Int[Tensor, " pairs"],
    column: Int[Tensor, " pairs"],
) -> Float[Tensor, " pairs"]:
    """`x_i . y_j` of each pair, float64, on the processor."""
    sums = np.zeros(len(row))
    for u, v in _strips(x, y):
        spread(_products, len(row), u, v, _numbers(row), _numbers(column), sums)
    return torch.from_numpy(sums)


def moments(
    x: Float[Tensor, "n D"],
    y: Float[Tensor, "m D"],
    row: Int[Tensor, " pairs"],
    column: Int[Tensor, " pairs"],
    x_scale: Float[Tensor, " n"],
    y_scale: Float[Tensor, " m"],
) -> Float[Tensor, "pairs 5"]:
    """`x.y`, `|x|^2`, `|y|^2`, `|x - y|^2` and `|s x - t y|^2` of each pair, likewise."""
    sums = np.zeros((len(row), 5))
    scales = (scale.double().cpu().numpy() for scale in (x_scale, y_scale))
    rest = _numbers(row), _numbers(column), *scales, sums
    for u, v in _strips(x, y):
        spread(_moments, len(row), u, v, *rest)
    return torch.from_numpy(sums)


def _strips(x: Tensor, y: Tensor) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Both as arrays with one row after the other: whole if they are that, else by dimensions."""
    plain = all(
        v.is_contiguous() and v.device.type == "cpu" and v.dtype in (torch.float32, torch.float64)
        for v in (x, y)
    )
    width = x.shape[1] if plain else STRIP
    for start in range(0, x.shape[1], max(1, width)):
        parts = (v.detach()[:, start : start + width] for v in (x, y))
        wide = (v if v.dtype == torch.float64 else v.float() for v in parts)
        left, right = (v.cpu().contiguous().numpy() for v in wide)
        yield left, right


def _numbers(index: Tensor) -> np.ndarray:
    return index.to("cpu", torch.int64).contiguous().numpy()


def spread(work: Callable[..., None], count: int, *given: Any) -> None:
    """Let threads do `work(begin, end, *given)` for a part of so many things each."""
    threads = torch.get_num_threads()
    edges = np.linspace(0, count, min(count, threads) + 1).astype(int).tolist()
    with ThreadPoolExecutor(threads) as pool:
        for _ in pool.map(lambda part: work(*part, *given), itertools.pairwise(edges)):
            pass


@compiled
def _products(begin, end, x, y, row, column, sums):
    for p in range(begin, end):
        i, j, total = row[p], column[p], 0.0
        for d in range(x.shape[1]):
            total += np.float64(x[i, d]) * np.float64(y[j, d])
        sums[p] += total


@compiled
def _moments(begin, end, x, y, row, column, x_scale, y_scale, sums):
    for p in range(begin, end):
        i, j = row[p], column[p]
        s, t = x_scale[i], y_scale[j]
        product, left, right, plain, scaled = 0.0, 0.0, 0.0, 0.0, 0.0
        for d in range(x.shape[1]):
            u, v = np.float64(x[i, d]), np.float64(y[j, d])
            product += u * v
            left += u * u
            right += v * v
            plain += (u - v) * (u - v)
            scaled += (s * u - t * v) * (s * u - t * v)
        sums[p, 0] += product
        sums[p, 1] += left
        sums[p, 2] += right
        sums[p, 3] += plain
        sums[p, 4] += scaled

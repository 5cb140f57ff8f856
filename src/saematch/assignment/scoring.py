"""Lists of candidates for rows, from blocks of approximate scores computed or kept."""

from __future__ import annotations

import functools
import itertools
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from torch import Tensor

from saematch.assignment.auction.forest_dense import upper_bounds
from saematch.assignment.auction.state import State, score_rows
from saematch.assignment.filtering import Bound, Filter
from saematch.assignment.kept import added
from saematch.assignment.selection import select, take_some
from saematch.assignment.ties import classes
from saematch.assignment.work import Work

BLOCK_ENTRIES = 2**24  # approximate scores computed at once: 64 MiB in float32
FEWEST, MOST = 256, 2048  # rows of such a block
PARTS = 4  # pieces of a block for each thread, so that none waits long for another
WIDE_ENTRIES = 2**25


def usual_block(m: int) -> int:
    """Rows scored at once: a product large enough to be fast, in little memory."""
    return min(MOST, max(FEWEST, BLOCK_ENTRIES // max(1, m)))


class Scorer:
    """Fills lists at the current prices; keeps the approximate scores where there is room."""

    def __init__(
        self,
        filtering: Filter,
        state: State,
        work: Work,
        block: int,
        keep: bool,
        widths: tuple[int, ...] = (),
    ):
        self.filter, self.state, self.work, self.widths = filtering, state, work, widths
        self.on_device = filtering.left.is_cuda
        n, m = len(filtering.left), len(filtering.right)
        self.block = block
        self.kept: list[Tensor] | None = None  # scores of each part, whose sum they are
        if keep:
            left = filtering.left
            self.kept = [left.new_empty((n, m)) for _ in widths or (left.shape[1],)]
        self.pool = ThreadPoolExecutor(torch.get_num_threads())

    def first(self) -> Iterator[np.ndarray]:
        """Score all rows, a block at a time; each block's rows once they have their lists."""
        for rows in self._blocks():
            raw = self._product(rows)
            numbers = np.arange(rows.start, rows.stop)
            self._select(raw, numbers)
            yield numbers

    def _blocks(self) -> Iterator[slice]:
        n = len(self.filter.left)
        for start in range(0, n, self.block):
            yield slice(start, min(start + self.block, n))

    def again(self, rows: np.ndarray) -> None:
        """New lists for `rows`, as long as there is room for."""
        self.work.rounds += 1
        self.work.refreshed += len(rows)
        for length in np.unique(self.state.length[rows]):
            like = rows[self.state.length[rows] == length]
            for start in range(0, len(like), self.block):
                some = like[start : start + self.block]
                index = torch.from_numpy(some.astype(np.int64)).to(self.filter.left.device)
                raw = self._scores(index)
                self._select(raw, some)

    def bounds(self, out: np.ndarray) -> None:
        """Fill `out` with bounds above all scores of all rows, once `first` is through."""
        state, bound = self.state, self.filter.bound

        def fill(part: slice, raw: Tensor, numbers: np.ndarray) -> None:
            upper_bounds(raw[part].float().cpu().numpy(), numbers[part], state, bound, out)

        for rows in self._blocks():
            raw = self._scores(rows)
            numbers = np.arange(rows.start, rows.stop)
            self._spread(len(numbers), functools.partial(fill, raw=raw, numbers=numbers))

    def every(self) -> np.ndarray:
        """All scores; of features that are the same, the same to the last bit."""
        s = self.state
        rows, row_of = np.unique(classes(s.x, s.row_offset), return_inverse=True)
        columns, column_of = np.unique(classes(s.y, s.column_offset), return_inverse=True)
        y, offset = s.y[columns].astype(np.float64).T, s.column_offset[columns]
        out = np.empty((len(s.target), len(s.price)))
        for start in range(0, len(rows), self.block):
            some = rows[start : start + self.block]
            scores = s.x[some].astype(np.float64) @ y + s.row_offset[some, None] + offset
            which = np.flatnonzero((row_of >= start) & (row_of < start + self.block))
            out[which] = scores[row_of[which] - start][:, column_of]
        return out

    def whole(self, rows: np.ndarray) -> np.ndarray:
        """All exact scores of `rows`."""
        out = np.empty((len(rows), len(self.filter.right)))
        self._spread(len(rows), lambda p: score_rows(self.state, rows[p], out[p]))
        return out

    def _scores(self, rows: slice | Tensor) -> Tensor:
        return self._product(rows) if self.kept is None else added(self.kept, rows)

    def _product(self, rows: slice | Tensor) -> Tensor:
        start = time.perf_counter()
        if self.kept is None:
            raw = self.filter.product(rows)
        elif len(self.kept) > 1 and isinstance(rows, slice):
            self.filter.fill(rows, self.widths, [kept[rows] for kept in self.kept])
            raw = added(self.kept, rows)
        else:
            raw = self.kept[0][rows] = self.filter.product(rows)
        if raw.is_cuda:
            torch.cuda.synchronize(raw.device)
        self.work.scored += len(raw)
        self.work.product_seconds += time.perf_counter() - start
        return raw

    def _select(self, raw: Tensor, rows: np.ndarray) -> None:
        """Lists for `rows`, all of one length, from their approximate scores."""
        start = time.perf_counter()
        state, bound = self.state, self.filter.bound
        if self.on_device:
            found = best_on_device(raw, rows, state, bound)
            self._spread(
                len(rows), lambda p: take_some(rows[p], *(f[p] for f in found), state, bound)
            )
        else:
            self._spread(
                len(rows), lambda p: select(raw[p].float().cpu().numpy(), rows[p], state, bound)
            )
        self.work.selection_seconds += time.perf_counter() - start

    def _spread(self, count: int, work) -> None:
        pieces = max(1, min(count, PARTS * torch.get_num_threads()))
        edges = np.linspace(0, count, pieces + 1).astype(int)
        parts = [slice(a, b) for a, b in itertools.pairwise(edges)]
        for _ in self.pool.map(work, parts):
            pass

    def close(self) -> None:
        self.pool.shutdown()


def best_on_device(
    raw: Tensor, rows: np.ndarray, state: State, bound: Bound
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The work of `select` where the scores lie: columns, approximate scores, bound outside."""

    def there(values: np.ndarray) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(values)).to(raw.device)

    k = int(state.length[rows[0]])
    column_scale = there(bound.column_scale)
    reach = there(np.where(state.owner < 0, 1.5, 1.0) * bound.column_reach)
    base = there(state.column_offset - state.price)
    index, values, outside = [], [], []
    step = max(1, WIDE_ENTRIES // raw.shape[1])
    for start in range(0, len(rows), step):
        some, part = rows[start : start + step], raw[start : start + step]
        wide = part.double()
        upper = (wide + bound.relative * wide.abs()) * there(bound.row_scale[some])[:, None]
        upper = upper * column_scale + there(bound.row_slack[some])[:, None] * reach + base
        top = upper.topk(min(k + 1, raw.shape[1]), dim=1)
        index.append(top.indices[:, :k].to(torch.int32))
        values.append(wide.gather(1, top.indices[:, :k]))
        last = top.values[:, k] if raw.shape[1] > k else upper.new_full((len(some),), -torch.inf)
        outside.append(last.cpu() + torch.from_numpy(state.row_offset[some]))
    return (
        torch.cat(index).cpu().numpy(),
        torch.cat(values).cpu().numpy(),
        torch.cat(outside).numpy(),
    )

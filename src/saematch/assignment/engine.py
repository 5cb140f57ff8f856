"""The exact solver that never needs the whole matrix of scores.

1. **Candidates.** A blocked product gives approximate scores with a bound on their error. Each row
   keeps a list of the columns that may be worth most at the current prices, and `tau`, above which
   nothing outside its list can be.
2. **Bidding.** Free rows bid for the column they like best, with no least increment: a row with a
   column likes no other better, to rounding. Prices only rise, so lists and `tau` stay valid. The
   exact score of a pair is computed when it first is one of the two best of its row.
3. **Refresh.** Rows whose list may no longer hold their best wait, and get new lists together.
4. **Paths.** Rows that tie, and rows in a price war, are assigned along shortest augmenting paths
   through the same lists. Where lists cannot tell (more equal columns than a list is long), all
   scores of a row are computed.

Bertsekas, "Network Optimization" (1998), chapter 7; Jonker and Volgenant, Computing 38 (1987),
whose "augmenting row reduction" is an auction without a least increment.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
from torch import Tensor

from saematch.assignment.bidding import bid
from saematch.assignment.filtering import Filter
from saematch.assignment.paths import augment
from saematch.assignment.scoring import Scorer
from saematch.assignment.solution import Solution
from saematch.assignment.state import ALONE, FREE, State, row_duals
from saematch.assignment.work import Progress, Work
from saematch.errors import SaematchError

PATIENCE = 2000  # bids of a row before it is assigned along a path
FULL = 64  # rows that a new product is worth making for
TRIES = 2  # new lists of a row that paths are short of, before all its scores are computed
LISTS = 50  # lists of a row that waits, before it is assigned along a path
ROUNDS = 8  # of paths through lists, before all scores of all rows are computed where they fit
WHOLE = 2**29  # bytes, at most, for all scores of all rows


def new_state(
    x: Tensor, y: Tensor, row_offset: Tensor, column_offset: Tensor, k: int, price: np.ndarray
) -> State:
    """No lists and no pairs yet."""
    n, m = len(x), len(y)
    return State(
        x=x.cpu().contiguous().numpy(),
        y=y.cpu().contiguous().numpy(),
        row_offset=row_offset.cpu().numpy(),
        column_offset=column_offset.cpu().numpy(),
        column=np.zeros((n, k), np.int32),
        value=np.zeros((n, k)),
        exact=np.zeros((n, k), np.bool_),
        tau=np.full(n, np.inf),
        price=price,
        owner=np.full(m, FREE, np.int32),
        target=np.full(n, FREE, np.int32),
        own=np.zeros(n),
        bids=np.zeros(n, np.int64),
        whole=np.full(n, -1, np.int32),
        rows=np.zeros((0, m)),
        counts=np.zeros(4, np.int64),
    )


class Engine:
    """One solve: at most as many rows as columns, unless rows may stay alone."""

    def __init__(
        self,
        state: State,
        filtering: Filter,
        fine: Callable[[], Filter],
        work: Work,
        *,
        alone: bool,
        block: int,
        keep: bool,
        most_bids: int,
        room: int,
        progress: Progress | None,
    ):
        self.state, self.work, self.alone, self.progress = state, work, alone, progress
        self.scorer = Scorer(filtering, fine, state, work, block, keep)
        self.most_bids, self.room = most_bids, room
        self.waiting, self.stuck = [], []
        self.tries = np.zeros(len(state.target), np.int64)
        self.bids_at_list = np.full(len(state.target), -1, np.int64)
        self.lists = np.zeros(len(state.target), np.int64)
        self.path_rounds = 0
        self.shorts = np.zeros(len(state.target), np.int64)

    def solve(self) -> Solution:
        try:
            for rows in self.scorer.first():
                self._bid(rows)
                self._tell("candidates")
            while self.waiting or self.stuck:
                if self.waiting:
                    rows, self.waiting = np.sort(np.concatenate(self.waiting)), []
                    self.lists[rows] += 1
                    tired = self.lists[rows] > LISTS
                    if tired.any():
                        self.stuck.append(rows[tired])
                        rows = rows[~tired]
                    self._refresh(rows)
                    self._bid(rows)
                    self._tell("bidding")
                else:
                    self._augment()
                    self._tell("paths")
        finally:
            self.scorer.close()
        self.work.exact_scores, self.work.bids, self.work.paths = map(int, self.state.counts[:3])
        return self._certified()

    def _bid(self, rows: np.ndarray) -> None:
        start = time.perf_counter()
        left = self.most_bids - int(self.state.counts[1])
        found = bid(self.state, rows.astype(np.int32), self.alone, PATIENCE, left)
        waiting, stuck, unserved = found
        self.waiting += [waiting] if len(waiting) else []
        self.stuck += [part for part in (stuck, unserved) if len(part)]
        self.work.bidding_seconds += time.perf_counter() - start

    def _refresh(self, rows: np.ndarray) -> None:
        """New lists for rows that wait, by finer scores where the last list brought no bid."""
        s = self.state
        idle = s.bids[rows] == self.bids_at_list[rows]
        self.tries[rows] = np.where(idle, self.tries[rows] + 1, 1)
        self.bids_at_list[rows] = s.bids[rows]
        tries = self.tries[rows]
        for level, some in enumerate((rows[tries <= 1], rows[tries == 2], rows[tries > 2])):
            if len(some):
                self.scorer.again(self._filled(some) if level == 0 else some, level)

    def _filled(self, rows: np.ndarray) -> np.ndarray:
        """`rows` and, where they are few, the rows with a column that are next to need a list."""
        missing = min(FULL, len(self.state.target)) - len(rows)
        if missing <= 0:
            return rows
        s = self.state
        room = np.where(s.target >= 0, s.own - s.price[s.target], np.inf) - s.tau
        return np.concatenate([rows, np.argsort(room, kind="stable")[:missing]])

    def _augment(self) -> None:
        start = time.perf_counter()
        rows, self.stuck = np.concatenate(self.stuck), []
        left, short = augment(self.state, rows, self.alone)
        self.work.bidding_seconds += time.perf_counter() - start
        if len(left) == 0:
            return
        self.stuck.append(left)
        self.path_rounds += 1
        everything = 8 * len(self.state.target) * len(self.state.price)
        if self.path_rounds > ROUNDS and everything <= min(WHOLE, self.room // 2):
            self._know(np.flatnonzero(self.state.whole < 0))
            return
        short = np.unique(short)
        self.shorts[short] += 1
        for level in range(TRIES):
            some = short[self.shorts[short] == level + 1]
            if len(some):
                self.scorer.again(some, level)
        known = short[self.shorts[short] > TRIES]
        if len(known):
            self._know(known)

    def _know(self, rows: np.ndarray) -> None:
        """Compute every score of `rows`, once for rows that are the same."""
        s = self.state
        same = np.concatenate([s.x[rows], s.row_offset[rows, None]], axis=1)
        _, first, place = np.unique(same, axis=0, return_index=True, return_inverse=True)
        needed = 8 * s.rows.shape[1] * (2 * len(s.rows) + len(first))
        if needed > self.room:
            raise SaematchError(
                f"too many scores are equal or nearly so: {needed:,} bytes are needed to tell them "
                f"apart and {self.room:,} are left; leave out features that are the same, or set "
                "memory_limit (bytes) if there is more"
            )
        s.whole[rows] = len(s.rows) + place.reshape(-1)
        self.state = s._replace(rows=np.concatenate([s.rows, self.scorer.whole(rows[first])]))
        self.scorer.state = self.state

    def _certified(self) -> Solution:
        s = self.state
        dual = row_duals(s, self.alone)
        paired = s.target >= 0
        worth = np.where(paired, s.own - s.price[np.where(paired, s.target, 0)], 0.0)
        missed = np.maximum(dual - worth, 0.0).sum()
        unsold = np.abs(s.price[s.owner == FREE]).sum()
        target = np.where(s.target == ALONE, FREE, s.target).astype(np.int64)
        return Solution(target, s.own, dual, s.price, float(missed + unsold))

    def _tell(self, phase: str) -> None:
        if self.progress is not None:
            assigned = int((self.state.target != FREE).sum())
            self.progress(phase, assigned, len(self.state.target))

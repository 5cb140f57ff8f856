"""The exact solver that never needs the whole matrix of scores.

1. **Candidates.** A blocked product gives approximate scores with a bound on their error. Each row
   keeps a list of the columns that may be worth most at the current prices, and `tau`, above which
   nothing outside its list can be.
2. **Bidding.** Free rows bid for the column they like best, with no least increment: a row with a
   column likes no other better, to rounding. Prices only rise, so lists and `tau` stay valid. The
   exact score of a pair is computed when it first is one of the two best of its row.
3. **Refresh.** Rows whose list may no longer hold their best wait, and get new lists together.
4. **Other first prices.** In a price war the exact solve starts anew: from the mean scores of
   columns, if it has not begun from these; or, where all scores fit in memory, from prices that
   are found by auctions with a least increment.
5. **Paths.** Rows that tie, and rows in a price war, are assigned along shortest augmenting paths
   through the same lists, grown together. A row whose list cannot tell gets one twice as long.

Bertsekas, "Network Optimization" (1998), chapter 7; Jonker and Volgenant, Computing 38 (1987),
whose "augmenting row reduction" is an auction without a least increment.
"""

from __future__ import annotations

import numpy as np

from saematch.assignment.auction.bidding import bid, ties
from saematch.assignment.auction.first import level, lower, means
from saematch.assignment.auction.forest import grow
from saematch.assignment.auction.forest_dense import augment, duals
from saematch.assignment.auction.scaling import scaled_prices
from saematch.assignment.auction.state import ALONE, FREE, State, lengthened, row_duals
from saematch.assignment.filtering import Filter
from saematch.assignment.scoring import Scorer
from saematch.assignment.solution import Solution
from saematch.assignment.work import Progress, Work
from saematch.errors import SaematchError

PATIENCE = 1000  # bids of a row before it is assigned along a path
EDGES = 4  # looked at for paths, as a multiple of those in lists of the usual length, likewise
USUAL_LIST = 64
SCANS = 2  # rows scanned for paths, as a multiple of all, before all scores are brought to hand
PLACE = 40  # bytes that a place in a list takes while lists are moved
FULL = 64  # rows that a new product is worth making for
WIDE = 1.1  # columns, as a multiple of the rows, up to which prices are sought otherwise
LEVELS = 200  # bids for the cheapest columns on behalf of those left over, likewise
RESTARTS = 2  # from first prices that were too high, before starting from none
STALLED = 2  # lists made again, as a multiple of all rows, before prices are sought otherwise;
STALLED_ANEW = 1  # likewise where each costs a product
LISTS = 20  # lists of a row that waits, before it is assigned along a path
TIED = 0.25  # of the rows, with a list that brought no bid, before all scores are brought to hand
LARGE = 4096  # rows; with each as many more, paths are longer and worth more bids and lists


class Engine:
    """One solve: at most as many rows as columns, unless rows may stay alone."""

    def __init__(
        self,
        state: State,
        filtering: Filter,
        work: Work,
        *,
        alone: bool,
        block: int,
        keep: bool,
        widths: tuple[int, ...],
        most_bids: int,
        room: int,
        progress: Progress | None,
    ):
        self.state, self.work, self.alone, self.progress = state, work, alone, progress
        self.scorer = Scorer(filtering, state, work, block, keep, widths)
        self.most_bids, self.room = most_bids, room
        times = max(1, len(state.target) // LARGE)
        self.patience, self.most_lists = PATIENCE * times, LISTS * times
        self.waiting, self.stuck = [], []
        self.may_scale = not alone and len(state.price) <= WIDE * len(state.target)
        square = not alone and len(state.price) == len(state.target)
        if square and not state.price.any():
            state.price[:] = means(state)
        self.may_centre, self.centred = self.may_scale and not square, False
        self.before = 0, 0  # lists made again and rows scanned, when prices were last sought
        self.first_price = state.price.copy()
        self.dual: np.ndarray | None = None  # once all scores have been at hand
        self.bids_at_list = np.full(len(state.target), -1, np.int64)
        self.lists = np.zeros(len(state.target), np.int64)

    def solve(self) -> Solution:
        try:
            for rows in self.scorer.first():
                self._bid(rows)
                self._tell("candidates")
            self._go_on()
            self._level()
            for restart in range(RESTARTS + 1):
                s = self.state
                unearned = (s.owner == FREE) & (s.price != 0)
                if not unearned.any():
                    break
                # a column that nobody took must be free: the first prices were too high
                last = restart == RESTARTS or self.centred
                self._anew(0 * s.price if last else np.where(unearned, 0.0, self.first_price))
                self.may_scale = self.may_scale and (self.centred or not last)
                self.centred = False
                self._go_on()
        finally:
            self.scorer.close()
        self.work.exact_scores, self.work.bids, self.work.paths = map(int, self.state.counts[:3])
        return self._certified()

    def _go_on(self) -> None:
        """Until no row waits or is stuck."""
        while self.waiting or self.stuck:
            if self._stalled():
                if self.may_centre:
                    self._centre()
                else:
                    self._scale()
                self._tell("scaling")
            elif self.waiting:
                rows, self.waiting = np.sort(np.concatenate(self.waiting)), []
                self.lists[rows] += 1
                tired = self.lists[rows] > self.most_lists
                if tired.any():
                    self.stuck.append(rows[tired])
                    rows = rows[~tired]
                if self._tied(rows):
                    self.stuck.append(rows)
                    self._augment_whole(np.concatenate(self.stuck))
                    self.stuck = []
                    continue
                self._refresh(rows)
                self._bid(rows)
                self._tell("bidding")
            else:
                self._augment()
                self._tell("paths")

    def _anew(self, price: np.ndarray) -> None:
        """No pairs, all rows waiting, and these prices."""
        s = self.state
        s.price[:] = self.first_price = price
        for each, fill in ((s.owner, FREE), (s.target, FREE), (s.bids, 0), (self.lists, 0)):
            each[:] = fill
        self.bids_at_list[:] = -1
        self.dual = None
        self.waiting, self.stuck = [np.arange(len(s.target))], []

    def _bid(self, rows: np.ndarray) -> None:
        left = self.most_bids - int(self.state.counts[1])
        with self.work.bidding():
            waiting, stuck, unserved = bid(
                self.state, rows.astype(np.int32), self.alone, self.patience, left
            )
        self.waiting += [waiting] if len(waiting) else []
        self.stuck += [part for part in (stuck, unserved) if len(part)]

    def _refresh(self, rows: np.ndarray) -> None:
        """New lists for rows that wait, longer where the last one brought no bid."""
        s = self.state
        idle = self._idle(rows)
        self.bids_at_list[rows] = s.bids[rows]
        self._lengthen(rows[idle])
        self.scorer.again(self._filled(rows))

    def _idle(self, rows: np.ndarray) -> np.ndarray:
        """Which of `rows` have made no bid since they got their list."""
        return self.state.bids[rows] == self.bids_at_list[rows]

    def _tied(self, rows: np.ndarray) -> bool:
        """Whether so many of `rows` cannot tell for equal scores that all are worth having."""
        n = len(self.state.target)
        idle = rows[self._idle(rows)]
        if len(idle) <= TIED * n or not self._whole_fits(n):
            return False
        return ties(self.state, idle) > TIED * n

    def _filled(self, rows: np.ndarray) -> np.ndarray:
        """`rows` and, where they are few, the rows with a column that are next to need a list."""
        missing = min(FULL, len(self.state.target)) - len(rows)
        if missing <= 0:
            return rows
        s = self.state
        room = np.where(s.target >= 0, s.own - s.price[s.target], np.inf) - s.tau
        return np.union1d(rows, np.argpartition(room, missing - 1)[:missing])

    def _stalled(self) -> bool:
        """Whether other prices should be sought: where lists are made again without end."""
        n, m = len(self.state.target), len(self.state.price)
        lists, scans = self.work.refreshed - self.before[0], self.state.counts[3] - self.before[1]
        lost = lists > (STALLED if self.work.kept else STALLED_ANEW) * n or scans > SCANS * n
        return lost and (self.may_centre or (self.may_scale and self._whole_fits(m)))

    def _centre(self) -> None:
        """Start anew from the mean scores of columns."""
        self.may_centre, self.centred = False, True
        self.before = self.work.refreshed, int(self.state.counts[3])
        self._anew(means(self.state))

    def _level(self) -> None:
        """Let columns without a row be the cheapest, and then cost nothing."""
        if self.alone or len(self.state.price) == len(self.state.target):
            return
        for _ in range(LEVELS):
            if self.dual is not None:
                return  # all scores have been at hand, and prices are those of paths
            rows = level(self.state)
            if len(rows) == 0:
                lower(self.state)
                return
            self._bid(rows)
            self._go_on()

    def _scale(self) -> None:
        """Start anew from prices of auctions with a least increment, if these come to an end."""
        self.may_scale = False
        s, m = self.state, len(self.state.price)
        value, exact = np.zeros((m, m), np.float32), np.ones((m, m), np.bool_)
        self.scorer.bounds(value[: len(s.target)])
        exact[: len(s.target)] = False
        price = s.price.astype(np.float32)
        with self.work.bidding():
            found = scaled_prices(s, value, exact, price)
        if found:
            self.centred = False
            self._anew(price.astype(np.float64))

    def _augment(self) -> None:
        """Assign the rows that are stuck along paths, as far as lists tell, and lengthen those."""
        s, (n, m) = self.state, (len(self.state.target), len(self.state.price))
        rows, self.stuck = np.concatenate(self.stuck), []
        fits = self._whole_fits(n)
        most = EDGES * n * min(m, USUAL_LIST) if fits else np.iinfo(np.int64).max
        with self.work.bidding():
            left, short = grow(s, rows.astype(np.int32), self.alone, most)
        lost = len(short) < len(left) or int(s.counts[3]) > SCANS * n
        if len(left) and lost and fits:
            self._augment_whole(left)
        elif len(left):
            self.stuck.append(left)
            short = np.unique(short)
            self._lengthen(short)
            self.scorer.again(self._filled(short))

    def _augment_whole(self, rows: np.ndarray) -> None:
        """Assign `rows` along paths with all scores at hand."""
        s, value = self.state, self.scorer.every()
        paired = np.flatnonzero(s.target >= 0)
        s.own[paired] = value[paired, s.target[paired]]
        with self.work.bidding():
            augment(s, rows.astype(np.int32), value, self.alone)
            self.dual = duals(s, value, self.alone)

    def _whole_fits(self, rows: int) -> bool:
        """Whether all scores of so many rows fit, beside the vectors that they are made of."""
        s = self.state
        return 9 * rows * len(s.price) + 8 * s.y.size <= self.room

    def _lengthen(self, rows: np.ndarray) -> None:
        """Make room for lists twice as long, if not for all columns."""
        s, m = self.state, len(self.state.price)
        rows = rows[s.length[rows] < m]
        length = np.minimum(2 * s.length[rows], m)
        self.room -= PLACE * int(length.sum())
        if self.room < 0:
            raise SaematchError(
                f"too many scores are equal or nearly so to tell them apart within memory_limit: "
                f"{-self.room:,} bytes more are needed; leave out features that are the same, or "
                "set memory_limit higher if there is more"
            )
        self.state = self.scorer.state = lengthened(s, rows, length)

    def _certified(self) -> Solution:
        s = self.state
        dual = row_duals(s, self.alone) if self.dual is None else self.dual
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

# Tensor.split, norm and from_numpy, and scipy, have no types of their own
# pyright: strict, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportMissingTypeStubs=false
"""What chance gives: p-values against a null, and matches at a controlled false discovery rate.

An assignment always finds something. The p-value of a score `s` of row i is the chance that the
best of as many null directions as there are columns scores at least as much,

    p_i(s) = P(max_l t_il >= s),      t_il = x_i . z_l + row_offset_i + column_offset_l,

with null vectors `z_l` that have the norms of the target's and random directions
(`saematch.matching.nulls`). It is found in two steps:

1. A formula for each row. Given the norms `r_lv` of views v, the score with a null vector is taken
   to be Gaussian, with mean and variance made of the mean and covariance over null directions of
   the row's products with each view. That gives the expected number of null scores of at least `s`,
   `E_i(s) = sum_l Phi(-(s - mean_il) / deviation_il)`, and its surprise `W_i(s) = -log E_i(s)`.
   So rows of any norm, threshold or direction are measured in one unit.
2. Calibration. Were the formula exact, `W_i` of the row's best null score would follow the law of
   Gumbel. Instead of trusting it, the best scores of thousands of rows with null dictionaries
   are drawn, and `p` is the share of them whose surprise is at least as large. Beyond the highest
   tenth the share is continued as an exponential, at the rate fitted there, but never steeper than
   Gumbel's 1, so that p-values are fine enough for the false discovery rate among many features.

For many-to-one methods the p-value of a match is exact up to that. A one-to-one match can only
score less than the row's best, so its p-value is conservative.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from saematch.errors import MatchError
from saematch.matching.fdr import LEAST
from saematch.matching.nulls import Null, draw, split
from saematch.numerics.sums import sums

DIRECTIONS = 1024  # null directions that give each row's mean and covariance
ALONE = 0.05
BEST = 2048  # best scores of rows with null dictionaries, for calibration
MOST_VECTORS = 2**18  # null vectors drawn for that, unless one dictionary has more
TAIL = 0.1  # share of the calibration beyond which an exponential continues it
SHIFTS = 4  # in time that those are drawn with, at least
ROWS = 2048  # rows whose scores or groups are held at once
NULL_SCORES = 2**24  # held at once: 64 MiB
AT_ONCE = 128  # rows at least that a null is multiplied with, which may lie in a file


Test = Literal["direction", "score"]


@dataclass(frozen=True)
class Significance:
    """How significant matches are found.

    By `direction` the statistic of a pair is the weighted mean of the cosines of the method's
    views, whatever the lengths of the vectors; by `score` it is the method's own score. The two are
    one for methods whose views are all of unit norm.

    With `partial`, leaving row i and column j alone costs minus half of what each of them reaches
    with its null at a chance of `ALONE`, so that they are paired only if their score is more than
    the mean of the two.
    """

    null: Null = "covariance"
    fdr: float = 0.01
    partial: bool = False
    seed: int = 0
    test: Test = "direction"

    def check(self, kind: str) -> None:
        """Raise MatchError where it makes no sense, also for that kind of assignment."""
        if self.test not in get_args(Test):
            known = " or ".join(get_args(Test))
            raise MatchError(f"test is {self.test!r}; it must be {known}")
        if self.null not in get_args(Null):
            known = ", ".join(get_args(Null))
            raise MatchError(f"no null is called {self.null!r}; there are {known}")
        if not 0 < self.fdr < 1:
            raise MatchError(f"fdr is {self.fdr}; a rate lies between 0 and 1, such as 0.01")
        if self.partial and self.null == "none":
            raise MatchError("partial needs a null, to tell what a feature's partner must score")
        if self.partial and kind != "one-to-one":
            raise MatchError(
                "partial=True applies only to one-to-one methods; in many-to-one matching every "
                "feature always gets a target"
            )

    def chance(
        self,
        x: Float[Tensor, "n D"],
        y: Float[Tensor, "m D"],
        row_offset: Float[Tensor, " n"],
        column_offset: Float[Tensor, " m"],
        widths: Sequence[int],
        over_tokens: Sequence[bool] = (),
        mute: Bool[Tensor, " n"] | None = None,
    ) -> Chance | None:
        """What chance gives the rows of `x` against a null of `y`; None without a null.

        Rows that are `mute` are given the p-value 1, whatever they score.
        """
        if self.null == "none" or not len(x) or not len(y):
            return None
        given = row_offset, column_offset, widths
        found = chance(x, y, *given, self.null, self.seed, over_tokens)
        return dataclasses.replace(found, mute=mute)

    def costs(
        self, forward: Chance | None, backward: Chance | None
    ) -> tuple[Tensor | None, Tensor | None]:
        """What it costs to leave rows and columns alone, for `saematch.assign`."""
        if not self.partial or forward is None or backward is None:
            return None, None
        return -forward.score_at(ALONE) / 2, -backward.score_at(ALONE) / 2


@dataclass(frozen=True, eq=False)
class Chance:
    """What chance gives each of n rows against a null of m columns, in V views and G groups.

    Groups are columns of nearly the same norms, whose null scores are alike.
    """

    row_offset: Float[Tensor, " n"]
    mean: Float[Tensor, "n V"]  # of the row's products with null directions, per view
    covariance: Float[Tensor, "n V V"]
    room: Float[Tensor, "n V"]  # how far above their mean the products can be: |x_iv| - mean_iv
    group_norms: Float[Tensor, "G V"]
    group_offset: Float[Tensor, " G"]
    group_size: Float[Tensor, " G"]
    surprises: Float[Tensor, " draws"]  # of the best null scores, ascending
    best: Float[Tensor, " draws"]  # the best null scores themselves, in no order
    mute: Bool[Tensor, " n"] | None = None  # rows that are never significant: p-value 1

    def p_value(self, scores: Tensor) -> Tensor:
        """The p-values of scores `(n,)` or `(n, k)` of the rows, float64; NaN where they are."""
        table = scores.to(self.mean).reshape(len(self.mean), -1)
        surprise = torch.empty_like(table)
        for rows in _blocks(len(table)):
            for c in range(table.shape[1]):
                surprise[rows, c] = self.surprise(table[rows, c], rows)
        p = self._share_above(surprise)
        if self.mute is not None:
            p = torch.where(self.mute[:, None] & p.isfinite(), 1.0, p)
        return p.view(scores.shape)

    def score_at(self, p: float) -> Float[Tensor, " n"]:
        """The score of each row whose p-value is `p`: what chance reaches that often.

        Found by bisection to about 1e-4 of a deviation.
        """
        goal = self._surprise_at(p)
        found = torch.empty_like(self.row_offset)
        for rows in _blocks(len(found)):
            mean, deviation, room = self._moments(rows)
            low = (mean - 10 * deviation).amin(1)
            high = (mean + room).amax(1)
            for _ in range(24):
                middle = (low + high) / 2
                above = self.surprise(middle, rows) >= goal
                low, high = torch.where(above, low, middle), torch.where(above, middle, high)
            found[rows] = high
        return found

    def _moments(self, rows: slice | Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Mean, deviation and room above the mean of null scores, for each row and group."""
        mean = self.mean[rows] @ self.group_norms.T + self.group_offset
        mean = mean + self.row_offset[rows, None]
        # r' C r, view by view
        products = self.group_norms[:, :, None] * self.group_norms[:, None, :]
        variance = self.covariance[rows].flatten(1) @ products.flatten(1).T
        room = self.room[rows] @ self.group_norms.abs().T
        # a row of zeros has none of either; the smallest number stands for them
        tiny = torch.finfo(variance.dtype).tiny ** 0.5
        return mean, variance.clamp(min=tiny).sqrt(), room.clamp(min=tiny)

    def surprise(self, scores: Tensor, rows: slice | Tensor) -> Tensor:
        """`W_i(s)` for one score of each of some rows."""
        mean, deviation, room = self._moments(rows)
        above = scores[:, None] - mean
        share = (above / room).square().clamp(max=1 - 1e-15)
        # -log(1 - share) is share itself far below the bound, and then nothing changes
        stretched = room / deviation * (-torch.log1p(-share)).sqrt()
        deviations = torch.where(above > 0, stretched, above / deviation)
        return -torch.logsumexp(torch.special.log_ndtr(-deviations) + self.group_size.log(), 1)

    @property
    def _tail(self) -> tuple[int, float, float]:
        """How many surprises lie beyond which, and the rate at which they fall off."""
        count = min(len(self.surprises) - 1, max(10, round(TAIL * len(self.surprises))))
        start = float(self.surprises[-count - 1])
        excess = float((self.surprises[-count:] - start).mean()) if count else 1.0
        return count, start, min(1.0, 1 / max(excess, 1e-12))

    def _share_above(self, surprise: Tensor) -> Tensor:
        count, start, rate = self._tail
        draws = len(self.surprises)
        above = draws - torch.searchsorted(self.surprises, surprise.contiguous())
        share = (1 + above) / (1 + draws)
        beyond = (1 + count) / (1 + draws) * torch.exp(-rate * (surprise - start))
        p = torch.where(surprise > start, beyond, share).clamp(min=LEAST)
        return torch.where(surprise.isnan(), torch.nan, p)

    def _surprise_at(self, p: float) -> float:
        count, start, rate = self._tail
        draws = len(self.surprises)
        first = (1 + count) / (1 + draws)
        if p < first:
            return start + math.log(first / p) / rate
        return float(self.surprises[max(0, min(draws - 1, math.ceil(draws - p * (1 + draws))))])


def chance(
    x: Float[Tensor, "n D"],
    y: Float[Tensor, "m D"],
    row_offset: Float[Tensor, " n"],
    column_offset: Float[Tensor, " m"],
    widths: Sequence[int],
    null: Null,
    seed: int = 0,
    over_tokens: Sequence[bool] = (),
) -> Chance:
    """What chance gives the rows of `x` against a null of `y`, neither of which is empty.

    Takes all rows with 1,024 null directions, and 2,048 rows (all of them, several times, where
    there are fewer) with a null dictionary of m: less than one product where n and m are large.

    Args:
        x: rows, views side by side.
        y: the target dictionary.
        row_offset: added to each row's scores.
        column_offset: added to each column's; null vectors borrow them with the norms.
        widths: dimensions of each view.
        null: `covariance` or `rotation`.
        seed: of the null.
        over_tokens: whether the dimensions of each view are tokens.
    """
    generator = torch.Generator().manual_seed(seed)
    directions, norms = split(y, widths)
    shifted, few = any(over_tokens), slice(DIRECTIONS)
    if shifted:
        # mixtures are alike, features are not: those that come first may be the broadest
        apart = torch.Generator().manual_seed(seed)
        few = torch.randperm(len(y), generator=apart)[:DIRECTIONS].to(y.device)
    drawn = (directions, widths, generator, over_tokens)
    mean, covariance = _moments(x, widths, draw(null, *drawn, few))
    dictionaries = draw(null, *drawn)
    del directions, drawn
    groups = [(norms[g].double(), column_offset[g].double()) for g in _groups(norms)]
    formula = Chance(
        row_offset=row_offset.double(),
        mean=mean,
        covariance=covariance,
        room=_room(x, widths, mean),
        group_norms=torch.stack([norm.mean(0) for norm, _ in groups]),
        group_offset=torch.stack([offset.mean() for _, offset in groups]),
        group_size=torch.tensor([len(o) for _, o in groups], dtype=torch.float64).to(mean.device),
        surprises=mean.new_zeros(1),
        best=mean.new_zeros(1),
    )
    best, surprises = [], []
    wanted = min(BEST, len(x) * max(1, MOST_VECTORS // len(y)))
    # one shift in time says little of others
    at_once = -(-wanted // SHIFTS) if shifted else wanted
    while wanted > 0:
        z = next(dictionaries)
        for part, norm in zip(z.split(list(widths), dim=1), norms.T, strict=True):
            part.mul_(norm[:, None])
        rows = torch.randperm(len(x), generator=generator)[: min(wanted, at_once)].to(x.device)
        for some in rows.split(max(AT_ONCE, NULL_SCORES // len(y))):
            scores = x[some] @ z.T
            if column_offset.any():
                scores = scores.double() + column_offset
            best.append(scores.amax(1).double() + row_offset[some])
            surprises.append(formula.surprise(best[-1], some))
        wanted -= len(rows)
    return dataclasses.replace(
        formula, surprises=torch.cat(surprises).sort().values, best=torch.cat(best)
    )


def _moments(
    x: Tensor, widths: Sequence[int], dictionaries: Iterator[Tensor]
) -> tuple[Tensor, Tensor]:
    """Mean `(n, V)` and covariance `(n, V, V)` of each row's products with null directions."""
    views = x.split(list(widths), dim=1)
    total = x.new_zeros(len(x), len(views), dtype=torch.float64)
    square = x.new_zeros(len(x), len(views), len(views), dtype=torch.float64)
    drawn = 0
    while drawn < DIRECTIONS:
        some = next(dictionaries)[: DIRECTIONS - drawn].split(list(widths), dim=1)
        drawn += len(some[0])
        for rows in _blocks(len(x)):
            products = [view[rows] @ u.T for view, u in zip(views, some, strict=True)]
            for v, one in enumerate(products):
                total[rows, v] += sums(one)
                for w, other in enumerate(products[: v + 1]):
                    square[rows, v, w] += sums(one * other)
                    square[rows, w, v] = square[rows, v, w]
    mean = total / drawn
    covariance = square / drawn - mean[:, :, None] * mean[:, None, :]
    return mean, covariance * drawn / (drawn - 1)


def _room(x: Tensor, widths: Sequence[int], mean: Tensor) -> Tensor:
    """Cauchy-Schwarz; none for a view of one dimension, whose direction is not left to chance."""
    sizes = [view.norm(dim=1).double() for view in x.split(list(widths), dim=1)]
    free = torch.tensor([float(width > 1) for width in widths], device=x.device)
    return (torch.stack(sizes, 1) - mean).clamp(min=0) * free


def _groups(norms: Float[Tensor, "m V"]) -> Iterator[Tensor]:
    """Columns of nearly the same norms: quantiles of one view, within those of the view before."""
    spread = norms.double().std(0, unbiased=False)
    varying = (spread > 1e-5 * norms.double().abs().mean(0)).nonzero()[:, 0].tolist()
    # as many groups as the calibration was seen to need
    most = 256 if len(varying) <= 2 else 1024
    pieces = min(64, round(most ** (1 / max(1, len(varying)))))

    def within(index: Tensor, views: list[int]) -> Iterator[Tensor]:
        if not views:
            yield index
            return
        for part in index[norms[index, views[0]].argsort(stable=True)].chunk(pieces):
            yield from within(part, views[1:])

    return within(torch.arange(len(norms), device=norms.device), varying)


def _blocks(n: int) -> Iterator[slice]:
    return (slice(start, min(start + ROWS, n)) for start in range(0, n, ROWS))

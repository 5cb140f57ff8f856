"""Features that two upstream features make together: AND and OR gates.

Of a downstream feature j, by two rules:

- *paper*: AND where exactly two upstream features have necessity P(i | j) >= 0.999, OR where
  exactly two have sufficiency P(j | i) >= 0.999 (Balcells et al., arXiv 2410.08869). A feature
  that fires on a handful of tokens passes it by chance, and so does one with two upstream copies.
- *certain*: each input has the lower end of a Wilson interval of its necessity (sufficiency) at or
  above a cut-off, and of its lift over independence; and the two together tell more than either
  alone: for AND, P(j | both) is surely above P(j | i) of each; for OR, P(either | j) is surely
  above P(i | j) of each. Surely: their intervals do not overlap. Each input, or for AND both with
  j, must be seen in several examples, because tokens of one text do not count apart.

Both at the same activity, by default above 0.2 of a feature's maximum.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np
import polars as pl
from numpy import ndarray
from scipy.special import ndtri

from saematch.activations.partners import MEMORY, Partners, ranked_partners
from saematch.activations.sharded import Stream, activity_levels, together
from saematch.activations.table import FeatureActivations
from saematch.errors import SaematchError
from saematch.matching.fdr import interval
from saematch.numerics.compiled import compiled

PAPER_CUTOFF = 0.999
KINDS = {"and": ("necessity", "necessity_bound"), "or": ("sufficiency", "sufficiency_bound")}


@dataclass(frozen=True)
class GateRule:
    """When a gate is certain.

    Raises:
        SaematchError: a number is out of range.
    """

    activity: float = 0.2  # active above this share of the maximum; of both rules
    cutoff: float = 0.9  # of the lower end of each input's necessity or sufficiency
    level: float = 0.95  # of the intervals, two-sided
    lift: float = 2.0  # of that lower end over what independence gives
    strength: float = 0.5  # of the lower end of P(j | both), or of P(either | j)
    examples: int = 5  # in which a gate is seen
    inputs: int = 6  # upstream features per gate and kind that are tried in pairs

    def __post_init__(self) -> None:
        shares = self.cutoff, self.level, self.strength
        if not all(0 < x < 1 for x in shares) or self.lift < 0 or self.inputs < 2:
            raise SaematchError(
                f"{self}: cutoff, level and strength are between 0 and 1, lift is not negative and "
                "there are at least 2 inputs"
            )


RULE = GateRule()


def find_gates(
    a: FeatureActivations | Stream,
    b: FeatureActivations | Stream,
    rule: GateRule = RULE,
    *,
    memory: float = MEMORY,
) -> pl.DataFrame:
    """The gates by either rule, from A upstream to B downstream.

    Returns:
        One row per gate and pair of inputs: `kind` (and, or); `feature` of B; `first`, `second` of
        A; `paper`, `certain`: which rules it passes; `inputs`, how many upstream features pass the
        certain rule alone (no more than are tried); `active`, `active_first`, `active_second`,
        `active_both`: tokens; `share_first`, `share_second`: their necessity (and) or sufficiency
        (or), and `low_first`, `low_second`, the lower ends; `lift_first`, `lift_second`; `joint`,
        P(feature | both) or P(either | feature), with `joint_low`; `alone`, the better of the same
        for one input, with `alone_high`; `examples` in which it is seen. Of each feature and kind
        the pair with the highest `joint_low` is the certain one.

    Raises:
        SaematchError: the two are not of the same tokens.
    """
    found = ranked_partners(
        *(a, b, [name for names in KINDS.values() for name in names]),
        k=max(3, rule.inputs),
        activity=rule.activity,
        memory=memory,
        z=float(ndtri((1 + rule.level) / 2)),
        lift=rule.lift,
    )
    frames = [_of_kind(kind, a, b, found, rule) for kind in KINDS]
    return pl.concat(frames).sort("kind", "feature", "first", "second")


def _of_kind(
    kind: str,
    a: FeatureActivations | Stream,
    b: FeatureActivations | Stream,
    found: Partners,
    rule: GateRule,
) -> pl.DataFrame:
    plain, bound = (found.ranked[name][1] for name in KINDS[kind])
    exactly_two = (plain.score[:, 1] >= PAPER_CUTOFF) & (plain.score[:, 2] < PAPER_CUTOFF)
    paper = {
        (j, *sorted(plain.index[j, :2].tolist())) for j in np.flatnonzero(exactly_two).tolist()
    }
    enough = (bound.index >= 0) & (bound.score >= rule.cutoff)
    enough[:, rule.inputs :] = False
    passing = enough.sum(1)
    tried = {
        (j, *sorted(pair))
        for j in np.flatnonzero(passing >= 2).tolist()
        for pair in combinations(bound.index[j, enough[j]].tolist(), 2)
    }
    triples = np.array(sorted(paper | tried), np.int64).reshape(-1, 3)
    counts = _counted(a, b, triples, rule.activity)
    columns = _evidence(kind, triples, counts, found, rule.level)
    j, first, second = triples.T
    frame = pl.DataFrame(
        {
            "kind": [kind] * len(triples),
            **{"feature": j, "first": first, "second": second},
            "paper": [tuple(row) in paper for row in triples.tolist()],
            "tried": [tuple(row) in tried for row in triples.tolist()],
            "inputs": passing[j],
            **columns,
        },
        schema_overrides={"kind": pl.String, "paper": pl.Boolean, "tried": pl.Boolean},
    )
    certain = (
        pl.col("tried")
        & (pl.col("joint_low") > pl.col("alone_high"))
        & (pl.col("joint_low") >= rule.strength)
        & (pl.col("examples") >= rule.examples)
    )
    rank = pl.col("joint_low").rank("ordinal", descending=True).over("feature", "holds")
    return (
        frame.fill_nan(None)
        .with_columns(certain.fill_null(False).alias("holds"))
        .with_columns((pl.col("holds") & (rank == 1)).alias("certain"))
        .filter(pl.col("paper") | pl.col("certain"))
        .select("kind", "feature", "first", "second", "paper", "certain", "inputs", *columns)
    )


def _evidence(
    kind: str, triples: ndarray, counts: _Counts, found: Partners, level: float
) -> dict[str, ndarray]:
    j, first, second = triples.T
    n, n_j, sides = found.tokens, found.b.active[j], (found.a.active[first], found.a.active[second])
    with_j = counts.first, counts.second
    columns: dict[str, ndarray] = {
        "active": n_j,
        "active_first": sides[0],
        "active_second": sides[1],
        "active_both": counts.both,
    }
    alone, high = [], []
    for name, own, hits in zip(("first", "second"), sides, with_j, strict=True):
        given, free = (n_j, own) if kind == "and" else (own, n_j)
        columns[f"share_{name}"] = hits / given
        columns[f"low_{name}"] = interval(hits, given, level)[0]
        columns[f"lift_{name}"] = hits / given / (free / n)
        among = own if kind == "and" else n_j
        alone.append(hits / among)
        high.append(interval(hits, among, level)[1])
    either = counts.first + counts.second - counts.all
    hits, among = (counts.all, counts.both) if kind == "and" else (either, n_j)
    with np.errstate(invalid="ignore"):
        columns["joint"] = np.where(among > 0, hits / np.maximum(among, 1), np.nan)
    columns["joint_low"] = interval(hits, among, level)[0]
    columns["alone"], columns["alone_high"] = np.maximum(*alone), np.maximum(*high)
    columns["examples"] = counts.examples_and if kind == "and" else counts.examples_or
    return columns


@dataclass(frozen=True, eq=False)
class _Counts:
    """Of each triple (j, first, second): tokens on which these are active together."""

    both: ndarray  # first and second
    first: ndarray  # first and j
    second: ndarray  # second and j
    all: ndarray
    examples_and: ndarray  # examples with all three
    examples_or: ndarray  # the fewer of the examples with j and either


def _counted(
    a: FeatureActivations | Stream, b: FeatureActivations | Stream, triples: ndarray, share: float
) -> _Counts:
    levels = [activity_levels(x, share) for x in (a, b)]
    tokens, examples = np.zeros((len(triples), 4), np.int64), np.zeros((len(triples), 3), np.int64)
    last = np.full((len(triples), 3), -1, np.int64)
    for parts in together(a, b):
        lists = [_active_tokens(x, level) for x, level in zip(parts, levels, strict=True)]
        _count(triples, *lists[0], *lists[1], parts[0].example, tokens, examples, last)
    both, first, second, everything = tokens.T
    fewer = examples[:, :2].min(axis=1)
    return _Counts(both, first, second, everything, examples[:, 2], fewer)


def _active_tokens(part: FeatureActivations, levels: ndarray) -> tuple[ndarray, ndarray]:
    """The tokens on which each feature is active: where each begins, and the tokens."""
    matrix = part.matrix.tocsc()
    feature = np.repeat(np.arange(part.d_sae), np.diff(matrix.indptr))
    active = np.abs(matrix.data) > levels[feature]
    start = np.zeros(part.d_sae + 1, np.int64)
    np.cumsum(np.bincount(feature[active], minlength=part.d_sae), out=start[1:])
    return start, matrix.indices[active]


@compiled
def _count(triples, start_a, token_a, start_b, token_b, example, tokens, examples, last):
    for row in range(len(triples)):
        j, x, y = triples[row, 0], triples[row, 1], triples[row, 2]
        p, p_end = start_a[x], start_a[x + 1]
        q, q_end = start_a[y], start_a[y + 1]
        r, r_end = start_b[j], start_b[j + 1]
        far = len(example)
        while True:
            t_p = token_a[p] if p < p_end else far
            t_q = token_a[q] if q < q_end else far
            t_r = token_b[r] if r < r_end else far
            t = min(t_p, t_q, t_r)
            if t == far:
                break
            on_p, on_q, on_r = t_p == t, t_q == t, t_r == t
            p, q, r = p + on_p, q + on_q, r + on_r
            tokens[row, 0] += on_p and on_q
            for place, seen in enumerate((on_p and on_r, on_q and on_r, on_p and on_q and on_r)):
                if seen:
                    tokens[row, place + 1] += 1
                    if last[row, place] != example[t]:
                        last[row, place] = example[t]
                        examples[row, place] += 1

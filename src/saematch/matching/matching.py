"""match(a, b) -> Matching: which feature of B continues each feature of A, and how well.

`target[i] = j` means that feature i of A goes to feature j of B; -1 means that it has no partner.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from saematch.activations.table import FeatureActivations
from saematch.assignment import Assignment, Neighbours, assign, neighbours
from saematch.errors import MatchError
from saematch.files.pandas import as_pandas
from saematch.matching.expected_correlation import expectation
from saematch.matching.fdr import cut
from saematch.matching.feature_map import FeatureMap, Links
from saematch.matching.measures import Measures, cosines
from saematch.matching.methods import Method, resolve, resolve_fold
from saematch.matching.notes import notes_on, shared_seed
from saematch.matching.nulls import Null
from saematch.matching.pairs import Pairs
from saematch.matching.problem import (
    BOTH_ABSENT,
    Posed,
    check_tokens,
    directed,
    pose,
    similarity,
)
from saematch.matching.significance import Chance, Significance, Test
from saematch.matching.verdict import Verdict
from saematch.numerics.ranked import Ranked
from saematch.sae.contexts import with_frequency
from saematch.sae.folding import Fold
from saematch.sae.sae import SAE

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl

Activations = tuple[FeatureActivations | None, FeatureActivations | None]
Exclusions = Mapping[str, Tensor]  # bool (d_sae,) by reason
Chances = tuple[Chance | None, Chance | None]  # of A's features, and of B's


@dataclass(frozen=True, eq=False)
class Matching:
    """Features of SAE `a` matched to features of SAE `b`.

    Scores, ranks and candidates are those of `method`; `measures` holds the same facts for every
    method, so that matchings can be compared. A p-value is the probability that the best of as many
    null directions scores at least as much (see `saematch.matching.significance`); all are NaN
    where there is no null.
    """

    a: SAE
    b: SAE
    method: Method
    pairs: Pairs  # the target of each feature of A, with its score, p-value and ranks
    candidates: Ranked[Tensor]  # the best targets of A's features by score
    sources: Ranked[Tensor]  # the best features of A for each of B; p-values against a null of A
    verdict: Verdict
    measures: Measures  # of the pairs, and their medians for i -> i
    excluded: tuple[Exclusions, Exclusions]  # features of A and of B that took no part
    assignment: Assignment | None  # with duals, over features in use; None: targets were given
    notes: tuple[str, ...]
    seconds: float
    activations: Activations = BOTH_ABSENT  # of A and B on the same tokens, where they were given

    @property
    def target(self) -> Int[Tensor, " d_sae_a"]:
        """The feature of B that each feature of A goes to; -1 for none."""
        return self.pairs.target

    @property
    def matched(self) -> Bool[Tensor, " d_sae_a"]:
        """Whether each feature's target is significant, and accepted by the method's own rule."""
        return self.pairs.matched

    @property
    def score(self) -> Float[Tensor, " d_sae_a"]:
        """The score of each feature with its target; NaN without one."""
        return self.pairs.score

    @property
    def p_value(self) -> Float[Tensor, " d_sae_a"]:
        """The p-value of each score."""
        return self.pairs.p_value

    @property
    def statistic(self) -> Float[Tensor, " d_sae_a"]:
        """What the p-values are of: the score, or the mean cosine of the method's views."""
        return self.score if self.verdict.statistic is None else self.verdict.statistic

    @property
    def mutual(self) -> Bool[Tensor, " d_sae_a"]:
        """Each the other's best by score."""
        return self.pairs.mutual

    @property
    def p_cut(self) -> float | None:
        """The largest p-value that matches; None without a null, or where targets were given."""
        return self.verdict.p_cut

    @property
    def fold(self) -> Fold:
        """What the method folded by, with `auto` resolved."""
        return "none" if self.method.fold == "none" else self.measures.fold

    @property
    def gap(self) -> float | None:
        """What any other assignment could gain in total score at most; None if composed."""
        return None if self.assignment is None else self.assignment.gap

    @property
    def relative_gap(self) -> float | None:
        """`gap` as a share of the total absolute score; None if composed."""
        return None if self.assignment is None else self.assignment.relative_gap

    @property
    def n_matched(self) -> int:
        """How many features of A are matched."""
        return int(self.matched.sum())

    @property
    def identity_share(self) -> float:
        """Share of matched features whose target has their own index.

        Near 1 / d_sae for SAEs trained apart. It is far larger where they share their initial
        weights; much of what looks like agreement is then an artefact.
        """
        index = torch.arange(len(self.target), device=self.target.device)
        return float((self.target == index)[self.matched].float().mean()) if self.n_matched else 0.0

    def map(self, links: Links = "matched", by: Fold | None = None) -> FeatureMap:
        """The map that takes activations of A's features to those of B's: `m.map().apply(f)`.

        Each feature's activation goes to its target, times `s_target / s_source` with the folding
        scales of B and A (SAE Match: thresholds, so that an activation keeps its size in units of
        its threshold). Where several features share a target, their activations add up.

        Args:
            links: along matched pairs, or along all that were assigned.
            by: the folding to rescale by; unless given, the method's own, or `auto` for a method
                that does not fold. `none` does not rescale.

        Raises:
            MatchError: `by` is "activation".
        """
        plain = self.pairs.map(links, self.b.d_sae)
        return plain.rescaled(self.a, self.b, by or self.measures.fold)

    def inverse(self) -> Matching:
        """The matching from B to A: the same pairs, of which the same are matched.

        Of a many-to-one matching only matched pairs are kept. Ranks, candidates and p-values are
        those of B's features.

        Raises:
            MatchError: several features share a target, so there is no inverse.
        """
        one_to_one = self.method.kind == "one-to-one"
        back = self.pairs.map("assigned" if one_to_one else "matched", self.b.d_sae).inverse()
        activations = self.activations[1], self.activations[0]
        inverted = self._given(self.b, self.a, back.targets, activations)
        matched = torch.zeros_like(inverted.matched)
        matched[back.source] = back.matched
        proof = None
        if self.assignment is not None and one_to_one:
            # the same pairs with the same duals: it holds either way round
            proof = self.assignment.transposed()
        pairs = dataclasses.replace(inverted.pairs, matched=matched)
        return dataclasses.replace(inverted, pairs=pairs, assignment=proof)

    def compose(self, other: Matching) -> Matching:
        """From A through B to C: `target[i] = other.target[self.target[i]]`, where both match.

        Scores, p-values and measures are those of the pairs (A, C) under this matching's method. A
        composed feature is matched because both of its links are: its own p-value tells how far
        that is borne out directly, and decides nothing.

        Raises:
            MatchError: `other` does not start from the SAE that this one ends at.
        """
        if other.a is not self.b and not _same_weights(other.a, self.b):
            raise MatchError(
                f"cannot compose: this matching ends at {self.b.name}, the other starts at "
                f"{other.a.name}"
            )
        first, second = (m.pairs.map("matched", m.b.d_sae) for m in (self, other))
        activations = self.activations[0], other.activations[1]
        return self._given(self.a, other.b, first.then(second).targets, activations)

    def _given(self, a: SAE, b: SAE, target: Tensor, activations: Activations) -> Matching:
        """Another matching by the same method, with its target given instead of solved for."""
        check_tokens(a, b, activations, self.method)
        kept = max(1, self.candidates.shape[1])
        return _matching(a, b, self.method, kept, self.verdict.significance, target, activations)

    def save(self, path: str | Path) -> None:
        """Write the matching to one safetensors file, whole or not at all.

        The SAEs are named in it with the checksum of their weights. Activations are not in it.
        """
        from saematch.matching.saved import save_matching

        save_matching(self, path)

    @staticmethod
    def load(
        path: str | Path,
        a: SAE | None = None,
        b: SAE | None = None,
        activations: Activations = BOTH_ABSENT,
    ) -> Matching:
        """Read a matching that was saved.

        Args:
            path: the file.
            a: the SAE that was matched; loaded again from where it came unless given.
            b: the SAE that it was matched to; likewise.
            activations: of both on the same tokens, for `inverse` and `compose` of methods that
                compare them.

        Raises:
            MatchError: the file does not hold a matching, or an SAE has other weights than the
                one that was matched.
            CheckpointError: an SAE cannot be loaded.
        """
        from saematch.matching.saved import load_matching

        return load_matching(path, a, b, activations)

    def to_polars(self) -> pl.DataFrame:
        """One row per feature of A: target, scores, ranks, measures.

        `m.candidates.to_polars("target")` and `m.sources.to_polars("source")` have the next best.
        """
        from saematch.matching.tables import matching_frame

        return matching_frame(self)

    def to_pandas(self) -> pd.DataFrame:
        """`to_polars()` as a pandas DataFrame.

        Raises:
            SaematchError: pandas is not installed.
        """
        return as_pandas(self.to_polars())

    def null_histogram(self) -> pl.DataFrame:
        """A histogram of the scores of A's features beside those that the null gives."""
        from saematch.matching.tables import null_frame

        return null_frame(self)

    def summary(self) -> dict[str, float | int | str | None]:
        """The figures of the whole matching by name; see `saematch.matching.tables.summarise`."""
        from saematch.matching.tables import summarise

        return summarise(self)

    def __repr__(self) -> str:
        from saematch.matching.tables import sentence

        return sentence(self)

    def _repr_html_(self) -> str:
        from saematch.matching.tables import html

        return html(self)


def match(
    a: SAE,
    b: SAE,
    method: str | Method = "sae-match",
    *,
    null: Null = "covariance",
    fdr: float = 0.01,
    partial: bool = False,
    seed: int = 0,
    test: Test = "direction",
    candidates: int | None = None,
    activations: tuple[FeatureActivations, FeatureActivations] | None = None,
    typical_activation: tuple[Tensor, Tensor] | None = None,
    any_site: bool = False,
    **options,
) -> Matching:
    """Match the features of `a` to those of `b`.

    Args:
        a: the SAE whose features are followed.
        b: the SAE they are followed into.
        method: a name from `saematch.matching.methods.METHODS`, or a `Method`.
        null: what scores are compared with: `covariance`, random directions with about the
            mean and covariance of the target's; `rotation`, the target under a random rotation; or
            `none`.
        fdr: the false discovery rate at which features are matched (Benjamini-Hochberg).
        partial: leave features alone that have no partner: pairs are made only where they score
            more than chance gives (see `saematch.matching.Significance`). One-to-one only.
        seed: of the null.
        test: what p-values are of. `direction`: the cosines of a pair's vectors, whatever their
            lengths, so that `matched` means the same for every method; `score`: the method's score.
        candidates: how many of the best targets to keep per feature, and sources; unless given,
            the method's `top_k` where that is more than 1, else 5.
        activations: what the features of both do on the same tokens, for methods that compare it:
            see `saematch.activations`.
        typical_activation: `(d_sae_a,)`, `(d_sae_b,)`, for `fold="activation"`.
        any_site: match even where the SAEs read different kinds of site.
        **options: the method's own, such as `fold`, `terms`, `top_k`, `cutoff`.

    Raises:
        MatchError: SAEs that cannot be compared, a method or option that does not exist, or
            activations that are missing or of other tokens.
    """
    resolved = resolve(method, **options)
    significance = Significance(null, fdr, partial, seed, test)
    significance.check(resolved.kind)
    check_comparable(a, b, any_site=any_site)
    a, b = with_frequency(a), with_frequency(b)
    kept = resolved.kept(candidates)
    given = activations or BOTH_ABSENT
    check_tokens(a, b, given, resolved)
    scales = typical_activation or BOTH_ABSENT
    return _matching(a, b, resolved, kept, significance, activations=given, scales=scales)


def check_comparable(a: SAE, b: SAE, any_site: bool = False) -> None:
    """Raise MatchError where two SAEs do not live in one space."""
    for sae in (a, b):
        if not isinstance(sae, SAE):
            raise MatchError(
                f"match takes SAEs, not {type(sae).__name__}: saematch.load(name) first"
            )
    if (a.d_in, a.d_out) != (b.d_in, b.d_out):
        raise MatchError(
            f"{a.name} reads {a.d_in} and writes {a.d_out} dimensions, {b.name} reads {b.d_in} and "
            f"writes {b.d_out}: their features are not vectors of one space"
        )
    if a.device != b.device:
        raise MatchError(f"{a.name} is on {a.device}, {b.name} on {b.device}: move one with .to()")
    here, there = a.conventions.site, b.conventions.site
    if here and there and here.stream != there.stream and not any_site:
        raise MatchError(
            f"{a.name} sits on the {here.stream} ({here}), {b.name} on the {there.stream} "
            f"({there}); to match them all the same, say any_site=True (--any-site)"
        )


def _matching(
    a: SAE,
    b: SAE,
    method: Method,
    candidates: int,
    significance: Significance,
    target: Tensor | None = None,
    activations: Activations = BOTH_ABSENT,
    scales: tuple[Tensor | None, Tensor | None] = BOTH_ABSENT,
) -> Matching:
    """Solve for the target where none is given, then score, measure and judge the pairs."""
    start = time.monotonic()
    method, learned = _learned(a, b, method, activations)
    posed = pose(a, b, method, scales, activations=activations)
    assignment, given = None, target is not None
    if target is None:
        assignment = _solved(posed, method, significance)
        target = posed.outer_target(assignment.target)
    how = posed.fold if posed.fold != "none" else resolve_fold("auto", a, b)
    measures = Measures.of(a, b, target, how, scales)
    near = _scored(posed, target, candidates)
    posed, tested = _tested(posed, near, target, method, significance)
    pairs, verdict = _judged(posed, near, tested, target, significance, given)
    if method.confirm:
        confirmed = _confirmed(a, b, method, target, measures)
        pairs = dataclasses.replace(pairs, matched=pairs.matched & confirmed)
    found = Matching(
        a,
        b,
        method,
        pairs,
        *_ranked(a, b, posed, near, tested),
        verdict,
        measures,
        (dict(posed.a.exclusions), dict(posed.b.exclusions)),
        assignment,
        (*learned, *notes_on(a, b, method, posed)),
        time.monotonic() - start,
        activations,
    )
    warning = shared_seed(found.n_matched, found.identity_share, b.d_sae, _same_weights(a, b))
    if warning is None:
        return found
    return dataclasses.replace(found, notes=(*found.notes, f"{a.name} → {b.name}: {warning}"))


def _chances(posed: Posed, significance: Significance) -> Chances:
    """What the null gives the features of A, and those of B."""
    x, y, row_offset, column_offset = posed.x, posed.y, posed.row_offset, posed.column_offset
    told = posed.widths, posed.over_tokens
    forward = significance.chance(x, y, row_offset, column_offset, *told, posed.rare_rows)
    backward = significance.chance(y, x, column_offset, row_offset, *told, posed.rare_columns)
    return forward, backward


def _solved(posed: Posed, method: Method, significance: Significance) -> Assignment:
    chances = _chances(posed, significance) if significance.partial else BOTH_ABSENT
    row_cost, column_cost = significance.costs(*chances)
    return assign(
        posed.x,
        posed.y,
        posed.row_offset,
        posed.column_offset,
        kind=method.kind,
        row_cost=row_cost,
        column_cost=column_cost,
    )


def _scored(posed: Posed, target: Tensor, k: int) -> Neighbours:
    """Scores and ranks of the pairs, and the `k` best targets and sources, by rows and columns."""
    offsets = posed.row_offset, posed.column_offset
    return neighbours(posed.x, posed.y, *offsets, target=posed.inner_target(target), k=k)


@dataclass(frozen=True, eq=False)
class _Tested:
    """The statistics of pairs, over rows and columns, and what the null gives."""

    what: Test
    pairs: Float[Tensor, " n"]
    candidates: Float[Tensor, "n k"]
    sources: Float[Tensor, "m l"]
    chances: Chances

    def p_value(self, statistic: Tensor, backward: bool = False) -> Tensor:
        chance = self.chances[backward]
        return (
            torch.full_like(statistic, torch.nan) if chance is None else chance.p_value(statistic)
        )


def _tested(
    posed: Posed, near: Neighbours, target: Tensor, method: Method, significance: Significance
) -> tuple[Posed, _Tested]:
    """The test statistics, and the problem that they are scores of: as posed, or of directions."""
    scores = near.score, near.candidate_scores, near.source_scores
    directions = method.scores_lengths and any(width > 1 for width in posed.widths)
    if significance.test == "score" or significance.null == "none" or not directions:
        return posed, _Tested("score", *scores, _chances(posed, significance))
    posed = directed(posed, [view.weight for view in method.views])
    statistics = (
        similarity(posed.x, posed.y, posed.inner_target(target)[:, None])[:, 0],
        similarity(posed.x, posed.y, near.candidates),
        similarity(posed.y, posed.x, near.sources),
    )
    return posed, _Tested("direction", *statistics, _chances(posed, significance))


def _judged(
    posed: Posed,
    near: Neighbours,
    tested: _Tested,
    target: Tensor,
    significance: Significance,
    given: bool,
) -> tuple[Pairs, Verdict]:
    """The pairs, of which those of significant p-value are matched; all, if they were given."""
    forward = tested.chances[0]
    p_value = tested.p_value(tested.pairs)
    if posed.rare_columns is not None:
        # of a coincidence either side may be the rare one
        inner = posed.inner_target(target)
        rare = posed.rare_columns[inner.clamp(min=0)] & (inner >= 0)
        p_value = torch.where(rare & p_value.isfinite(), 1.0, p_value)
    matched, p_cut = target >= 0, None
    if not given and forward is not None:
        p_cut = cut(p_value.cpu().numpy(), significance.fdr)
        matched = matched & posed.rows_to_a(p_value <= p_cut, False)
    pairs = Pairs(
        target=target,
        matched=matched,
        score=posed.rows_to_a(near.score),
        p_value=posed.rows_to_a(p_value),
        rank_in_row=posed.rows_to_a(near.rank_in_row, 0),
        rank_in_column=posed.rows_to_a(near.rank_in_column, 0),
    )
    best = None if forward is None else forward.best
    statistic = posed.rows_to_a(tested.pairs)
    return pairs, Verdict(significance, tested.what, p_cut, statistic, best)


def _ranked(
    a: SAE, b: SAE, posed: Posed, near: Neighbours, tested: _Tested
) -> tuple[Ranked[Tensor], Ranked[Tensor]]:
    """The best targets of A's features, and the best sources of B's."""
    targets = posed.rows_to_a(posed.columns_in_b(near.candidates), -1)
    candidates = Ranked(
        targets,
        posed.rows_to_a(near.candidate_scores),
        {"p_value": posed.rows_to_a(tested.p_value(tested.candidates))},
    )
    features = posed.columns_to_b(posed.rows_in_a(near.sources), -1)
    more = {
        "p_value": posed.columns_to_b(tested.p_value(tested.sources, True)),
        "decoder_cosine": cosines(b, a, features),
    }
    return candidates, Ranked(features, posed.columns_to_b(near.source_scores), more)


def _learned(
    a: SAE, b: SAE, method: Method, activations: Activations
) -> tuple[Method, tuple[str, ...]]:
    """A method that expects, made one of plain views by the activations at hand; what they said."""
    if not method.expects:
        return method, ()
    one, other = activations
    assert one is not None
    assert other is not None
    found = expectation(a, b, method.views, (one, other))
    return found.method(method), (f"{a.name} → {b.name}: {found}",)


def _confirmed(a: SAE, b: SAE, method: Method, target: Tensor, measures: Measures) -> Tensor:
    """Where a second assignment on the method's `confirm` views gives the same partner."""
    posed = pose(a, b, method, views=method.confirm)
    again = assign(posed.x, posed.y, posed.row_offset, posed.column_offset, kind=method.kind)
    same = posed.outer_target(again.target) == target
    if method.cutoff is None:
        return same
    close = [measures[f"{term}_cosine"] >= method.cutoff for term in ("decoder", "encoder")]
    return same & close[0] & close[1]


def _same_weights(one: SAE, other: SAE) -> bool:
    return one.W_dec.shape == other.W_dec.shape and bool(torch.equal(one.W_dec, other.W_dec))

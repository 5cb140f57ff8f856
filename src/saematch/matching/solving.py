# pyright: strict, reportUnnecessaryIsInstance=false
"""match(a, b) -> Matching, in four steps: solve for the pairs, score, measure and test them."""

from __future__ import annotations

import dataclasses
import time
from typing import Any

import torch
from torch import Tensor

from saematch.activations.table import FeatureActivations
from saematch.assignment import Assignment, Neighbours, Scores, assign, neighbours
from saematch.assignment.work import Progress
from saematch.errors import MatchError
from saematch.matching.evidence import NONE, Evidence
from saematch.matching.expected_correlation import expectation, similarities
from saematch.matching.fdr import cut
from saematch.matching.matching import Matching, same_weights
from saematch.matching.measures import Measures, cosines
from saematch.matching.methods import Method, resolve, resolve_fold
from saematch.matching.notes import notes_on, shared_seed
from saematch.matching.nulls import Null
from saematch.matching.pairs import Pairs
from saematch.matching.problem import (
    BOTH_ABSENT,
    Posed,
    check_evidence,
    directed,
    pose,
)
from saematch.matching.significance import Chance, Significance, Test
from saematch.matching.verdict import Verdict
from saematch.models.jacobian import Jacobian
from saematch.numerics.ranked import Ranked
from saematch.sae.contexts import with_frequency
from saematch.sae.sae import SAE, Described

Chances = tuple[Chance | None, Chance | None]  # of A's features, and of B's


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
    jacobian: Jacobian | None = None,
    typical_activation: tuple[Tensor, Tensor] | None = None,
    any_site: bool = False,
    progress: Progress | None = None,
    **options: Any,
) -> Matching:
    """Match the features of `a` to those of `b`.

    Args:
        a: the source SAE.
        b: the target SAE.
        method: a name from `saematch.matching.methods.METHODS`, or a `Method`.
        null: what pairs are tested against: `covariance`, random directions with about the mean
            and covariance of the target's; `rotation`, the target under a random rotation; or
            `none`, and every pair is matched.
        fdr: the false discovery rate at which features are matched (Benjamini-Hochberg).
        partial: leave features without a target where no pair scores more than the null (see
            `saematch.matching.Significance`). One-to-one methods only.
        seed: of the null.
        test: what is tested. `direction`: the cosines of a pair's vectors, whatever their lengths,
            so that `matched` means the same for every method; `score`: the method's score.
        candidates: how many of the best targets, and of the best sources, to keep per feature;
            by default the method's `top_k` where that is more than 1, else 5.
        activations: the activations of both SAEs on the same tokens, for methods that compare
            them: see `saematch.activations`.
        jacobian: the model's mean Jacobian from the earlier of their hook points to the later, for
            methods that carry directions: see `saematch.models.jacobian`.
        typical_activation: `(d_sae_a,)`, `(d_sae_b,)`, for `fold="activation"`.
        any_site: match even where the SAEs read different kinds of hook point.
        progress: told how far the assignment is: see `saematch.assignment.assign`.
        **options: the method's own, such as `fold`, `terms`, `top_k`, `cutoff`.

    Raises:
        MatchError: the SAEs cannot be compared, there is no such method or option, or activations
            are missing or of other tokens.
    """
    resolved = resolve(method, **options)
    significance = Significance(null, fdr, partial, seed, test)
    significance.check(resolved.kind)
    check_comparable(a, b, any_site=any_site)
    a, b = with_frequency(a), with_frequency(b)
    kept = resolved.kept(candidates)
    evidence = Evidence.of(a, b, activations or BOTH_ABSENT, jacobian)
    check_evidence(a, b, evidence, resolved)
    scales = typical_activation or BOTH_ABSENT
    return make_matching(
        a,
        b,
        resolved,
        kept,
        significance,
        evidence=evidence,
        scales=scales,
        progress=progress,
    )


def check_comparable(a: SAE, b: SAE, any_site: bool = False) -> None:
    """Raise MatchError where the features of two SAEs are not vectors of one space."""
    for sae in (a, b):
        if not isinstance(sae, SAE):
            raise MatchError(
                f"match takes SAEs, not {type(sae).__name__}: saematch.load(name) first"
            )
    check_one_space(a, b, any_site)
    if a.device != b.device:
        raise MatchError(f"{a.name} is on {a.device}, {b.name} on {b.device}: move one with .to()")


def check_one_space(a: Described, b: Described, any_site: bool = False) -> None:
    """The same, where the SAEs themselves are not at hand."""
    if (a.d_in, a.d_out) != (b.d_in, b.d_out):
        raise MatchError(
            f"{a.name} reads {a.d_in} and writes {a.d_out} dimensions, {b.name} reads {b.d_in} and "
            f"writes {b.d_out}: their features are not vectors of one space"
        )
    here, there = a.conventions.site, b.conventions.site
    if here and there and here.stream != there.stream and not any_site:
        raise MatchError(
            f"{a.name} reads the {here.stream} ({here}), {b.name} the {there.stream} ({there}); "
            "to match them anyway, give any_site=True (--any-site)"
        )


def make_matching(
    a: SAE,
    b: SAE,
    method: Method,
    candidates: int,
    significance: Significance,
    target: Tensor | None = None,
    evidence: Evidence = NONE,
    scales: tuple[Tensor | None, Tensor | None] = BOTH_ABSENT,
    progress: Progress | None = None,
) -> Matching:
    """Solve for the pairs unless their target is given; score, measure and test them."""
    start = time.monotonic()
    method, learned = _learned(a, b, method, evidence)
    posed = pose(a, b, method, scales, evidence=evidence)
    assignment, given = None, target is not None
    test = _test(posed, method, significance)
    # those of the assignment serve for what is tested too
    scores = Scores() if test == "score" else Scores(posed.widths)
    if target is None:
        assignment = _solved(posed, method, significance, progress, scores)
        target = posed.outer_target(assignment.target)
    how = posed.fold if posed.fold != "none" else resolve_fold("auto", a, b)
    measures = Measures.of(a, b, target, how, scales)
    tested = posed if test == "score" else directed(posed, [v.weight for v in method.views])
    near = _near(tested, target, candidates, scores)
    del scores
    chances = _chances(tested, significance)
    pairs, verdict = _judged(posed, tested, near, target, significance, test, chances[0], given)
    if method.confirm:
        confirmed = _confirmed(a, b, method, target, measures, evidence)
        pairs = dataclasses.replace(pairs, matched=pairs.matched & confirmed)
    found = Matching(
        a,
        b,
        method,
        pairs,
        *_ranked(a, b, posed, tested, near, chances),
        verdict,
        measures,
        (dict(posed.a.exclusions), dict(posed.b.exclusions)),
        assignment,
        (*learned, *notes_on(a, b, method, posed)),
        time.monotonic() - start,
        evidence,
    )
    warning = shared_seed(found.n_matched, found.identity_share, b.d_sae, same_weights(a, b))
    if warning is None:
        return found
    return dataclasses.replace(found, notes=(*found.notes, f"{a.name} → {b.name}: {warning}"))


def _chances(posed: Posed, significance: Significance) -> Chances:
    """The null distributions of A's features, and of B's."""
    x, y, row_offset, column_offset = posed.x, posed.y, posed.row_offset, posed.column_offset
    views = posed.widths, posed.over_tokens
    forward = significance.chance(x, y, row_offset, column_offset, *views, posed.rare_rows)
    backward = significance.chance(y, x, column_offset, row_offset, *views, posed.rare_columns)
    return forward, backward


def _solved(
    posed: Posed,
    method: Method,
    significance: Significance,
    progress: Progress | None,
    scores: Scores,
) -> Assignment:
    """The assignment of the largest total score, with `partial` against the cost of no pair."""
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
        progress=progress,
        scores=scores,
    )


def _test(posed: Posed, method: Method, significance: Significance) -> Test:
    """What is tested: the scores of the method, or the directions of the vectors."""
    directions = method.scores_lengths and any(width > 1 for width in posed.widths)
    return "direction" if directions and significance.test == "direction" else "score"


def _near(tested: Posed, target: Tensor, k: int, scores: Scores) -> Neighbours:
    """Statistics and ranks of the pairs, and the `k` best targets and sources by the statistic."""
    offsets, inner = (tested.row_offset, tested.column_offset), tested.inner_target(target)
    return neighbours(tested.x, tested.y, *offsets, target=inner, k=k, scores=scores)


def _judged(
    posed: Posed,
    tested: Posed,
    near: Neighbours,
    target: Tensor,
    significance: Significance,
    test: Test,
    forward: Chance | None,
    given: bool,
) -> tuple[Pairs, Verdict]:
    """The pairs, of which significant ones are matched; all of them where targets were given."""
    p_value = _p_value(forward, near.score).to(target.device)
    inner = posed.inner_target(target)
    if posed.rare_columns is not None:
        # either feature of a coincidence may be the rare one
        rare = posed.rare_columns[inner.clamp(min=0)] & (inner >= 0)
        p_value = torch.where(rare & p_value.isfinite(), 1.0, p_value)
    matched, p_cut = target >= 0, None
    if not given and forward is not None:
        p_cut = cut(p_value.cpu().numpy(), significance.fdr)
        matched = matched & posed.rows_to_a(p_value <= p_cut, False)
    score = near.score if tested is posed else posed.scores(inner[:, None])[:, 0]
    pairs = Pairs(
        target=target,
        matched=matched,
        score=posed.rows_to_a(score),
        p_value=posed.rows_to_a(p_value),
        rank_in_row=posed.rows_to_a(near.rank_in_row, 0),
        rank_in_column=posed.rows_to_a(near.rank_in_column, 0),
    )
    best = None if forward is None else forward.best
    return pairs, Verdict(significance, test, p_cut, posed.rows_to_a(near.score), best)


def _ranked(
    a: SAE, b: SAE, posed: Posed, tested: Posed, near: Neighbours, chances: Chances
) -> tuple[Ranked[Tensor], Ranked[Tensor]]:
    """The best targets of A's features, and the best sources of B's, by what is tested."""
    forward, backward = chances
    same = tested is posed
    scores = near.candidate_scores if same else posed.scores(near.candidates)
    candidates = Ranked(
        posed.rows_to_a(posed.columns_in_b(near.candidates), -1),
        posed.rows_to_a(scores),
        {
            "statistic": posed.rows_to_a(near.candidate_scores),
            "p_value": posed.rows_to_a(_p_value(forward, near.candidate_scores)),
        },
    )
    features = posed.columns_to_b(posed.rows_in_a(near.sources), -1)
    scores = near.source_scores if same else posed.turned().scores(near.sources)
    more = {
        "statistic": posed.columns_to_b(near.source_scores),
        "p_value": posed.columns_to_b(_p_value(backward, near.source_scores)),
        "decoder_cosine": cosines(b, a, features),
    }
    return candidates, Ranked(features, posed.columns_to_b(scores), more)


def _p_value(chance: Chance | None, statistic: Tensor) -> Tensor:
    return torch.full_like(statistic, torch.nan) if chance is None else chance.p_value(statistic)


def _learned(a: SAE, b: SAE, method: Method, evidence: Evidence) -> tuple[Method, tuple[str, ...]]:
    """The method, with views weighted by the activations if it `expects`; and a note on that."""
    if not method.expects:
        return method, ()
    similar = similarities(method.views, evidence)
    found = expectation(a, b, similar, evidence)
    return found.method(method, similar), (f"{a.name} → {b.name}: {found}",)


def _confirmed(
    a: SAE, b: SAE, method: Method, target: Tensor, measures: Measures, evidence: Evidence
) -> Tensor:
    """Where a second assignment on the method's `confirm` views gives the same partner."""
    posed = pose(a, b, method, views=method.confirm, evidence=evidence)
    again = assign(posed.x, posed.y, posed.row_offset, posed.column_offset, kind=method.kind)
    same = posed.outer_target(again.target) == target
    if method.cutoff is None:
        return same
    close = [measures[f"{term}_cosine"] >= method.cutoff for term in ("decoder", "encoder")]
    return same & close[0] & close[1]

"""match(a, b) -> Matching: which feature of B continues each feature of A, and how well.

`target[i] = j` means that feature i of A goes to feature j of B; -1 means that it has no partner.
"""

from __future__ import annotations

import dataclasses
import time
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from saematch.activations.table import FeatureActivations
from saematch.assignment import Assignment, assign, neighbours
from saematch.errors import MatchError
from saematch.matching.expected_correlation import expectation
from saematch.matching.fdr import cut
from saematch.matching.feature_map import carrying
from saematch.matching.measures import identity_medians, measure_pairs
from saematch.matching.methods import Method, resolve, resolve_fold
from saematch.matching.nulls import Null
from saematch.matching.problem import BOTH_ABSENT, Posed, check_tokens, pose
from saematch.matching.significance import Chance, Significance
from saematch.sae.contexts import with_frequency
from saematch.sae.folding import Fold
from saematch.sae.sae import SAE

# i -> i: how many times what chance gives, and how many pairs at least, until it is worth a word
FAR_ABOVE, AT_LEAST = 10, 10
Activations = tuple[FeatureActivations | None, FeatureActivations | None]


@dataclass(frozen=True, eq=False)
class Matching:
    """Features of SAE `a` matched to features of SAE `b`.

    Scores, ranks and candidates are those of `method`; `measures` holds the same facts for every
    method, so that matchings can be compared (see `saematch.matching.measures.measure_pairs`). A
    p-value is the chance that the best of as many null directions scores at least as much (see
    `saematch.matching.significance`); all are NaN where there is no null.
    """

    a: SAE
    b: SAE
    method: Method
    fold: Fold  # what the method folded by, with `auto` resolved
    target: Int[Tensor, " d_sae_a"]  # -1: none
    matched: Bool[Tensor, " d_sae_a"]  # beyond chance, and accepted by the method's own rule
    score: Float[Tensor, " d_sae_a"]  # NaN where there is no target
    p_value: Float[Tensor, " d_sae_a"]
    rank_in_row: Int[Tensor, " d_sae_a"]  # 1: no better target for this feature; 0: no target
    rank_in_column: Int[Tensor, " d_sae_a"]  # 1: no better source for this target
    candidates: Int[Tensor, "d_sae_a k"]  # the best targets by score, best first; -1: excluded
    candidate_scores: Float[Tensor, "d_sae_a k"]
    candidate_p_values: Float[Tensor, "d_sae_a k"]
    sources: Int[Tensor, "d_sae_b l"]  # the best features of A for each of B; -1: excluded
    source_scores: Float[Tensor, "d_sae_b l"]
    source_p_values: Float[Tensor, "d_sae_b l"]  # against a null of A
    significance: Significance
    p_cut: float | None  # up to which p-values match; None: no null, or a given target
    null_best: Float[Tensor, " draws"] | None  # what features of A reach with null dictionaries
    measures: dict[str, Float[Tensor, " d_sae_a"]]
    identity: dict[str, float] | None  # medians of the measures for i -> i; None: widths differ
    excluded_a: dict[str, Bool[Tensor, " d_sae_a"]]
    excluded_b: dict[str, Bool[Tensor, " d_sae_b"]]
    assignment: Assignment | None  # with duals; over features that are not excluded
    notes: tuple[str, ...]
    seconds: float
    activations: Activations = BOTH_ABSENT  # of A and B on the same tokens, where they were given

    @property
    def mutual(self) -> Bool[Tensor, " d_sae_a"]:
        """Each the other's best by score."""
        return (self.rank_in_row == 1) & (self.rank_in_column == 1)

    @property
    def measures_fold(self) -> Fold:
        """What the folded measures are folded by: as the method, or as `auto` where it does not."""
        return self.fold if self.fold != "none" else resolve_fold("auto", self.a, self.b)

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
        return int(self.matched.sum())

    @property
    def identity_share(self) -> float:
        """Share of matched features whose target has their own index.

        Near 1 / d_sae for SAEs trained apart; far above it when they share their initial weights,
        and then much of what looks like agreement is an artefact.
        """
        index = torch.arange(len(self.target), device=self.target.device)
        return float((self.target == index)[self.matched].float().mean()) if self.n_matched else 0.0

    def transport(
        self, f: Float[Tensor, "... d_sae_a"], rescale: bool = True, by: Fold | None = None
    ) -> Float[Tensor, "... d_sae_b"]:
        """Activations of A's features as activations of B's.

        Each of a matched feature goes to its target, times `s_target / s_source` with the folding
        scales of B and A (SAE Match: thresholds, so that an activation keeps its size in units of
        its threshold). Where several features have one target, their activations add up. Features
        that are not matched carry nothing.

        Args:
            f: activations of A, `(..., d_sae_a)`.
            rescale: whether to rescale at all.
            by: the folding to rescale by; as the method's own, or `auto` for an unfolded method.

        Raises:
            MatchError: `f` is not of that shape, or `by` is "activation".
        """
        if not isinstance(f, Tensor) or f.ndim == 0 or f.shape[-1] != self.a.d_sae:
            found = tuple(f.shape) if isinstance(f, Tensor) else type(f).__name__
            raise MatchError(
                f"f is {found}; expected a tensor with {self.a.d_sae} activations in its last "
                f"dimension, one for each feature of {self.a.name}"
            )
        how: Fold = (by or self.measures_fold) if rescale else "none"
        partner = torch.where(self.matched, self.target, -1)
        return carrying(self.a, self.b, partner, how).apply(f)

    def inverse(self) -> Matching:
        """The matching from B to A: the same pairs, of which the same are matched.

        Of a many-to-one matching only matched pairs are kept. Ranks, candidates and p-values are
        those of B's features.

        Raises:
            MatchError: several features share a target, so there is no inverse.
        """
        kept = self.target >= 0 if self.method.kind == "one-to-one" else self.matched
        source = kept.nonzero().squeeze(1)
        target = self.target[source]
        if len(target.unique()) < len(target):
            raise MatchError("a many-to-one matching has no inverse: match(b, a) instead")
        back = torch.full((self.b.d_sae,), -1, dtype=torch.int64, device=target.device)
        back[target] = source
        inverted = self._given(self.b, self.a, back, (self.activations[1], self.activations[0]))
        matched = torch.zeros_like(inverted.matched)
        matched[target] = self.matched[source]
        proof = None
        if self.assignment is not None and self.method.kind == "one-to-one":
            # the same pairs with the same duals: it holds either way round
            proof = self.assignment.transposed()
        return dataclasses.replace(inverted, matched=matched, assignment=proof)

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
        first = torch.where(self.matched, self.target, 0)
        through = self.matched & other.matched[first]
        target = torch.where(through, other.target[first], -1)
        activations = self.activations[0], other.activations[1]
        return self._given(self.a, other.b, target, activations)

    def _given(self, a: SAE, b: SAE, target: Tensor, activations: Activations) -> Matching:
        """Another matching by the same method, with its target given instead of solved for."""
        check_tokens(a, b, activations, self.method)
        kept = max(1, self.candidates.shape[1])
        return _matching(a, b, self.method, kept, self.significance, target, activations)

    def to_frame(self):
        """One row per feature of A, as a polars DataFrame: target, scores, ranks, measures."""
        from saematch.matching.tables import matching_frame

        return matching_frame(self)

    def candidates_frame(self):
        """One row per feature of A and candidate: rank, target, score, p-value."""
        from saematch.matching.tables import candidates_frame

        return candidates_frame(self)

    def sources_frame(self):
        """One row per feature of B and source: rank, source, score, p-value."""
        from saematch.matching.tables import sources_frame

        return sources_frame(self)

    def null_frame(self):
        """A histogram of the scores of A's features beside what they reach with the null."""
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
    significance = Significance(null, fdr, partial, seed)
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
    """Solve for the target where none is given, then score, test and measure it."""
    start = time.monotonic()
    solve = target is None
    method, learned = _learned(a, b, method, activations)
    posed = pose(a, b, method, scales, activations=activations)
    x, y, offsets = posed.x, posed.y, (posed.row_offset, posed.column_offset)
    told = posed.widths, posed.over_tokens
    forward = significance.chance(x, y, *offsets, *told, posed.rare_rows)
    backward = significance.chance(y, x, offsets[1], offsets[0], *told, posed.rare_columns)
    assignment = None
    if target is None:
        row_cost, column_cost = significance.costs(forward, backward)
        assignment = assign(
            x, y, *offsets, kind=method.kind, row_cost=row_cost, column_cost=column_cost
        )
        target = posed.outer_target(assignment.target)
    near = neighbours(x, y, *offsets, target=posed.inner_target(target), k=candidates)
    p_value = _p_values(forward, near.score)
    if posed.rare_columns is not None:
        # of a coincidence either side may be the rare one
        inner = posed.inner_target(target)
        rare = posed.rare_columns[inner.clamp(min=0)] & (inner >= 0)
        p_value = torch.where(rare & p_value.isfinite(), 1.0, p_value)

    how = posed.fold if posed.fold != "none" else resolve_fold("auto", a, b)
    measures = measure_pairs(a, b, target, how, scales)
    matched, p_cut = target >= 0, None
    if solve and forward is not None:
        p_cut = cut(p_value.cpu().numpy(), significance.fdr)
        matched = matched & posed.rows_to_a(p_value <= p_cut, False)
    if method.confirm:
        matched = matched & _confirmed(a, b, method, target, measures)
    found = Matching(
        a=a,
        b=b,
        method=method,
        fold=posed.fold,
        target=target,
        matched=matched,
        score=posed.rows_to_a(near.score),
        p_value=posed.rows_to_a(p_value),
        rank_in_row=posed.rows_to_a(near.rank_in_row, 0),
        rank_in_column=posed.rows_to_a(near.rank_in_column, 0),
        candidates=posed.rows_to_a(posed.columns_in_b(near.candidates), -1),
        candidate_scores=posed.rows_to_a(near.candidate_scores),
        candidate_p_values=posed.rows_to_a(_p_values(forward, near.candidate_scores)),
        sources=posed.columns_to_b(posed.rows_in_a(near.sources), -1),
        source_scores=posed.columns_to_b(near.source_scores),
        source_p_values=posed.columns_to_b(_p_values(backward, near.source_scores)),
        significance=significance,
        p_cut=p_cut,
        null_best=None if forward is None else forward.best,
        measures=measures,
        identity=identity_medians(a, b, how, scales),
        excluded_a=dict(posed.a.exclusions),
        excluded_b=dict(posed.b.exclusions),
        assignment=assignment,
        notes=(*learned, *_notes(a, b, method, posed)),
        seconds=time.monotonic() - start,
        activations=activations,
    )
    warning = shared_seed(found.n_matched, found.identity_share, b.d_sae, _same_weights(a, b))
    if warning is None:
        return found
    return dataclasses.replace(found, notes=(*found.notes, f"{a.name} → {b.name}: {warning}"))


def shared_seed(
    matched: int, identity_share: float, features_b: int, same_weights: bool = False
) -> str | None:
    """What to say where far more features go to their own index than chance would have it."""
    if same_weights:
        return "these are the same weights."
    chance = 1 / max(1, features_b)
    if identity_share * matched < AT_LEAST or identity_share < FAR_ABOVE * chance:
        return None
    return (
        f"{identity_share:.1%} of the matches are i -> i, where chance gives {chance:.2%}. Both "
        "SAEs seem to have started from the same random weights (one seed): much of their "
        "agreement is then inherited from the start of training, not found in the model."
    )


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


def _p_values(chance: Chance | None, scores: Tensor) -> Tensor:
    return torch.full_like(scores, float("nan")) if chance is None else chance.p_value(scores)


def _confirmed(
    a: SAE, b: SAE, method: Method, target: Tensor, measures: dict[str, Tensor]
) -> Tensor:
    """Where a second assignment on the method's `confirm` views gives the same partner."""
    posed = pose(a, b, method, views=method.confirm)
    again = assign(posed.x, posed.y, posed.row_offset, posed.column_offset, kind=method.kind)
    same = posed.outer_target(again.target) == target
    if method.cutoff is None:
        return same
    close = [measures[f"{term}_cosine"] >= method.cutoff for term in ("decoder", "encoder")]
    return same & close[0] & close[1]


def _notes(a: SAE, b: SAE, method: Method, posed: Posed) -> tuple[str, ...]:
    notes, how = [], posed.fold
    if method.fold == "auto" and how == "decoder-norm":
        kinds = f"{a.name}: {a.threshold_kind}, {b.name}: {b.threshold_kind}"
        notes.append(f"folded by decoder norm, for want of thresholds per feature ({kinds})")
    if how == "threshold":
        scalar = [sae.name for sae in (a, b) if sae.threshold_kind == "scalar"]
        if len(scalar) == 2:
            notes.append(
                "both SAEs have one threshold for all features: folding by it cannot change a "
                "matching by a single term, only the balance between encoder and decoder terms"
            )
        elif scalar:
            notes.append(f"{scalar[0]} has one threshold for all features: its folding is a factor")
    for sae in (a, b):
        if sae.conventions.normalisation != "none":
            notes.append(
                f"{sae.name} normalises each input ({sae.conventions.normalisation}): its weights "
                "are not in the scale of the raw activations"
            )
        if sae.conventions.site is None:
            notes.append(f"{sae.name} does not say where it sits: that the sites fit is assumed")
    # folding may have found more of them
    for sae in (posed.a, posed.b):
        if sae.exclusions:
            reasons = ", ".join(f"{int(m.sum())} {r}" for r, m in sae.exclusions.items())
            notes.append(f"{sae.name}: features left out: {reasons}")
    return tuple(notes)


def _same_weights(one: SAE, other: SAE) -> bool:
    return one.W_dec.shape == other.W_dec.shape and bool(torch.equal(one.W_dec, other.W_dec))

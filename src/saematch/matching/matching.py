# pyright: strict, reportUnnecessaryIsInstance=false, reportMissingTypeStubs=false
"""Matching: which feature of B continues each feature of A, and how well.

`target[i] = j` means that feature i of A goes to feature j of B; -1 means that it has no partner.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from saematch.assignment import Assignment
from saematch.errors import MatchError
from saematch.files.pandas import as_pandas
from saematch.matching.evidence import NONE, Activations, Evidence
from saematch.matching.feature_map import FeatureMap, PairKind
from saematch.matching.measures import Measures
from saematch.matching.methods import Method
from saematch.matching.pairs import Pairs
from saematch.matching.problem import BOTH_ABSENT, check_evidence
from saematch.matching.verdict import Verdict
from saematch.models.jacobian import Jacobian
from saematch.numerics.ranked import Ranked
from saematch.sae.folding import Fold
from saematch.sae.sae import SAE

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl

Exclusions = Mapping[str, Tensor]  # bool (d_sae,) by reason


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
    evidence: Evidence = NONE  # besides weights, where it was given
    # gap and relative gap, where the assignment that they are of is not kept
    known_gaps: tuple[float, float] | None = None

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
    def activations(self) -> Activations:
        """Those of A and B on the same tokens, where they were given."""
        return self.evidence.activations

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
        """The most that another assignment could gain in total score; None if composed."""
        return self._gaps[0]

    @property
    def relative_gap(self) -> float | None:
        """`gap` as a share of the total absolute score; None if composed."""
        return self._gaps[1]

    @property
    def _gaps(self) -> tuple[float, float] | tuple[None, None]:
        if self.assignment is None:
            return self.known_gaps or (None, None)
        return self.assignment.gap, self.assignment.relative_gap

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

    def map(self, links: PairKind = "matched", by: Fold | None = None) -> FeatureMap:
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
        inverted = self._given(self.b, self.a, back.targets, self.evidence.turned())
        matched = torch.zeros_like(inverted.matched)
        matched[back.source] = back.matched
        proof = None
        if self.assignment is not None and one_to_one:
            # the same pairs with the same duals: it holds either way round
            proof = self.assignment.transposed()
        pairs = dataclasses.replace(inverted.pairs, matched=matched)
        gaps = self.known_gaps if one_to_one else None
        return dataclasses.replace(inverted, pairs=pairs, assignment=proof, known_gaps=gaps)

    def compose(self, other: Matching) -> Matching:
        """From A through B to C: `target[i] = other.target[self.target[i]]`, where both match.

        Scores, p-values and measures are those of the pairs (A, C) by this matching's method. A
        composed feature is matched because both of its links are. Its p-value shows whether A and
        C support the pair directly, and does not affect `matched`.

        Raises:
            MatchError: `other` does not start from the SAE that this one ends at.
        """
        if other.a is not self.b and not same_weights(other.a, self.b):
            raise MatchError(
                f"cannot compose: this matching ends at {self.b.name}, the other starts at "
                f"{other.a.name}"
            )
        first, second = (m.pairs.map("matched", m.b.d_sae) for m in (self, other))
        evidence = self.evidence.then(other.evidence)
        return self._given(self.a, other.b, first.then(second).targets, evidence)

    def _given(self, a: SAE, b: SAE, target: Tensor, evidence: Evidence) -> Matching:
        """Another matching by the same method, with its target given instead of solved for."""
        from saematch.matching.solving import make_matching

        check_evidence(a, b, evidence, self.method)
        kept = max(1, self.candidates.shape[1])
        return make_matching(a, b, self.method, kept, self.verdict.significance, target, evidence)

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
        jacobian: Jacobian | None = None,
    ) -> Matching:
        """Read a matching that was saved.

        Args:
            path: the file.
            a: the SAE that was matched; loaded again from where it came unless given.
            b: the SAE that it was matched to; likewise.
            activations: of both on the same tokens, for `inverse` and `compose` of methods that
                compare them.
            jacobian: between their hook points, for those of methods that carry directions.

        Raises:
            MatchError: the file does not hold a matching, or an SAE has other weights than the
                one that was matched.
            CheckpointError: an SAE cannot be loaded.
        """
        from saematch.matching.saved import load_matching

        return load_matching(path, a, b, activations, jacobian)

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
        from saematch.matching.display import sentence

        return sentence(self)

    def _repr_html_(self) -> str:
        from saematch.matching.display import html

        return html(self)


def same_weights(one: SAE, other: SAE) -> bool:
    """Whether the decoders of two SAEs are the same, bit by bit."""
    return one.W_dec.shape == other.W_dec.shape and bool(torch.equal(one.W_dec, other.W_dec))

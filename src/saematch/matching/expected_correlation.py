# Tensor.split, norm and from_numpy, and scipy, have no types of their own
# pyright: strict, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportMissingTypeStubs=false
"""Weights and activations as one body of evidence: the correlation to expect of two features.

Let `rho_ij` be the Pearson correlation of features i and j over all text, the measure of how far
they are one feature. Two things tell of it. Weights do, by the similarity `c_ij` of what the two
features write and read (the mean of decoder and encoder cosine),

    rho_ij ~ N(intercept + slope c_ij, spread),

and so does the correlation `r_ij` seen on some tokens, the better the more often both fired,

    r_ij ~ N(rho_ij, noise / n_ij),      n_ij = sqrt(n_i n_j) firings.

What to expect of `rho_ij` given both is the mean of the two, weighted by their precision:

    (1 - w_ij) (intercept + slope c_ij) + w_ij r_ij,      w_ij = n_ij / (n_ij + k),

with `k = noise / spread` the number of firings after which activations count for as much as
weights. With `w_ij = w_i w_j` and `w_i = sqrt(n_i / (n_i + k))`, which is the same where n_i = n_j,
this is a sum of inner products, and so a method like any other (`View.shrinkage` multiplies rows by
`w_i`).

Text that is given is of the kinds that matter. Text that the model generated only stands in for
them, and what features show on prose alone is partly a matter of prose. So its examples are also
split in two by what fires on them, and `trust` is the share of what the text shows beyond weights
that both kinds of it show: `w_ij = trust n_ij / (n_ij + k)`.

Where the model's Jacobian is known there is a second similarity, of what it carries, with a slope
of its own, and the two add up.

These numbers are found for each pair of SAEs from the tokens that are at hand, on the pairs of
features that weights think most alike: the noise from how far two random halves of the text
disagree, the spread from how far both agree in departing from what weights foretell (James and
Stein's shrinkage, its moments estimated as in empirical Bayes: Efron and Morris, 1973), the trust
from how far two kinds of text agree in it, beside random halves. Where weights
foretell nothing, as across the embedding, their slope tends to 0; carried ones foretell something
even there, and activations decide the rest.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
import torch
from numpy import ndarray
from scipy.sparse.linalg import LinearOperator, eigsh

from saematch.activations.correlations import correlations
from saematch.activations.table import FeatureActivations
from saematch.errors import MatchError
from saematch.matching.evidence import Evidence
from saematch.matching.methods import Method
from saematch.matching.views import View, stack
from saematch.sae.sae import SAE

PAIRS = 4096  # of features that the numbers are found on, at most
LEAST = 20  # at least
FIRINGS = (1.0, 1000.0)  # between which k is kept
ROUNDS = 20


@dataclass(frozen=True)
class Expectation:
    """`intercept + sum_g slopes[g] c_ij^g` is what weights foretell; `firings` is k."""

    intercept: float
    slopes: tuple[float, ...]  # of each similarity by weights: plain, and carried by the model
    firings: float
    trust: float = 1.0  # in generated text: 1 where all kinds of it show the same
    shares: tuple[float, float] = (0.0, 0.0)  # of activations in it: here, with four times the text

    def method(self, fused: Method, similarities: Sequence[tuple[View, ...]]) -> Method:
        """The method whose score is the expected correlation, less the intercept.

        (1 - w_ij)(intercept + sum_g slope_g c_ij^g) + w_ij r_ij, term by term; a constant that all
        scores share changes nothing.
        """
        firings, trust = self.firings, self.trust
        alike = [
            dataclasses.replace(view, weight=slope * view.weight)
            for slope, views in zip(self.slopes, similarities, strict=True)
            for view in views
        ]
        views = [
            *alike,
            *(dataclasses.replace(v, weight=-trust * v.weight, shrinkage=firings) for v in alike),
            View("constant", weight=-trust * self.intercept, shrinkage=firings),
            View("activation", weight=trust, normalised=True, shrinkage=firings),
        ]
        kept = tuple(view for view in views if view.weight)
        return dataclasses.replace(fused, views=kept, expects=False)

    def __str__(self) -> str:
        what = ("similarity by weights", "that of weights carried by the model")
        trusted = f"; its kinds share {self.trust:.0%} of what they show" if self.trust < 1 else ""
        terms = [f"{slope:.2f} x {name}" for slope, name in zip(self.slopes, what, strict=False)]
        return (
            f"expected correlation: {' + '.join([f'{self.intercept:.2f}', *terms])}; activations "
            f"count for as much after {self.firings:.1f} firings, for {self.shares[0]:.0%} here, "
            f"with four times the text for {self.shares[1]:.0%}{trusted}"
        )


def similarities(views: tuple[View, ...], evidence: Evidence) -> list[tuple[View, ...]]:
    """The similarities by weights: plain, and with a Jacobian also carried.

    Args:
        views: of weights, plain.
        evidence: with a Jacobian or without.
    """
    if evidence.jacobian is None:
        return [views]
    carried = [dataclasses.replace(view, vectors=f"carried-{view.vectors}") for view in views]
    return [views, tuple(carried)]


def expectation(
    a: SAE, b: SAE, similar: Sequence[tuple[View, ...]], evidence: Evidence
) -> Expectation:
    """What the activations at hand say of how far to trust weights, and how far themselves.

    Args:
        a: the SAE whose features are followed.
        b: the SAE they are followed into.
        similar: for each similarity by weights its views, whose weighted inner products it is.
        evidence: activations of both on the same tokens, and a Jacobian for carried views.

    Raises:
        MatchError: so few features fire that nothing can be found out.
    """
    activations = _both(evidence)
    i, j, similarity = _most_alike(a, b, similar, evidence)
    halves = _Split.of(activations, _halves(activations[0].example), i, j)
    usable = int(halves.both.sum())
    if usable < LEAST:
        raise MatchError(
            f"{usable} features fire in both halves of {activations[0].n_tokens:,} tokens "
            f"together with the feature of {b.name} most like them; to weigh weights against "
            f"activations it takes {LEAST}: give more tokens (1,000 often do)"
        )
    whole = _Split.of(activations, (slice(None),), i, j)
    kinds = None
    if activations[0].generated:
        kinds = _Split.of(activations, _kinds(activations), i, j)
    return _fitted(similarity, whole, halves, kinds)


@dataclass(frozen=True, eq=False)
class _Split:
    """Pairs of features on parts of the text: their correlations and how often both fire."""

    seen: ndarray  # (parts, pairs)
    fired: ndarray  # (parts, pairs)

    @classmethod
    def of(
        cls,
        activations: tuple[FeatureActivations, FeatureActivations],
        parts: Sequence[slice | ndarray],
        i: ndarray,
        j: ndarray,
    ) -> _Split:
        seen, fired = [], []
        for part in parts:
            one, other = (some.take(part) for some in activations)
            seen.append(correlations(one, other, i, j))
            fired.append(np.sqrt(one.counts()[i] * other.counts()[j].astype(float)))
        return cls(np.stack(seen), np.stack(fired))

    @property
    def both(self) -> ndarray:
        """Which pairs `(pairs,)` fire in every part."""
        return np.all(self.fired > 0, axis=0)

    def shared(self, foretold: ndarray, firings: float) -> float:
        """The mean product of how far two parts depart from what is foretold `(pairs,)`.

        Their noise is independent, so that this is the variance of departures that they share.
        """
        some = self.both
        one, other = (self.seen - foretold)[:, some]
        weight = 1 / (1 + (1 / self.fired[:, some]).sum(axis=0) * firings)
        return float((weight * one * other).sum() / weight.sum())


def _both(evidence: Evidence) -> tuple[FeatureActivations, FeatureActivations]:
    one, other = evidence.activations
    assert one is not None
    assert other is not None
    return one, other


def _fitted(
    similarity: ndarray, whole: _Split, halves: _Split, kinds: _Split | None = None
) -> Expectation:
    """The numbers, given `similarity` (pairs, similarities) and what text and its parts show."""
    some = halves.both
    seen, fired = whole.seen[0][some], whole.fired[0][some]
    known = np.column_stack([np.ones(len(similarity)), similarity])
    # r_1 - r_2 has the variance noise (1 / n_1 + 1 / n_2)
    spreads = (1 / halves.fired[:, some]).sum(axis=0)
    noise = float((np.diff(halves.seen[:, some], axis=0)[0] ** 2 / spreads).mean())
    firings, spread, line = 10.0, 0.0, np.zeros(known.shape[1])
    for _ in range(ROUNDS):
        root = np.sqrt(fired / (fired + firings))
        line = _line(known[some] * root[:, None], seen * root)
        spread = halves.shared(known @ line, firings)
        firings = float(np.clip(noise / max(spread, 1e-9), *FIRINGS))
    trust = 1.0
    if kinds is not None and spread > 0 and kinds.both.sum() >= LEAST:
        trust = float(np.clip(kinds.shared(known @ line, firings) / spread, 0, 1))
    slopes = tuple(map(float, line[1:]))
    shares = [float((trust * n / (n + firings)).mean()) for n in (fired, 4 * fired)]
    intercept = float(line[0]) if any(slopes) else 0.0
    return Expectation(intercept, slopes, firings, trust, (shares[0], shares[1]))


def _line(known: ndarray, seen: ndarray) -> ndarray:
    """Intercept and slopes of least squares, of which no slope is negative.

    Weights that foretell the reverse foretell nothing; and where similarities cannot be told apart,
    the smallest slopes will do.
    """
    kept = [*range(known.shape[1])]
    line = np.zeros(known.shape[1])
    while True:
        line[kept] = np.linalg.lstsq(known[:, kept], seen, rcond=None)[0]
        worst = int(line[1:].argmin()) + 1
        if line[worst] >= 0:
            return line
        line[worst] = 0.0
        kept.remove(worst)


def _most_alike(
    a: SAE, b: SAE, similar: Sequence[tuple[View, ...]], evidence: Evidence
) -> tuple[ndarray, ndarray, ndarray]:
    """Features of A that fire, with the feature of B most like them by any of the similarities.

    Returns features of A and of B `(pairs,)`, and how similar they are `(pairs, similarities)`.
    """
    heard = _both(evidence)[0].counts() > 0
    usable = torch.from_numpy(heard).to(a.device) & ~a.excluded
    rows = usable.nonzero()[:, 0]
    # every so many-th: no less random than features are
    rows = rows[:: max(1, -(-len(rows) // PAIRS))]
    stacked = [stack(a, b, views, evidence)[:2] for views in similar]
    best = []
    for x, y in stacked:
        found = []
        for some in rows.split(1024):
            scores = x[some] @ y.T
            scores[:, b.excluded] = -torch.inf
            found.append(scores.argmax(dim=1))
        if found:
            best.append(torch.stack([rows, torch.cat(found)]))
    if not best:
        return np.zeros(0, int), np.zeros(0, int), np.zeros((0, len(similar)))
    i, j = torch.cat(best, 1).unique(dim=1)
    alike = [(x[i] * y[j]).sum(1, dtype=torch.float64) for x, y in stacked]
    return i.cpu().numpy(), j.cpu().numpy(), torch.stack(alike, 1).cpu().numpy()


def _halves(example: ndarray) -> tuple[ndarray, ndarray]:
    """Every other example that is there, whatever its number; of one example, its two halves."""
    odd = np.cumsum(np.diff(example, prepend=example[:1]) != 0) % 2 == 1
    if not odd.any():
        odd = np.arange(len(example)) >= len(example) // 2
    return ~odd, odd


def _kinds(activations: tuple[FeatureActivations, FeatureActivations]) -> list[ndarray]:
    """Masks of the tokens of two kinds of examples, which differ most in what fires on them.

    The sign of the first principal component of the roots of how often each feature fires.
    """
    number = np.unique(activations[0].example, return_inverse=True)[1]
    examples, tokens = int(number[-1]) + 1, len(number)
    if examples < 3:
        return [*_halves(activations[0].example)]
    share = 1 / np.bincount(number)[number]
    of = sp.csr_array((share, (number, np.arange(tokens))), (examples, tokens))
    fires = sp.hstack([some.matrix != 0 for some in activations], format="csr")
    rates = sp.csr_array(of @ fires)
    rates.data = np.sqrt(rates.data)

    def product(vector: ndarray) -> ndarray:
        seen = rates @ (rates.T @ (vector - vector.mean()))
        return seen - seen.mean() + vector  # the last keeps it from being 0 of examples all alike

    of_examples = (examples, examples)
    gram = LinearOperator(of_examples, product, dtype=np.float64)  # pyright: ignore
    component = eigsh(gram, 1, v0=np.linspace(-1, 1, examples))[1][:, 0]
    kind = (component > 0)[number]
    return [kind, ~kind]

"""`contexts` and `contexts-choice`: the same questions, put to static embeddings of contexts.

No network and no descriptions. What a feature fires on is embedded twice, the token with the word
before it, and the passage around it; the first counts for more, because features of language models
are mostly about tokens.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy import ndarray
from scipy.optimize import minimize
from scipy.special import expit

from saematch.judging.cases import Case, Feature
from saematch.judging.choice import choices, verdict
from saematch.judging.embeddings import embed
from saematch.judging.verdict import Setting, Verdict, grade
from saematch.sae.contexts import Context

SHARE = 0.8  # of the token in a similarity; the rest is the passage's
OF_EACH = 5  # contexts of each of the two that are compared
WIDE = 40  # characters of the passage on either side
VOTES = 9
RIDGE = 1e-5  # keeps the slope finite where controls do not overlap


def by_contexts(cases: Sequence[Case], setting: Setting) -> list[Verdict]:
    """By how similar the contexts of the one are to those of the other, on average.

    The probability is that of a feature with itself, on other text, rather than with a random one,
    equally likely beforehand: a logistic regression on the controls of these cases.
    """
    vectors: dict[tuple[Feature, int], ndarray] = {}
    similarity = np.full(len(cases), np.nan)
    for k, case in enumerate(cases):
        ends = []
        for end in ((case.a, 0), (case.b, 1)):
            if end not in vectors:
                vectors[end] = _vectors(setting.shown.contexts(*end)[:OF_EACH])
            ends.append(vectors[end])
        if all(len(some) for some in ends):
            similarity[k] = float((ends[0] @ ends[1].T).mean())
    probability = _calibrated(similarity, [case.kind for case in cases])
    return [
        Verdict(problem="no contexts: the text is too short for these features")
        if np.isnan(value)
        else Verdict(grade(p), p, value=value)
        for value, p in zip(similarity.tolist(), probability.tolist(), strict=True)
    ]


def by_contexts_choice(cases: Sequence[Case], setting: Setting) -> list[Verdict]:
    """By whether the partner's passage is the one of four that is most like the group."""
    asked = choices(cases, setting, setting.votes or VOTES)
    made = [one for some in asked if not isinstance(some, str) for one in some]
    contexts = [*dict.fromkeys(context for one in made for context in (*one.group, *one.choices))]
    vector = dict(zip(contexts, _vectors(contexts), strict=True))
    found = []
    for some in asked:
        if isinstance(some, str):
            found.append(Verdict(problem=some))
            continue
        right = []
        for one in some:
            group = np.mean([vector[context] for context in one.group], axis=0)
            alike = [float(vector[context] @ group) for context in one.choices]
            right.append(float(int(np.argmax(alike)) == one.right))
        found.append(verdict(some, right))
    return found


def _vectors(contexts: Sequence[Context]) -> ndarray:
    """`(contexts, 2 D)`: inner products are similarities, at most 1."""
    if not contexts:
        return np.zeros((0, 1), np.float32)
    near = [_joined(c) for c in contexts]
    wide = [f"{c.before[-WIDE:]}{c.token}{c.after[:WIDE]}" for c in contexts]
    return np.hstack([SHARE**0.5 * embed(near), (1 - SHARE) ** 0.5 * embed(wide)])


def _joined(context: Context) -> str:
    """The token and the word that ends before it, or that it goes on with."""
    return " ".join((context.before + context.token).split()[-2:])


def _calibrated(value: ndarray, kinds: Sequence[str]) -> ndarray:
    """The probability of each value to be of a `self` rather than of a `random` control."""
    known = np.isfinite(value)
    one, other = (value[known & (np.array(kinds) == kind)] for kind in ("self", "random"))
    if not len(one) or not len(other):
        return np.clip(value, 0, 1)
    x = np.concatenate([one, other])
    y = np.concatenate([np.ones(len(one)), np.zeros(len(other))])
    weight = np.concatenate([np.full(len(one), 1 / len(one)), np.full(len(other), 1 / len(other))])

    def loss(line: ndarray) -> float:
        z = line[0] + line[1] * x
        return float((weight * (np.logaddexp(0, z) - y * z)).sum() + RIDGE * line[1] ** 2)

    line = minimize(loss, np.array([0.0, 1.0])).x
    return expit(line[0] + line[1] * value)

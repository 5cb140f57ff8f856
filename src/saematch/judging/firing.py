# pyright: strict
"""`firing`: do two features fire together? The judge that needs no words."""

from __future__ import annotations

from collections.abc import Sequence

from saematch.judging.cases import Case
from saematch.judging.verdict import DIFFERENT, MAYBE, SAME, Setting, Verdict

CUTS = 0.3, 0.7  # correlations from which on two features are MAYBE, and SAME


def firing(cases: Sequence[Case], setting: Setting) -> list[Verdict]:
    """By the Pearson correlation of activations over all tokens, zeros included.

    The probability is the correlation itself, 0 where that is negative: a share, not a calibrated
    probability. Text that the run was matched on is no judge of its matches.
    """
    found: list[Verdict] = []
    for r in setting.shown.correlations(cases).tolist():
        grade = SAME if r >= CUTS[1] else MAYBE if r >= CUTS[0] else DIFFERENT
        found.append(Verdict(grade, min(1.0, max(0.0, r)), value=r))
    return found

# pyright: strict
"""Judges: each says of pairs of features whether they mean the same, and how sure it is.

Two ask a language model (`describe`, `intruder`), two compare static embeddings of what features
fire on (`contexts`, `contexts-intruder`), and one needs no words at all (`firing`). A package adds
another by an entry point in the group `saematch.judges`, a script by `JUDGES.register`: a function
of cases and a `Setting` that returns a `Verdict` for each.
"""

from __future__ import annotations

from saematch.errors import MatchError
from saematch.judging.contexts import by_contexts, by_contexts_intruder
from saematch.judging.describe import describe
from saematch.judging.firing import firing
from saematch.judging.intruder import intruder
from saematch.judging.verdict import Judge
from saematch.registry import Registry

JUDGES = Registry[Judge](
    "judge",
    {
        "firing": firing,
        "contexts": by_contexts,
        "contexts-intruder": by_contexts_intruder,
        "describe": describe,
        "intruder": intruder,
    },
    MatchError,
)
ASK = ("describe", "intruder")  # of a language model
BY_DEFAULT = ("firing", "contexts", "contexts-intruder")

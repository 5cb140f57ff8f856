# pyright: strict
"""Judges: each says of pairs of features whether they mean the same, and how sure it is.

Two ask a language model (`describe`, `choice`), two compare static embeddings of what features
fire on (`contexts`, `contexts-choice`), and one needs no words at all (`firing`). A package adds
another by an entry point in the group `saematch.judges`, a script by `JUDGES.register`: a function
of cases and a `Setting` that returns a `Verdict` for each.
"""

from __future__ import annotations

from saematch.errors import MatchError
from saematch.judging.choice import choice
from saematch.judging.contexts import by_contexts, by_contexts_choice
from saematch.judging.describe import describe
from saematch.judging.firing import firing
from saematch.judging.verdict import Judge
from saematch.registry import Registry

JUDGES = Registry[Judge](
    "judge",
    {
        "firing": firing,
        "contexts": by_contexts,
        "contexts-choice": by_contexts_choice,
        "describe": describe,
        "choice": choice,
    },
    MatchError,
)
ASK = ("describe", "choice")  # of a language model
BY_EMBEDDINGS = ("contexts", "contexts-choice")
NEED_TEXT = ("firing", "choice", *BY_EMBEDDINGS)
BY_DEFAULT = ("firing", *BY_EMBEDDINGS)

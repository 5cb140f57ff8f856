# pyright: strict
"""What judges would ask, before anything is asked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from saematch.asking.endpoint import Answer, Forecast, Question
from saematch.judging.cases import Case
from saematch.judging.verdict import Asked, Judge, Setting
from saematch.progress import Progress

_NONE = Answer(None, "", "not asked", 0, 0, cached=False)


class _Rehearsal:
    """Takes down what would be asked."""

    def __init__(self, model: str) -> None:
        self.model = model
        self.questions: list[Question] = []

    def forecast(self, questions: Sequence[Question]) -> Forecast:
        return Forecast(0, 0, 0, 0)

    def ask(self, questions: Sequence[Question], progress: Progress | None = None) -> list[Answer]:
        self.questions += questions
        return [_NONE] * len(questions)


def forecast(
    judges: Sequence[Judge], cases: Sequence[Case], setting: Setting, endpoint: Asked
) -> Forecast:
    """What it will cost to have these judges judge these cases; nothing is asked."""
    rehearsal = _Rehearsal(endpoint.model)
    for judge in judges:
        judge(cases, replace(setting, endpoint=rehearsal, answers=[]))
    return endpoint.forecast(rehearsal.questions)

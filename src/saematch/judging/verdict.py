# pyright: strict
"""What a judge says of a pair of features."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from saematch.errors import MatchError
from saematch.judging.cases import Case
from saematch.judging.shown import CONTEXTS, Shown
from saematch.progress import Progress, silent

if TYPE_CHECKING:
    from saematch.asking.endpoint import Answer, Forecast, Question

DIFFERENT, MAYBE, SAME = 1, 2, 3  # as in SAE Match


@dataclass(frozen=True)
class Verdict:
    """A grade, 1 to 3, and a probability that two features mean the same; None: not judged."""

    grade: int | None = None
    probability: float | None = None
    votes: tuple[int, ...] = ()  # the grade of each vote, where several were taken
    value: float | None = None  # the judge's own number: a correlation, a similarity
    problem: str | None = None  # why there is no grade


class Asked(Protocol):
    """A language model to ask: `saematch.asking.Endpoint`, or anything that does the same."""

    @property
    def model(self) -> str: ...

    def forecast(self, questions: Sequence[Question]) -> Forecast: ...

    def ask(
        self, questions: Sequence[Question], progress: Progress | None = None
    ) -> list[Answer]: ...


@dataclass(frozen=True, eq=False)
class Setting:
    """What judges work with."""

    shown: Shown
    endpoint: Asked | None = None
    votes: int | None = None  # as many as each judge thinks right, unless given
    contexts: int = CONTEXTS  # at most, of each feature and half of the text
    seed: int = 0
    progress: Progress = silent

    answers: list[Answer] = field(default_factory=list["Answer"])  # to all that was asked

    def ask(self, questions: Sequence[Question]) -> list[Answer]:
        """The language model's answers, in the order of the questions.

        Raises:
            MatchError: no language model was given.
            SaematchError: it cannot be asked.
        """
        if self.endpoint is None:
            raise MatchError(
                "this judge asks a language model: name one (--judge-model), and the endpoint that "
                "has it (--base-url)"
            )
        found = self.endpoint.ask(questions, self.progress)
        self.answers.extend(found)
        return found


UNANSWERED = "no valid answer"  # how the problem of a case begins that is to be asked again


def unanswered(answer: Answer) -> str:
    """The problem of a case to which the language model gave no valid answer."""
    return f"{UNANSWERED}: {answer.problem}"


Judge = Callable[[Sequence[Case], Setting], list[Verdict]]


def grade(probability: float) -> int:
    """SAME from two thirds on, DIFFERENT up to one third."""
    return DIFFERENT if probability <= 1 / 3 else SAME if probability >= 2 / 3 else MAYBE

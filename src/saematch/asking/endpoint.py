"""A language model behind an OpenAI-compatible endpoint, asked many questions.

Every answer is kept as soon as it is there, so that a run that ends early, for whatever reason,
goes on where it stopped.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from saematch.asking.answers import Answer, Answers, Request
from saematch.asking.calls import Address, Caller, Key, Result, address, connect, tokens_of
from saematch.asking.limits import Budget, BudgetError, Pace, Stopped
from saematch.asking.ways import (
    Question,
    Way,
    amended,
    body,
    check,
    first_way,
    longest_reply,
    of_one_token,
    read,
    simpler,
)
from saematch.errors import SaematchError
from saematch.files.foreign import plain_text
from saematch.progress import Progress, Step, silent, tracked

__all__ = ["Answer", "BudgetError", "Endpoint", "Forecast", "Question"]

AGAIN = 2  # times that the model is reminded of the options
IN_A_ROW = 5  # questions without any reply, after which there is no use in going on
PROBES = 3  # questions asked one by one to find out what the endpoint takes
SHORT = 8  # tokens of an answer, in a forecast
_REFUSED = (400, 422, 501)  # the request asks for what the endpoint does not know


@dataclass(frozen=True)
class Forecast:
    """What questions will cost, by a rule of thumb: 4 bytes of text are a token.

    16 tokens are added to each prompt for what goes around it, and an answer takes 8. Questions
    asked again, and the thoughts of models that reason, are not foreseen.
    """

    calls: int  # different questions to be asked
    cached: int  # different questions whose answers are kept
    input_tokens: int
    output_tokens: int


@dataclass
class _Run:
    """One call of `ask`: what its threads share."""

    caller: Caller
    pool: ThreadPoolExecutor
    stop: threading.Event
    error: BaseException | None = None
    unanswered: int = 0  # questions in a row without a reply
    lock: threading.Lock = field(default_factory=threading.Lock)

    def end(self, error: BaseException | None = None) -> None:
        """Start no more calls; the first error is the one to tell."""
        with self.lock:
            self.error = self.error or error
        self.stop.set()


class Endpoint:
    """A language model to ask; it may be used from one thread at a time.

    Args:
        model: its name, as the endpoint knows it.
        base_url: of the endpoint; None for the environment variable OPENAI_BASE_URL, else OpenAI.
        key_variable: the environment variable that holds the key. Local servers need none.
        answers: the folder in which answers are kept, for all models and endpoints.
        concurrency: calls at the same time.
        budget: tokens, sent and received, that this object may spend; None for any number. Before
            each call they are forecast (see `Forecast`; the longest reply allowed counts in full),
            after it counted by the endpoint.
        per_minute: calls that may start in a minute; None for any number.
        timeout: seconds that a call may take.
        retries: of a call, when the endpoint cannot be reached or is overloaded.

    Raises:
        SaematchError: a number out of range; no valid URL, or one that holds a key.
    """

    def __init__(
        self,
        model: str,
        *,
        base_url: str | None = None,
        key_variable: str = "OPENAI_API_KEY",
        answers: Path,
        concurrency: int = 8,
        budget: int | None = None,
        per_minute: int | None = None,
        timeout: float = 60,
        retries: int = 4,
    ) -> None:
        for name, value, least in (
            ("concurrency", concurrency, 1),
            ("budget", budget, 0),
            ("per_minute", per_minute, 1),
            ("retries", retries, 0),
        ):
            if value is not None and value < least:
                raise SaematchError(f"{name}={value}: expected {least} or more")
        if not timeout > 0:
            raise SaematchError(f"timeout={timeout}: expected a number of seconds above 0")
        self.model, self.key_variable = model, key_variable
        self.concurrency, self.timeout, self.retries = concurrency, timeout, retries
        self._where: Address = address(base_url)
        self._answers = Answers(Path(answers))
        self._budget, self._pace = Budget(budget), Pace(per_minute)
        self._ways: dict[bool, Way] = {}  # what the endpoint takes, by `of_one_token`

    @property
    def url(self) -> str:
        return self._where.url

    @property
    def spent(self) -> int:
        """Tokens, sent and received, that this object has spent."""
        return self._budget.spent

    def forecast(self, questions: Sequence[Question]) -> Forecast:
        """What `ask` would cost; nothing is asked, and no key is needed."""
        asked = self._requests(questions).values()
        open_ = [request for request in asked if self._answers.get(request) is None]
        return Forecast(
            calls=len(open_),
            cached=len(asked) - len(open_),
            input_tokens=sum(tokens_of(one.instructions, one.prompt) for one in open_),
            output_tokens=SHORT * len(open_),
        )

    def ask(self, questions: Sequence[Question], progress: Progress | None = None) -> list[Answer]:
        """Answers in the order of the questions; of equal questions one is asked.

        What is kept is not asked again, unless it is no valid answer. When the run is interrupted,
        no new call starts, and those under way are waited for and kept.

        Args:
            questions: any number.
            progress: told when an answer comes.

        Raises:
            BudgetError: the budget is spent.
            SaematchError: options that cannot be told apart; openai is not installed; the key or
                the model is refused; the endpoint is not there, or no longer replies; answers
                cannot be kept. It says how many questions are answered.
        """
        tell, requests = progress or silent, self._requests(questions)
        found: dict[Question, Answer] = {}
        for question, request in requests.items():
            if kept := self._answers.get(request):
                found[question] = kept.answer(cached=True)
                self._ways.setdefault(of_one_token(question.options), kept.way)
        open_ = {asked: one for asked, one in requests.items() if asked not in found}
        if not open_:
            tell(Step("asking", len(found), len(found)))
        else:
            self._answers.prepare()
            with self._run(found, len(requests)) as run:
                answers, done = self._each(open_, run), len(found)
                for question, answer in tracked(
                    answers, tell, "asking", len(requests), done, lambda _: self.model
                ):
                    found[question] = answer
        return [found[question] for question in questions]

    @contextmanager
    def _run(self, found: dict[Question, Answer], total: int) -> Iterator[_Run]:
        """What a run needs; at its end calls under way are waited for, and an error is told."""
        stop, key = threading.Event(), Key(self.key_variable, self._where)
        with connect(self._where, key, self.timeout) as client:
            caller = Caller(client, key, self.retries, self._budget, self._pace, stop)
            run = _Run(caller, ThreadPoolExecutor(self.concurrency, "saematch-asking"), stop)
            try:
                yield run
            finally:
                run.end()
                run.pool.shutdown(cancel_futures=True)
        if isinstance(run.error, SaematchError):
            valid = sum(answer.probabilities is not None for answer in found.values())
            raise type(run.error)(
                f"{run.error}. {valid:,} of {total:,} questions are answered, and kept in "
                f"{self._answers.folder}: asking again goes on from there"
                + (", with a larger budget" if isinstance(run.error, BudgetError) else "")
            )
        if run.error is not None:
            raise run.error

    def _each(
        self, requests: dict[Question, Request], run: _Run
    ) -> Iterator[tuple[Question, Answer]]:
        """Answers as they come."""
        waiting = dict(requests)

        def start(question: Question) -> Future[Answer | None]:
            return run.pool.submit(self._work, waiting.pop(question), run)

        for question in self._probes(requests):
            if (answer := start(question).result()) is not None:
                yield question, answer
        futures = {start(question): question for question in [*waiting]}
        for future in as_completed(futures):
            if (answer := future.result()) is not None:
                yield futures[future], answer

    def _probes(self, questions: Iterable[Question]) -> Iterator[Question]:
        """The first questions of each kind, until it is known what the endpoint takes."""
        for kind in (True, False):
            alike = [one for one in questions if of_one_token(one.options) == kind]
            for question in alike[:PROBES]:
                if kind not in self._ways:
                    yield question

    def _work(self, request: Request, run: _Run) -> Answer | None:
        """One question's answer; None if the run ended before."""
        try:
            if run.stop.is_set():
                return None
            # another program may have asked it meanwhile
            if kept := self._answers.get(request):
                return kept.answer(cached=True)
            return self._answer(request, run)
        except Stopped:
            return None
        except BaseException as error:
            run.end(error)
            return None

    def _answer(self, request: Request, run: _Run) -> Answer:
        """Ask until there is a valid answer; what was paid for is kept, whatever ends it."""
        kind = of_one_token(request.options)
        way = self._ways.get(kind) or first_way(request.options)
        replies: list[dict[str, Any]] = []
        try:
            way, last = self._replies(request.question, way, replies, run)
        except BaseException:
            if replies:
                self._answers.put(request, way, replies)
            raise
        if last is not None:
            if replies:
                self._answers.put(request, way, replies)
            return self._unanswered(last, run)
        answer = self._answers.put(request, way, replies).answer(cached=False)
        if answer.probabilities is not None:
            self._ways[kind] = way
        return answer

    def _replies(
        self, question: Question, way: Way, replies: list[dict[str, Any]], run: _Run
    ) -> tuple[Way, Result | None]:
        """Add replies until one can be read; the way they were got, or what came instead of one."""
        settled = of_one_token(question.options) in self._ways
        wrong: list[str] = []
        while True:
            asked = body(self.model, question, way, wrong)
            result = run.caller.result(asked, longest_reply(question, way))
            if result.reply is None:
                refused = result.status in _REFUSED
                other = simpler(way, result.said, settled) if refused else None
                if other is None:
                    return way, result
            else:
                with run.lock:
                    run.unanswered = 0
                replies.append(result.reply)
                other = amended(way, result.reply, settled)
                if other is None:
                    reading = read(question, result.reply)
                    if reading.probabilities is not None or len(wrong) == AGAIN:
                        return way, None
                    wrong.append(reading.text)
            way = other or way

    def _unanswered(self, result: Result, run: _Run) -> Answer:
        """The answer to a question that got no reply; too many of them end the run."""
        why = f"status {result.status}: {result.said}" if result.status else result.said
        with run.lock:
            run.unanswered += 1
        if not result.reached and not self._ways:
            run.end(SaematchError(f"{self.url} cannot be reached ({why})"))
        elif run.unanswered >= IN_A_ROW:
            run.end(
                SaematchError(
                    f"{self.url}: {run.unanswered} questions in a row got no reply ({why})"
                )
            )
        return Answer(None, "", f"no reply ({why})", 0, 0, cached=False)

    def _requests(self, questions: Sequence[Question]) -> dict[Question, Request]:
        """The different questions, and what is sent of them."""
        found: dict[Question, Request] = {}
        for question in dict.fromkeys(questions):
            check(question)
            found[question] = Request(
                model=self.model,
                endpoint=self._where.place,
                instructions=plain_text(question.instructions),
                prompt=plain_text(question.prompt),
                options=[plain_text(option) for option in question.options],
            )
        return found

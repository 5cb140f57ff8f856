"""A language model asked through an endpoint: real HTTP, to a server of these tests' own."""

import builtins
import json
import logging
import subprocess
import sys
import threading
import traceback
from itertools import count

import pytest

from saematch.asking import calls, endpoint, limits
from saematch.asking.endpoint import BudgetError, Endpoint, Question
from saematch.errors import SaematchError
from support import chat_server
from support.chat_server import ChatServer, completion, right, says, status, tokens

KEY = "sk-test-0123456789/abc+DEF"
OPTIONS = ("1", "2", "3")


@pytest.fixture(autouse=True)
def surroundings(monkeypatch):
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "http_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(calls, "FIRST_WAIT", 0.0)


@pytest.fixture
def make(tmp_path):
    """An endpoint for a server, with a folder of answers that all of a test share."""

    def made(server, model="judge", **options):
        url = server if isinstance(server, str) else server.url
        return Endpoint(model, base_url=url, answers=tmp_path / "answers", **options)

    return made


def asking(n, options=OPTIONS, start=0):
    """Questions whose right answers go through the options in turn."""
    return [
        Question("Answer with a number.", f"Question {i}: {options[i % len(options)]}", options)
        for i in range(start, start + n)
    ]


def is_right(questions, answers):
    for question, answer in zip(questions, answers, strict=True):
        assert answer.problem is None
        assert sum(answer.probabilities) == pytest.approx(1)
        likeliest = answer.probabilities.index(max(answer.probabilities))
        assert question.options[likeliest] == question.prompt.split()[-1]
    return True


def of_one(server_script, question, make, **server):
    with ChatServer(script=lambda *_: server_script, **server) as chat:
        return make(chat).ask([question])[0], chat


# how an answer is got


@pytest.mark.parametrize(
    ("server", "how", "requests"),
    [
        ({}, "logprobs", 12),
        ({"logprobs": "ignores"}, "schema", 13),
        ({"logprobs": "refuses"}, "schema", 13),
        ({"logprobs": "refuses", "schema": "refuses"}, "text", 14),
        ({"logprobs": "ignores", "schema": "ignores"}, "schema", 13),
        ({"refused": ["temperature", "max_tokens"]}, "logprobs", 14),
        ({"refused": ["max_tokens", "temperature", "logprobs"], "schema": "refuses"}, "text", 16),
    ],
)
def test_what_an_endpoint_takes_is_found_once_and_remembered(make, tmp_path, server, how, requests):
    questions = asking(12)
    with ChatServer(**server) as chat:
        answers = make(chat).ask(questions)
        assert is_right(questions, answers)
        assert len(chat.bodies) == requests
        assert all(one["response_format"] for one in chat.bodies[-11:] if how == "schema")
        # the next program knows it from the answers that are there
        more = asking(14)
        assert is_right(more, make(chat).ask(more))
        assert len(chat.bodies) == requests + 2
    kept = [json.loads(file.read_text()) for file in (tmp_path / "answers").glob("*/*.json")]
    assert len(kept) == 14
    assert {one["way"]["how"] for one in kept} == {how}
    # the other token that the server's model could have written is no option
    assert {max(answer.probabilities) for answer in answers} == {1.0}


def test_an_endpoint_that_names_nothing_is_asked_ever_more_simply(make):
    def plain_only(handler, body):
        if {*body} - {"model", "messages"}:
            handler.send(422, b"no")
        else:
            right(handler, body)

    with ChatServer(script=lambda *_: plain_only) as chat:
        # without a limit of either name nothing simpler is left
        answers = make(chat).ask(asking(1))
        assert "status 422: no" in answers[0].problem
    with ChatServer(
        script=lambda *_: plain_only, refused=["max_tokens", "max_completion_tokens"]
    ) as chat:
        questions = asking(3)
        assert is_right(questions, make(chat).ask(questions))


def test_a_question_that_is_refused_itself_changes_nothing_for_the_others(make):
    questions = asking(6)

    def script(prompt, before):
        return status(400, {"error": {"message": "too long"}}) if "Question 3" in prompt else None

    with ChatServer(script=script) as chat:
        answers = make(chat).ask(questions)
        assert answers[3].probabilities is None
        assert "status 400: too long" in answers[3].problem
        assert is_right(questions[:3] + questions[4:], answers[:3] + answers[4:])
        assert all(body["logprobs"] for body in chat.bodies)
        assert chat.asked[questions[3].prompt] == 1


ONE = {"1": 0.6, " 2": 0.2, "2": 0.1, "10": 0.05, "x": 0.05}
QUOTED = [("\n ", {"\n ": 1.0}), ('"', {'"': 1.0}), ("1", ONE)]
YES = {"\u0120Yes": 0.5, "yes": 0.25, "NO": 0.25}
UN = [("un", {"un": 0.5, "same": 0.25}), ("like", {"like": 1.0})]
THOUGHT = [("<think>", {"1": 0.1}), ("1", {"1": 1.0}), ("</think>", {}), ("\n", {})]


@pytest.mark.parametrize(
    ("written", "options", "expected"),
    [
        ([("1", ONE)], OPTIONS, (0.6 / 0.9, 0.3 / 0.9, 0)),
        (QUOTED, OPTIONS, (2 / 3, 1 / 3, 0)),
        ([("\u0120Yes", YES)], ("yes", "no"), (0.75, 0.25)),
        (UN, ("same", "unlike"), (1 / 3, 2 / 3)),
        ([*THOUGHT, ("2", {"2": 0.5, "3": 0.5})], OPTIONS, (0, 0.5, 0.5)),
        # every digit a token: what is written is 10
        ([("1", ONE), ("0", {"0": 1.0})], OPTIONS, None),
        ([("Well", {"Well": 0.9, "1": 0.1})], OPTIONS, None),
        # the first token can be of either
        ([("s", {"s": 1.0}), ("ame", {"ame": 1.0})], ("same", "similar"), (1, 0)),
    ],
)
def test_probabilities_are_read_from_the_first_token_that_says_something(
    make, written, options, expected
):
    text = "".join(token for token, _ in written)
    answer, chat = of_one(says(text, tokens(*written)), Question("", "?", options), make)
    if expected is None:
        assert answer.probabilities is None
        assert answer.problem == f"the model wrote {text!r}, expected one of 1, 2, 3"
        assert len(chat.bodies) == 3
    else:
        assert answer.probabilities == pytest.approx(expected)
        assert len(chat.bodies) == 1


def test_options_that_begin_with_each_other_are_not_told_apart_by_a_token(make):
    questions = asking(4, ("1", "10", "2", "100"))
    with ChatServer() as chat:
        answers = make(chat).ask(questions)
        assert is_right(questions, answers)
        assert [max(answer.probabilities) for answer in answers] == [1.0] * 4
        assert not any("logprobs" in body for body in chat.bodies)
    # and both kinds are known apart
    with ChatServer() as chat:
        mixed = [*asking(3, start=50), *asking(4, ("1", "10", "2", "100"), start=60)]
        assert is_right(mixed, make(chat).ask(mixed))
        assert sum("logprobs" in body for body in chat.bodies) == 3


@pytest.mark.parametrize(
    ("text", "answer"),
    [("2", 1), (" **2**.\n", 1), ('{"answer": "3"}', 2), ("<think>1 or 3</think>\n3", 2)],
)
def test_plain_text_is_an_answer_if_it_is_an_option_and_nothing_else(make, text, answer):
    found, _ = of_one(says(text), Question("", "?", OPTIONS), make, logprobs="ignores")
    assert found.probabilities == tuple(float(i == answer) for i in range(3))


OTHER = [
    "I think 2",
    "2 or 3",
    "20",
    "",
    None,
    '{"answer": "4"}',
    '{"answer": 2}',
    "[[[",
    "<think>2",
]


@pytest.mark.parametrize("text", OTHER)
def test_any_other_text_is_none_even_after_reminders(make, tmp_path, text):
    question = Question("System.", "?", OPTIONS)
    answer, chat = of_one(says(text), question, make, logprobs="refuses", schema="refuses")
    assert answer.probabilities is None
    assert "expected one of 1, 2, 3" in answer.problem
    assert (answer.input_tokens, answer.output_tokens) == (90, 6)
    assert [len(body["messages"]) for body in chat.bodies[-3:]] == [2, 4, 6]
    assert chat.bodies[-1]["messages"][-1]["content"].endswith(": 1, 2, 3")
    (file,) = (tmp_path / "answers").glob("*/*.json")
    assert len(json.loads(file.read_text())["replies"]) == 3
    # it is kept, but asked again
    with ChatServer(script=lambda *_: says("3")) as chat:
        again = make(chat.url).ask([question])[0]
    assert again.probabilities == (0, 0, 1)


def test_a_wrong_option_is_put_right_by_a_reminder(make):
    script = lambda prompt, before: says("Neither!") if before == 1 else None  # noqa: E731
    questions = asking(1)
    with ChatServer(script=script, logprobs="refuses") as chat:
        answers = make(chat).ask(questions)
        assert is_right(questions, answers)
        assert answers[0].input_tokens == 60
        assert chat.bodies[-1]["messages"][-2]["content"] == "Neither!"


def test_a_model_that_reasons_gets_room_and_the_next_question_at_once(make):
    def script(handler, body):
        if body["max_tokens"] < 1000:
            handler.send(200, completion("", finish="length"))
        else:
            right(handler, body)

    questions = asking(5)
    with ChatServer(script=lambda *_: script, logprobs="refuses") as chat:
        assert is_right(questions, make(chat).ask(questions))
        assert sum(body["max_tokens"] < 1000 for body in chat.bodies) == 2


def test_system_messages_are_put_into_the_prompt_where_they_are_refused(make):
    def script(handler, body):
        if body["messages"][0]["role"] == "system":
            handler.send(400, {"error": {"message": "System role not supported"}})
        else:
            handler.send(200, completion("1"))

    question = Question("Instructions.", "Prompt.", OPTIONS)
    answer, chat = of_one(script, question, make, logprobs="ignores")
    assert answer.probabilities == (1, 0, 0)
    assert chat.bodies[-1]["messages"][0]["content"] == "Instructions.\n\nPrompt."


@pytest.mark.parametrize("options", [(), ("",), ("a", "A"), ("1", "1."), ("*", "2")])
def test_options_that_cannot_be_told_apart_are_refused(make, options):
    with pytest.raises(SaematchError, match="options="):
        make("http://127.0.0.1:9/v1").ask([Question("", "?", options)])


# what goes wrong on the way


@pytest.mark.parametrize(
    "bad",
    [
        status(500),
        status(503, b"<html>busy</html>"),
        status(408),
        status(409),
        status(429),
        status(200, b'{"choices": ['),
        status(200, b""),
        status(200, {"choices": []}),
        status(200, {"choices": "none", "usage": -1}),
        status(200, b"\xff\xfe"),
        status(200, {"error": {"message": "provider is down", "code": 502}}),
        chat_server.cut,
        chat_server.hangs_up,
    ],
)
def test_what_may_pass_is_tried_again(make, bad):
    questions = asking(6)
    with ChatServer(script=lambda prompt, before: bad if before < 2 else None) as chat:
        assert is_right(questions, make(chat).ask(questions))
        assert {*chat.asked.values()} == {3}
        assert {*chat.replied.values()} == {1}


def test_a_slow_endpoint_is_asked_again_after_the_timeout(make):
    until = threading.Event()
    script = lambda _, before: chat_server.waits(until) if before == 0 else None  # noqa: E731
    questions = asking(1)
    with ChatServer(script=script) as chat:
        judge = make(chat, timeout=0.5)
        assert is_right(questions, judge.ask(questions))
        until.set()
        # the reply that nobody waited for may have been paid for: it counts as forecast
        assert judge.spent > 32
    problem, _ = of_one(chat_server.hangs_up, Question("", "?", OPTIONS), make)
    assert problem.problem.startswith("no reply (")


class Clock:
    """Time that passes only where something waits."""

    def __init__(self, monkeypatch):
        self.now, self.waited, self.lock = 0.0, [], threading.Lock()
        monkeypatch.setattr(limits, "clock", lambda: self.now)
        for module in (limits, calls):
            monkeypatch.setattr(module, "pause", self.pause)

    def pause(self, seconds, stop):
        with self.lock:
            self.waited.append(seconds)
            self.now += seconds


@pytest.mark.parametrize(("said", "waited"), [("7", 7), ("0.5", 0.5), ("86400", 60), ("-3", 0)])
def test_retry_after_is_honoured_within_bounds(make, monkeypatch, said, waited):
    clock = Clock(monkeypatch)
    script = lambda _, before: status(429, Retry_After=said) if before == 0 else None  # noqa: E731
    with ChatServer(script=script) as chat:
        make(chat).ask(asking(1))
    assert sum(clock.waited) == pytest.approx(waited)


def test_waits_grow_and_end(make, monkeypatch):
    clock = Clock(monkeypatch)
    monkeypatch.setattr(calls, "FIRST_WAIT", 10.0)
    with ChatServer(script=lambda *_: status(500)) as chat:
        answers = make(chat, retries=5).ask(asking(1))
        assert len(chat.bodies) == 6
    assert answers[0].probabilities is None
    assert "status 500" in answers[0].problem
    for wait, longest in zip(clock.waited, [10, 20, 40, 60, 60], strict=True):
        assert longest / 2 <= wait <= longest


def test_calls_are_spread_over_the_minute(make, monkeypatch):
    clock = Clock(monkeypatch)
    with ChatServer() as chat:
        make(chat, per_minute=12, concurrency=1).ask(asking(7))
    assert clock.waited == [pytest.approx(5)] * 6


@pytest.mark.parametrize(
    ("code", "content", "key", "says"),
    [
        (401, {"error": {"message": "no"}}, KEY, "the key in JUDGE_KEY was refused"),
        (401, b"", None, "the key in JUDGE_KEY is missing"),
        (
            403,
            {"detail": "not in your country"},
            KEY,
            "JUDGE_KEY gives no access to judge.*country",
        ),
        (404, {"error": "model 'judge' not found"}, None, "no model judge.*'judge' not found"),
        (402, {"error": {"message": "pay"}}, KEY, "no quota is left for judge"),
        (429, {"error": {"message": "x", "code": "insufficient_quota"}}, KEY, "no quota is left"),
    ],
)
def test_what_no_other_question_would_change_stops_all(make, monkeypatch, code, content, key, says):
    if key:
        monkeypatch.setenv("JUDGE_KEY", key)
    with ChatServer(script=lambda *_: status(code, content)) as chat:
        with pytest.raises(SaematchError, match=says) as raised:
            make(chat, key_variable="JUDGE_KEY").ask(asking(20))
        assert len(chat.bodies) == 1
        assert chat.url in str(raised.value)
    assert "0 of 20 questions are answered" in str(raised.value)


def test_an_endpoint_that_is_not_there_is_one_clear_error(make):
    with ChatServer() as chat:
        url = chat.url
    with pytest.raises(SaematchError, match=r"cannot be reached \(.*refused") as raised:
        make(url).ask(asking(50))
    assert "0 of 50" in str(raised.value)


def test_many_questions_in_a_row_without_a_reply_stop_the_run(make):
    questions = asking(40)
    broken = threading.Event()

    def script(prompt, before):
        return status(503) if broken.is_set() and int(prompt.split()[1][:-1]) >= 10 else None

    with ChatServer(script=script) as chat:
        make(chat).ask(questions[:4])
        broken.set()
        with pytest.raises(SaematchError, match="questions in a row got no reply") as raised:
            make(chat, retries=1, concurrency=2).ask(questions)
        assert "10 of 40 questions are answered" in str(raised.value)
        assert len(chat.bodies) <= 10 + 2 * (endpoint.IN_A_ROW + 2)
        broken.clear()
        assert is_right(questions, make(chat).ask(questions))
        assert {*chat.replied.values()} == {1}


def test_a_server_that_is_restarted_in_the_middle_loses_nothing(make, monkeypatch):
    questions, lock = asking(30), threading.Lock()
    gone = threading.Event()

    def script(prompt, before):
        if "Question 12" in prompt and before == 0:
            gone.set()
        return chat_server.hangs_up if gone.is_set() else None

    chat = ChatServer(script=script)
    chat.__enter__()

    def restart(seconds, stop):
        with lock:
            if gone.is_set():
                chat.__exit__()
                gone.clear()
                chat.__enter__()

    monkeypatch.setattr(calls, "pause", restart)
    try:
        assert is_right(questions, make(chat).ask(questions))
        assert chat.replied == dict.fromkeys((one.prompt for one in questions), 1)
    finally:
        chat.__exit__()


# what is kept


def test_answers_come_in_order_and_equal_questions_are_asked_once(make):
    questions = [*asking(9), *reversed(asking(9)), *asking(2)]
    with ChatServer() as chat:
        steps = []
        answers = make(chat).ask(questions, steps.append)
        assert is_right(questions, answers)
        assert {*chat.asked.values()} == {1}
        assert (answers[0].input_tokens, answers[0].output_tokens) == (30, 2)
        assert [step.done for step in steps] == [*range(10)]
        assert {step.total for step in steps} == {9}
        again = make(chat).ask(questions)
        assert len(chat.bodies) == 9
    assert all(answer.cached for answer in again)
    assert [a.probabilities for a in again] == [a.probabilities for a in answers]
    assert make("http://127.0.0.1:9/v1").ask([]) == []


@pytest.mark.parametrize(
    "other",
    [
        {"model": "another"},
        {"question": Question("Answer with a number", "Question 0: 1", OPTIONS)},
        {"question": Question("Answer with a number.", "Question  0: 1", OPTIONS)},
        {"question": Question("Answer with a number.", "Question 0: 1", ("2", "1", "3"))},
        {"path": "/other"},
    ],
)
def test_answers_are_kept_by_all_that_they_depend_on(make, other):
    with ChatServer() as chat:
        make(chat).ask(asking(1))
        url = chat.url + other.get("path", "")
        question = other.get("question", asking(1)[0])
        assert not make(url, other.get("model", "judge")).ask([question])[0].cached
        assert len(chat.bodies) == 2


def test_what_is_kept_holds_the_request_and_the_raw_reply(make, tmp_path):
    (question,) = asking(1)
    with ChatServer() as chat:
        make(chat).ask([question])
        place = chat.url.removeprefix("http://")
    (file,) = (tmp_path / "answers").glob("*/*.json")
    assert file.parent.name == file.stem[:2]
    kept = json.loads(file.read_text())
    assert kept["request"] == {
        "model": "judge",
        "endpoint": place,
        "instructions": question.instructions,
        "prompt": question.prompt,
        "options": ["1", "2", "3"],
    }
    assert kept["replies"][0]["choices"][0]["logprobs"]["content"][1]["token"] == "1"


def spoilt(text):
    kept = json.loads(text)
    yield from (text[:at] for at in range(0, len(text), 97))
    yield from ("[]", "null", "\0" * 20, "{}", "[" * 50_000)
    yield json.dumps(kept | {"replies": []})
    yield json.dumps(kept | {"replies": [{}]})
    yield json.dumps(kept | {"replies": [completion("4")]})
    yield json.dumps(kept | {"request": kept["request"] | {"prompt": "another"}})


def test_a_file_that_is_not_whole_is_asked_anew(make, tmp_path):
    questions = asking(1)
    with ChatServer(counts=False) as chat:
        make(chat).ask(questions)
        (file,) = (tmp_path / "answers").glob("*/*.json")
        whole = file.read_text()
        asked = count(2)
        for text in spoilt(whole):
            file.write_text(text)
            assert is_right(questions, make(chat).ask(questions))
            assert chat.asked[questions[0].prompt] == next(asked)
            assert json.loads(file.read_text())["replies"] == json.loads(whole)["replies"]


def test_an_interrupted_run_keeps_what_was_under_way_and_pays_nothing_twice(make):
    questions = asking(40)

    def interrupt(step):
        if step.done == 7:
            raise KeyboardInterrupt

    with ChatServer() as chat:
        with pytest.raises(KeyboardInterrupt):
            make(chat).ask(questions, interrupt)
        before = len(chat.bodies)
        assert 8 <= before < 40
        forecast = make(chat).forecast(questions)
        assert (forecast.cached, forecast.calls) == (before, 40 - before)
        assert is_right(questions, make(chat).ask(questions))
        assert {*chat.asked.values()} == {1}


PROGRAM = """
import sys
from pathlib import Path
from saematch.asking.endpoint import Endpoint, Question
judge = Endpoint("judge", base_url=sys.argv[1], answers=Path(sys.argv[2]), concurrency=1)
judge.ask([Question("Answer with a number.", f"Question {i}: {i % 3 + 1}", ("1", "2", "3"))
           for i in range(20)])
"""


def test_a_killed_program_loses_only_the_call_that_was_under_way(make, tmp_path):
    reached, until = threading.Event(), threading.Event()

    def script(prompt, before):
        if "Question 11" in prompt and before == 0:
            reached.set()
            return chat_server.waits(until)
        return None

    with ChatServer(script=script) as chat:
        command = [sys.executable, "-c", PROGRAM, chat.url, str(tmp_path / "answers")]
        with subprocess.Popen(command) as program:
            assert reached.wait(120)
            program.kill()
        until.set()
        questions = asking(20)
        assert is_right(questions, make(chat).ask(questions))
        twice = [prompt for prompt, n in chat.asked.items() if n > 1]
    assert twice == [questions[11].prompt]
    assert not [*tmp_path.rglob("*.partial")]


def test_two_programs_at_once_do_not_harm_each_other(make, tmp_path):
    questions, found = asking(30), {}
    with ChatServer() as chat:
        judges = [make(chat), make(chat)]
        threads = [
            threading.Thread(target=lambda j=j: found.update({j: j.ask(questions)})) for j in judges
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert all(is_right(questions, found[judge]) for judge in judges)
        assert len([*(tmp_path / "answers").rglob("*.json")]) == 30
        assert not [*tmp_path.rglob("*.partial")]
        asked = len(chat.bodies)
        make(chat).ask(questions)
        assert len(chat.bodies) == asked


def test_answers_that_cannot_be_kept_are_not_paid_for(make, tmp_path):
    (tmp_path / "answers").write_text("a file")
    with ChatServer() as chat:
        with pytest.raises(SaematchError, match="cannot be written"):
            make(chat).ask(asking(3))
        assert not chat.bodies
        (tmp_path / "answers").unlink()
        (tmp_path / "answers").mkdir()
        for i in range(256):
            (tmp_path / "answers" / f"{i:02x}").write_text("a file")
        with pytest.raises(SaematchError, match="an answer cannot be kept"):
            make(chat).ask(asking(30))
        assert len(chat.bodies) == 1


# what it costs


def test_a_forecast_counts_what_is_not_kept(make):
    questions = asking(10) + asking(10)
    with ChatServer() as chat:
        judge = make(chat)
        forecast = judge.forecast(questions)
        assert not chat.bodies
        assert (forecast.calls, forecast.cached, forecast.output_tokens) == (10, 0, 80)
        # 21 + 13 bytes are 9 tokens, and 16 go around them
        assert forecast.input_tokens == 10 * (9 + 16)
        judge.ask(questions[:4])
        forecast = judge.forecast(questions)
        assert (forecast.calls, forecast.cached, forecast.input_tokens) == (6, 4, 150)


@pytest.mark.parametrize("concurrency", [1, 8])
def test_a_budget_is_never_passed_and_a_larger_one_goes_on(make, concurrency):
    questions = asking(40)
    with ChatServer() as chat:
        # calls are forecast at 30 tokens and take 32
        judge = make(chat, budget=330, concurrency=concurrency)
        with pytest.raises(BudgetError, match="a larger budget") as raised:
            judge.ask(questions)
        assert len(chat.bodies) == 10
        assert judge.spent == 320
        assert "10 of 40 questions are answered" in str(raised.value)
        with pytest.raises(BudgetError):
            judge.ask(questions)
        assert len(chat.bodies) == 10
        # which ten, is up to the threads
        answered = [question for question in questions if _kept(judge, question)]
        assert len(answered) == 10
        assert is_right(answered, judge.ask(answered))
        assert is_right(questions, make(chat, budget=40 * 32).ask(questions))
        assert {*chat.asked.values()} == {1}


def _kept(judge, question) -> bool:
    try:
        judge.ask([question])
    except BudgetError:
        return False
    return True


def test_an_endpoint_that_does_not_count_is_taken_to_cost_what_was_forecast(make):
    with ChatServer(counts=False) as chat:
        judge = make(chat)
        answers = judge.ask(asking(2))
        assert judge.spent == 2 * (9 + 16 + 5)
    assert (answers[0].input_tokens, answers[0].output_tokens) == (0, 0)


# the key, and where it is sent


def test_the_key_is_sent_and_nowhere_else_to_be_found(make, monkeypatch, tmp_path, caplog):
    monkeypatch.setenv("JUDGE_KEY", f" {KEY}\n")
    monkeypatch.setenv("OPENAI_LOG", "debug")
    caplog.set_level(logging.DEBUG)
    seen = []

    def echo(head):
        seen.append(head)
        return {"error": {"message": f"who is {head}? {KEY[:14]}...", "param": head}, head: [head]}

    def reply(head):
        return completion(f"1 {head}") | {"system_fingerprint": head, KEY: {"x": [KEY]}}

    shown = []
    for code in (200, 400, 401, 403, 404, 418, 429, 500):
        make_body = reply if code == 200 else echo
        with ChatServer(script=lambda *_, c=code, m=make_body: chat_server.echoes(c, m)) as chat:
            judge = make(chat, key_variable="JUDGE_KEY", retries=1)
            if code == 200:
                shown += [repr(answer) for answer in judge.ask(asking(6))]
                continue
            with pytest.raises(SaematchError) as raised:
                judge.ask(asking(6, start=6))
            shown += ["".join(traceback.format_exception(raised.value)), repr(vars(judge))]
            assert raised.value.__context__ is raised.value.__cause__ is None
    assert seen[0] == f"Bearer {KEY}"
    assert len(shown) == 6 + 2 * 7
    files = [file.read_text() for file in tmp_path.rglob("*.json")]
    assert len(files) == 6
    assert any("[key]" in text for text in files)
    for text in (*shown, *files, caplog.text):
        assert KEY not in text
        assert KEY[:14] not in text


@pytest.mark.parametrize(
    ("url", "says"),
    [
        (f"http://user:{KEY}@127.0.0.1/v1", "user name"),
        (f"http://{KEY[:7]}@127.0.0.1/v1", "user name"),
        (f"https://127.0.0.1/v1?api-key={KEY}", "a query"),
        (f"https://127.0.0.1/v1#{KEY}", "a query"),
        (KEY, "expected one such as http://localhost:8000/v1"),
        ("ftp://127.0.0.1/v1", "expected one such as"),
        ("http://", "expected one such as"),
        ("http://[::1/v1", "no valid URL"),
        ("http://127.0.0.1:99999/v1", "no valid URL"),
    ],
)
def test_a_url_with_a_key_is_refused_and_not_shown(make, monkeypatch, url, says):
    with pytest.raises(SaematchError, match=says) as raised:
        make(url)
    assert KEY not in "".join(traceback.format_exception(raised.value))
    monkeypatch.setenv("OPENAI_BASE_URL", url)
    with pytest.raises(SaematchError, match=f"OPENAI_BASE_URL.*{says}"):
        make("")


def test_a_key_in_the_path_of_the_url_is_refused(make, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "secret-0123")
    with pytest.raises(SaematchError, match="holds the key in OPENAI_API_KEY"):
        make("http://127.0.0.1:9/secret-0123/v1").ask(asking(1))
    monkeypatch.setenv("OPENAI_API_KEY", "secret…0123")
    with pytest.raises(SaematchError, match="letters that no key has"):
        make("http://127.0.0.1:9/v1").ask(asking(1))


def test_the_url_of_the_environment_is_taken_and_openai_itself_needs_a_key(monkeypatch, tmp_path):
    judge = Endpoint("judge", answers=tmp_path)
    assert judge.url == "https://api.openai.com/v1"
    with pytest.raises(SaematchError, match="OPENAI_API_KEY is not set"):
        judge.ask(asking(1))
    with ChatServer() as chat:
        monkeypatch.setenv("OPENAI_BASE_URL", chat.url + "/")
        assert is_right(asking(2), Endpoint("judge", answers=tmp_path).ask(asking(2)))


def test_a_short_placeholder_is_no_secret(make, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "1")
    questions = asking(3)
    with ChatServer() as chat:
        assert is_right(questions, make(chat).ask(questions))


def test_openai_is_needed_only_to_ask(make, monkeypatch):
    imported = builtins.__import__

    def missing(name, *args, **kwargs):
        if name.partition(".")[0] == "openai":
            raise ImportError(name)
        return imported(name, *args, **kwargs)

    questions = asking(2)
    with ChatServer() as chat:
        make(chat).ask(questions[:1])
        monkeypatch.setattr(builtins, "__import__", missing)
        assert make(chat).ask(questions[:1])[0].cached
        with pytest.raises(SaematchError, match=r"pip install openai wordllama, .*\[judge\]"):
            make(chat).ask(questions)


@pytest.mark.parametrize(
    "options",
    [{"concurrency": 0}, {"budget": -1}, {"per_minute": 0}, {"retries": -1}, {"timeout": 0}],
)
def test_numbers_out_of_range_are_refused(make, options):
    ((name, value),) = options.items()
    with pytest.raises(SaematchError, match=f"{name}={value}: expected"):
        make("http://127.0.0.1:9/v1", **options)

"""`saematch.judge` and its command: written, added to, gone on with, refused."""

import json
import shutil

import pytest
from typer.testing import CliRunner

import saematch
from saematch import Run
from saematch.asking import Endpoint
from saematch.cli import app
from saematch.errors import MatchError, RunError, SaematchError
from saematch.judging import JUDGES, Verdict, judged
from saematch.workflows import judge as workflow
from support.chat_server import ChatServer, hangs_up, says
from support.judged_world import Reader, right_answer


@pytest.fixture
def run(nouns, tmp_path) -> Run:
    shutil.copytree(nouns.run.path, tmp_path / "run")
    return Run.open(tmp_path / "run")


def test_verdicts_are_in_the_run_and_judges_are_added(run, nouns):
    saematch.judge(run, nouns.store, judges=["firing"], paths=10)
    first = judged(Run.open(run.path))
    assert {*first["judge"]} == {"firing"}
    assert first.filter(kind="match")["grade"].to_list() == [3] * 20
    assert {*first.filter(kind="random")["grade"]} == {1}
    reader = Reader()
    again = saematch.judge(
        run.path, nouns.store, judges=["firing", "choice"], paths=10, endpoint=reader
    )
    both = judged(again)
    assert both.filter(judge="firing").equals(first)
    assert both.filter(judge="choice", kind="match")["grade"].to_list() == [3] * 20
    section = again.section("judging")
    assert section is not None
    told = {judge.name: judge for judge in section.judges}
    assert told["choice"].model == "reader"
    assert told["choice"].questions == len(reader.asked)
    assert told["choice"].input_tokens == 50 * len(reader.asked)
    # what is there is not asked again; with another number of votes it is another judge
    asked = len(reader.asked)
    saematch.judge(run.path, nouns.store, judges=["choice"], paths=10, endpoint=reader)
    assert len(reader.asked) == asked
    saematch.judge(run.path, nouns.store, judges=["choice"], paths=10, endpoint=reader, votes=1)
    assert len(reader.asked) == asked + len(both.filter(judge="choice"))


def test_judges_are_chosen_by_what_is_there(run, nouns):
    saematch.judge(run, nouns.store, paths=5)
    found = {*judged(Run.open(run.path))["judge"]}
    assert found == {"firing", "contexts", "contexts-choice"}
    with pytest.raises(MatchError, match="describe: what features do on text"):
        saematch.judge(run, judges=["describe"], endpoint=Reader())
    with pytest.raises(MatchError, match="firing: what features do on text"):
        saematch.judge(run, judges=["firing"])


def test_judges_that_are_added_leave_what_is_told_of_others(run, nouns):
    saematch.judge(run, nouns.store, judges=["firing"], paths=5)
    told = json.loads((run.path / "run.json").read_text())["judging"]["judges"]
    saematch.judge(Run.open(run.path), nouns.store, judges=["firing", "contexts"], paths=5)
    after = json.loads((run.path / "run.json").read_text())["judging"]["judges"]
    assert [judge["name"] for judge in after] == ["firing", "contexts"]
    assert after[:1] == told


def test_other_cases_are_not_mixed_with_those_that_are_there(run, nouns):
    saematch.judge(run, nouns.store, judges=["firing"], paths=5)
    with pytest.raises(RunError, match="paths"):
        saematch.judge(run, nouns.store, judges=["firing"], paths=6)
    done = saematch.judge(run, nouns.store, judges=["firing"], paths=6, overwrite=True)
    assert judged(done)["path"].n_unique() == 6
    with pytest.raises(MatchError, match="distances"):
        saematch.judge(run, nouns.store, draw="score", distances=(2,))
    with pytest.raises(MatchError, match="draw is 'cards'"):
        saematch.judge(run, nouns.store, draw="cards")  # pyright: ignore


def test_much_is_asked_only_when_confirmed(run, nouns, monkeypatch):
    monkeypatch.setattr(workflow, "CONFIRM", 1000)
    reader = Reader()
    with pytest.raises(SaematchError, match="--yes"):
        saematch.judge(run, nouns.store, judges=["describe"], paths=5, endpoint=reader)
    assert not reader.asked
    seen = []
    saematch.judge(
        run,
        nouns.store,
        judges=["describe"],
        paths=5,
        endpoint=reader,
        confirm=lambda forecast: not seen.append(forecast),
    )
    assert seen[0].calls == len(reader.asked)


def test_more_paths_ask_only_what_is_new(run, nouns, tmp_path):
    asks = {"judges": ["describe", "choice"], "overwrite": True}
    with ChatServer(script=lambda prompt, _: says(right_answer(prompt))) as server:
        before = {}
        for paths in (4, 8):
            endpoint = Endpoint("m", base_url=server.url, answers=tmp_path / "answers")
            saematch.judge(run, nouns.store, paths=paths, endpoint=endpoint, **asks)
            before = before or server.asked.copy()
        assert all(server.asked[prompt] == times for prompt, times in before.items())
    done = judged(Run.open(run.path))
    assert len(server.asked) < len(done) * 3
    assert done["path"].n_unique() == 8


def test_a_judge_from_outside(run, nouns):
    JUDGES.register(
        "by parity",
        lambda cases, setting: [Verdict(1 + 2 * (c.path % 2), c.path % 2) for c in cases],
    )
    try:
        done = saematch.judge(run, nouns.store, judges=["by parity"], paths=4)
        assert {*judged(done)["grade"]} == {1, 3}
        JUDGES.register("lazy", lambda cases, setting: [])
        with pytest.raises(MatchError, match="0 verdicts on"):
            saematch.judge(run, nouns.store, judges=["lazy"], paths=4)
    finally:
        for name in ("by parity", "lazy"):
            JUDGES._added.pop(name, None)


def test_an_endpoint_that_dies_in_the_middle_is_asked_nothing_twice(run, nouns, tmp_path):
    def script(alive: int, answered: set[str]):
        def how(prompt: str, before: int):
            if len(answered) >= alive:
                return hangs_up
            answered.add(prompt)
            return says(right_answer(prompt))

        return how

    with ChatServer(logprobs="ignores", schema="refuses") as server:
        answered: set[str] = set()
        server.script = script(12, answered)
        asks = {"judges": ["describe"], "paths": 10}

        def endpoint() -> Endpoint:
            kept = tmp_path / "answers"
            return Endpoint("m", base_url=server.url, answers=kept, retries=0, concurrency=2)

        with pytest.raises(SaematchError, match="no reply"):
            saematch.judge(run, nouns.store, **asks, endpoint=endpoint())
        assert Run.open(run.path).section("judging") is None
        first, before = {*answered}, server.asked.copy()
        assert len(first) >= 12
        server.script = script(10_000, answered)
        done = saematch.judge(run, nouns.store, **asks, endpoint=endpoint())
        assert all(server.asked[prompt] == before[prompt] for prompt in first)
    assert {*judged(done).filter(kind="match")["grade"]} == {3}


def test_the_command(run, nouns, tmp_path, monkeypatch):
    monkeypatch.setenv("COLUMNS", "160")
    world = ["--activations", str(nouns.store.path), "--paths", "10", "--distances", "2"]

    def call(*words: str):
        return CliRunner().invoke(app, ["judge", str(run.path), *words])

    told = call(*world)
    assert told.exit_code == 0, told.output
    for words in (
        "20 matches along 10 paths",
        "a random partner",
        "chained matches, 2 steps",
        "firing and contexts",
    ):
        assert words in told.output
    shutil.copytree(run.path, tmp_path / "other")
    both = call(str(tmp_path / "other"), *world)
    assert both.exit_code == 0, both.output
    assert both.output.count("cosine") == 2
    with ChatServer(script=lambda prompt, _: says(right_answer(prompt))) as server:
        model = ["--judge-model", "small", "--base-url", server.url, "--yes"]
        asked = call(*world, "--judges", "describe", *model)
    assert asked.exit_code == 0, asked.output
    assert "questions to language models" in asked.output
    assert any((run.path / "judging-answers").iterdir())
    each = ["--activations", str(nouns.store.path)] * 2
    assert call(str(tmp_path / "other"), *world[2:], *each).exit_code == 0
    three = call(str(tmp_path / "other"), *world[2:], *each, *each[:2])
    assert three.exit_code == 2
    assert "3 stores for 2 runs" in three.output
    none = call()
    assert none.exit_code == 1
    assert "--activations" in str(none.exception)


def test_what_got_no_valid_answer_is_asked_again(run, nouns):
    asks = {"judges": ["describe"], "paths": 4}
    saematch.judge(run, nouns.store, endpoint=Reader("perhaps"), **asks)
    found = judged(Run.open(run.path))
    assert found["grade"].null_count() == len(found)
    assert found["problem"].str.starts_with("no valid answer: the model wrote").all()
    saematch.judge(run.path, nouns.store, endpoint=Reader(), **asks)
    assert judged(Run.open(run.path))["grade"].null_count() == 0


def test_other_labels_are_compared_anew(run, nouns, tmp_path):
    name = run.names[0]
    asks = {"judges": ["describe"], "paths": 4}
    for word in ("rivers", "mountains"):
        (tmp_path / "mine.csv").write_text(f"feature,label\n3,{word}\n", encoding="utf-8")
        saematch.label(run.path, [tmp_path / "mine.csv"], sae=name, overwrite=True)
        for asked in (True, False):
            reader = Reader()
            saematch.judge(run.path, nouns.store, endpoint=reader, **asks)
            assert bool(reader.asked) == asked

"""Lines in place of a bar, with a clock of its own."""

import pytest

from saematch.cli import lines
from saematch.cli.console import progress


@pytest.fixture
def clock(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(lines.time, "monotonic", lambda: now[0])
    return now


def test_a_line_for_each_thing_that_is_done(clock, capsys):
    with progress() as bar:
        task = bar.add_task("matching", total=21, completed=1)
        for name, seconds in (("a → b", 40), ("a → c", 20)):
            bar.update(task, description=name)
            clock[0] += seconds
            bar.advance(task)
    # 20 are left at first: one in 40 s, then two in 60 s
    assert capsys.readouterr().err.splitlines() == [
        "2 of 21: a → b, 40 s, about 13 min left",
        "3 of 21: a → c, 20 s, about 9 min left",
    ]


def test_what_was_done_is_named_as_it_was_called_then(clock, capsys):
    with progress() as bar:
        task = bar.add_task("a → b: fitting", total=2)
        clock[0] = 7
        bar.update(task, completed=1, description="b → c: fitting")
        clock[0] = 20
        bar.update(task, completed=2)
    assert capsys.readouterr().err.splitlines() == [
        "1 of 2: a → b: fitting, 7 s, about 7 s left",
        "2 of 2: b → c: fitting, 13 s",
    ]


def test_short_tasks_and_many_steps_of_one_name_are_not_told_one_by_one(clock, capsys):
    with progress() as bar:
        task = bar.add_task("quick", total=3)
        for _ in range(3):
            clock[0] += 1
            bar.advance(task)
        task = bar.add_task("writing", total=100)
        for _ in range(100):
            clock[0] += 1
            bar.advance(task)
    said = capsys.readouterr().err.splitlines()
    assert [line.split(":")[0] for line in said] == [
        f"{k} of 100" for k in (5, 35, 65, 95, 100)
    ]  # fmt: skip


def test_quiet_says_nothing(clock, capsys):
    with progress(quiet=True) as bar:
        task = bar.add_task("a", total=1)
        clock[0] = 100
        bar.advance(task)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("seconds", "said"), [(0.4, "0 s"), (99, "99 s"), (720, "12 min"), (12240, "3.4 h")]
)
def test_durations(seconds, said):
    assert lines.duration(seconds) == said

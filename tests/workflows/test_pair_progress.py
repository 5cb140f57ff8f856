"""Matching two SAEs tells how far a pair is that takes long."""

from __future__ import annotations

import pytest

import saematch

PAIR = ("saematch:resid_post_0", "saematch:resid_post_1")


@pytest.mark.parametrize("kept", [False, True])
def test_within_a_pair(monkeypatch, tmp_path, kept):
    monkeypatch.setattr("saematch.workflows.matcher.OFTEN", 0.0)
    told = []
    saematch.match(*PAIR, out=tmp_path / "run" if kept else None, progress=told.append)
    within = [step for step in told if step.what.endswith("features have a target")]
    assert len(within) > 1
    assert {(step.stage, step.done, step.total) for step in within} == {("matching", 0, 1)}
    assert within[-1].what.endswith("resid_post_1, 1,532 of 1,532 features have a target")


def test_a_quick_pair_says_nothing(tmp_path):
    told = []
    saematch.match(*PAIR, out=tmp_path / "run", progress=told.append)
    assert not [step for step in told if "features have a target" in step.what]

"""What is added to a run in shards is what one command adds."""

import shutil

import msgspec
import pytest
from polars.testing import assert_frame_equal

import saematch
from saematch import Run
from saematch.errors import RunError
from support.judged_world import Reader, make_world
from support.merged import same, told

pytest.importorskip("transformers")


@pytest.fixture(scope="module")
def flowed(tmp_path_factory):
    path = tmp_path_factory.mktemp("flow") / "run"
    saematch.flow("saematch:resid_post_{0-2}", "cosine", reach=2, out=path)
    return path


@pytest.fixture(scope="module")
def nouns(tmp_path_factory):
    return make_world(tmp_path_factory.mktemp("nouns"))


def test_an_evaluation_in_shards_is_that_of_one_command(flowed, tmp_path):
    alone, out = (shutil.copytree(flowed, tmp_path / name) for name in ("alone", "run"))
    asked = {"examples": 3, "fit_examples": 4, "length": 32, "resamples": 20, "reach": 2}
    given = "saematch:model", "saematch:prose"
    saematch.evaluate(alone, *given, **asked)
    before = told(out), (out / "run.json").stat().st_mtime_ns
    for k in (2, 1, 4, 3):
        part = saematch.evaluate(out, *given, shard=f"{k}/4", **asked)
        section = part.section("evaluation")
        assert part.finished
        assert (section is None) == (k == 1)  # there are three pairs
    assert before == (told(out), (out / "run.json").stat().st_mtime_ns)
    made = saematch.merge(out)
    assert len(made.table("evaluation", "values"))
    same(alone, out)
    # again, it is there; another is not replaced unasked
    saematch.merge(out, remove_shards=True)
    same(alone, out)
    for k in (1, 2):
        saematch.evaluate(out, *given, shard=f"{k}/2", **{**asked, "length": 24})
    with pytest.raises(RunError, match="holds another evaluation already"):
        saematch.merge(out)
    saematch.evaluate(out, *given, shard="2/2", **{**asked, "length": 28}, overwrite=True)
    with pytest.raises(RunError, match=r"evaluate-2-of-2 was made otherwise .*texts"):
        saematch.merge(out, overwrite=True)
    same(alone, out)


def test_shards_of_other_pairs_or_estimates_do_not_go_together(flowed, tmp_path):
    out = shutil.copytree(flowed, tmp_path / "run")
    given = "saematch:model", "saematch:prose"
    asked = {"examples": 2, "fit_examples": 3, "length": 24, "resamples": 10}
    for k, which in ((1, {"reach": 1}), (2, {"reach": 2})):
        saematch.evaluate(out, *given, shard=f"{k}/2", **asked, **which)
    with pytest.raises(RunError, match="evaluated_pairs of the whole is not the same"):
        saematch.merge(out)


def test_an_evaluation_that_replaces_another_discards_nothing_else(tmp_path):
    out = tmp_path / "run"
    for k in (1, 2):
        saematch.flow("saematch:resid_post_{0-2}", "cosine", out=out, shard=f"{k}/2")
    saematch.merge(out)
    given = "saematch:model", "saematch:prose"
    asked = {"examples": 2, "fit_examples": 3, "resamples": 10}
    run = saematch.evaluate(out, *given, length=28, **asked)
    before = run.record
    for k in (1, 2):
        saematch.evaluate(out, *given, length=24, shard=f"{k}/2", **asked)
    # the shards of the flow are still there
    made = saematch.merge(out, overwrite=True).record
    assert made.evaluation != before.evaluation
    assert (made.created, made.pairs, made.flow) == (before.created, before.pairs, before.flow)


def test_judgements_in_shards_are_those_of_one_command(nouns, tmp_path):
    alone, out = (shutil.copytree(nouns.run.path, tmp_path / name) for name in ("alone", "run"))
    asked = {"judges": ["firing", "contexts-choice", "choice"], "paths": 10}
    saematch.judge(alone, nouns.store, endpoint=Reader(), **asked)
    for k in (1, 2, 3):
        saematch.judge(out, nouns.store, endpoint=Reader(), shard=f"{k}/3", **asked)
    saematch.merge(out)
    same(alone, out)
    one, other = (Run.open(path).table("judging", "verdicts") for path in (alone, out))
    assert_frame_equal(one, other)
    assert other["judge"].n_unique() == 3


def test_a_shard_of_matches_that_were_made_anew_is_not_emptied_unasked(nouns, tmp_path):
    out = shutil.copytree(nouns.run.path, tmp_path / "run")
    asked = {"judges": ["firing"], "paths": 5, "shard": "1/1"}
    part = saematch.judge(out, nouns.store, **asked)
    verdicts = part.table("judging", "verdicts")
    run = Run.open(out)
    with run.writing():
        first, *rest = run.record.pairs
        anew = [msgspec.structs.replace(first, notes=[*first.notes, "made anew"]), *rest]
        run.update(pairs=anew)
    with pytest.raises(RunError, match="held other matches of the same pairs: --overwrite"):
        saematch.judge(out, nouns.store, **asked)
    assert Run.open(part.path).table("judging", "verdicts").equals(verdicts)
    saematch.judge(out, nouns.store, **asked, overwrite=True)
    saematch.merge(out)


def test_shards_of_what_a_run_no_longer_is_are_refused(nouns, tmp_path):
    out = shutil.copytree(nouns.run.path, tmp_path / "run")
    saematch.judge(out, nouns.store, judges=["firing"], paths=5, shard="1/1")
    run = Run.open(out)
    a, b = run.pairs[0]
    with run.writing():
        run.update(pairs=[pair for pair in run.record.pairs if pair.names != (a, b)])
    with pytest.raises(RunError, match="of another run than"):
        saematch.merge(out)
    with pytest.raises(RunError, match="of other work: the pairs"):
        saematch.judge(out, nouns.store, judges=["firing"], paths=5, shard="1/1")
    part = out / "shards/judge-1-of-1"
    with pytest.raises(RunError, match="is a shard itself"):
        saematch.judge(part, nouns.store, judges=["firing"], paths=5, shard="1/1")

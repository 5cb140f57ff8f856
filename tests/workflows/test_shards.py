"""A run made in shards and put together is the run that one command makes."""

import json
import shutil
from pathlib import Path

import pytest

import saematch
from saematch import Run
from saematch.errors import MatchError, RunError, SaematchError
from saematch.files.share import Share
from support.merged import same
from support.stand_in import write_shipped


@pytest.fixture(scope="module")
def saes(tmp_path_factory):
    saes = write_shipped(tmp_path_factory.mktemp("data")) / "saes"
    # one that the MLP writes, and one of another seed
    others = {
        "mlp_out_2": ("resid_post_5", "blocks.2.hook_mlp_out"),
        "resid_post_3_other": ("resid_post_4", "blocks.3.hook_resid_post"),
    }
    for name, (of, hook) in others.items():
        shutil.copytree(saes / of, saes / name)
        config = (saes / name / "cfg.json").read_text()
        config = config.replace(f"blocks.{of[-1]}.hook_resid_post", hook)
        (saes / name / "cfg.json").write_text(config)
    return saes


def flow(saes, out, **options):
    given = [f"{saes}/resid_post_{{0-3}}", f"{saes}/mlp_out_2"]
    return saematch.flow(given, "cosine", reach=2, out=out, **options)


def test_shares_are_all_of_the_work_in_order():
    items = list(range(11))
    for of in (1, 2, 3, 7, 11, 13):
        parts = [Share(k, of).block(items) for k in range(1, of + 1)]
        assert [item for part in parts for item in part] == items
        assert max(map(len, parts)) - min(map(len, parts)) <= 1


@pytest.mark.parametrize(
    "text", ["0/4", "5/4", "4", "a/b", "-1/4", "1/0", "1/4/2", "", "1/9999999"]
)
def test_a_shard_that_is_none_is_refused(text, saes, tmp_path):
    with pytest.raises(SaematchError, match="K/N with K from 1 to N"):
        flow(saes, tmp_path / "run", shard=text)
    assert not (tmp_path / "run").exists()


def test_a_flow_in_shards_is_the_flow_of_one_command(saes, tmp_path, monkeypatch):
    alone = flow(saes, tmp_path / "alone")
    read = []
    from saematch.workflows import saes as given

    load = given.load
    monkeypatch.setattr(given, "load", lambda name, **how: read.append(name) or load(name, **how))
    out, pairs = tmp_path / "run", []
    for k in (2, 3, 1):
        read.clear()
        run = flow(saes, out, shard=f"{k}/3")
        pairs += run.pairs
        assert run.finished
        # neighbouring pairs share SAEs, and no others are read
        assert {Path(name).name for name in read} == set(run.names)
        assert set(run.names) == {name for pair in run.pairs for name in pair}
        assert len(run.names) == 3
    assert sorted(pairs) == sorted(alone.pairs)
    assert len(pairs) == 6
    assert not (out / "run.json").exists()
    made = saematch.merge(out)
    assert made.names == alone.names
    same(tmp_path / "alone", out)
    # a second call changes nothing
    before = (out / "run.json").read_bytes()
    saematch.merge(out)
    assert (out / "run.json").read_bytes() == before


def test_planning_reads_no_weights(saes, tmp_path, monkeypatch):
    from saematch.checkpoints.tensors import Tensors

    read = Tensors._value
    seen = set()
    monkeypatch.setattr(
        Tensors, "_value", lambda self, name: seen.add(self.path.parent.name) or read(self, name)
    )
    run = flow(saes, tmp_path / "run", shard="1/6")
    assert seen == set(run.names)


def test_more_shards_than_pairs(saes, tmp_path, caplog):
    pattern = f"{saes}/resid_post_{{0-1}}"
    alone = saematch.flow(pattern, "cosine", out=tmp_path / "alone")
    for k in (1, 2, 3):
        saematch.flow(pattern, "cosine", out=tmp_path / "run", shard=f"{k}/3")
    assert caplog.text.count("has nothing to do") == 2
    assert saematch.merge(tmp_path / "run").pairs == alone.pairs
    same(tmp_path / "alone", tmp_path / "run")


def test_a_comparison_in_shards_on_two_disks(saes, tmp_path):
    given = [f"{saes}/resid_post_3", f"{saes}/resid_post_3_seed2", f"{saes}/resid_post_3_other"]
    alone = saematch.compare(given, out=tmp_path / "alone")
    saematch.compare(given, out=tmp_path / "here", shard="1/2")
    saematch.compare(given, out=tmp_path / "there", shard="2/2")
    with pytest.raises(RunError, match="1 is missing: 2;"):
        saematch.merge(tmp_path / "here")
    shutil.copytree(tmp_path / "there/shards/compare-2-of-2", tmp_path / "copied")
    shutil.rmtree(tmp_path / "there")
    made = saematch.merge(tmp_path / "here", tmp_path / "copied", remove_shards=True)
    assert made.names == alone.names
    same(tmp_path / "alone", tmp_path / "here")
    # its own shards are gone, what was given stays
    assert not (tmp_path / "here/shards").exists()
    assert (tmp_path / "copied/run.json").is_file()
    # the tables of the whole are its own
    assert len(Run.open(tmp_path / "here").pair(*alone.pairs[0]))


def test_a_merge_that_is_stopped_while_it_removes_shards_goes_on(saes, tmp_path, monkeypatch):
    pattern, out = f"{saes}/resid_post_{{0-1}}", tmp_path / "run"
    for k in (1, 2):
        saematch.flow(pattern, "cosine", out=out, shard=f"{k}/2")
    (out / "shards/notes.txt").write_text("mine")
    remove = shutil.rmtree

    def stopped(place, *rest, **more):
        monkeypatch.setattr(shutil, "rmtree", remove)
        (place / "run.json").unlink()
        raise KeyboardInterrupt

    monkeypatch.setattr(shutil, "rmtree", stopped)
    with pytest.raises(KeyboardInterrupt):
        saematch.merge(out, remove_shards=True)
    made = saematch.merge(out, remove_shards=True)
    assert made.pairs == Run.open(out).pairs != []
    # the shards are gone, what lay beside them is where it was
    assert [p.name for p in out.glob("*shards*")] == ["shards"]
    assert [p.name for p in (out / "shards").iterdir()] == ["notes.txt"]
    with pytest.raises(RunError, match="no shards in"):
        saematch.merge(out, remove_shards=True)


def test_shards_that_do_not_go_together_are_refused_by_name(saes, tmp_path):
    out = tmp_path / "run"
    with pytest.raises(RunError, match="no shards in"):
        saematch.merge(out)
    flow(saes, out, shard="1/2")
    with pytest.raises(RunError, match=r"flow-1-of-2 is shard 1 of 2, not of 3"):
        flow(saes, out, shard="1/3")
    given = [f"{saes}/resid_post_{{0-3}}", f"{saes}/mlp_out_2"]
    with pytest.raises(RunError, match="shard 1/2 of other work: the pairs"):
        saematch.flow(given, "cosine", reach=1, out=out, shard="1/2")
    saematch.flow(given, "cosine", reach=2, fdr=0.02, out=out, shard="2/2")
    with pytest.raises(RunError, match=r"flow-2-of-2 was made otherwise.*fdr is 0.01 there, 0.02"):
        saematch.merge(out)
    flow(saes, out, shard="2/2", overwrite=True)
    place = out / "shards/flow-2-of-2"
    shutil.copytree(place, tmp_path / "twice")
    with pytest.raises(RunError, match="both shard 2/2"):
        saematch.merge(out, [tmp_path / "twice"])
    record = json.loads((place / "run.json").read_text())
    (place / "run.json").write_text(json.dumps({**record, "finished": None}))
    with pytest.raises(RunError, match="of the 2 shards of flow 1 is unfinished: 2;"):
        saematch.merge(out)
    assert not (out / "run.json").exists()
    saematch.flow(f"{saes}/resid_post_{{0-1}}", "cosine", out=out)
    flow(saes, out, shard="2/2")
    with pytest.raises(RunError, match="its SAEs are"):
        saematch.merge(out)
    assert saematch.merge(out, overwrite=True).finished


def test_a_merge_that_was_stopped_goes_on(saes, tmp_path, monkeypatch):
    flow(saes, tmp_path / "alone")
    out = tmp_path / "run"
    for k in (1, 2):
        flow(saes, out, shard=f"{k}/2")
    taken, adopt = [], Run.adopt_pair

    def stops(self, pair, other):
        if len(taken) == 2:
            raise KeyboardInterrupt
        taken.append(pair.names)
        adopt(self, pair, other)

    monkeypatch.setattr(Run, "adopt_pair", stops)
    with pytest.raises(KeyboardInterrupt):
        saematch.merge(out)
    monkeypatch.setattr(
        Run,
        "adopt_pair",
        lambda self, pair, other: taken.append(pair.names) or adopt(self, pair, other),
    )
    saematch.merge(out)
    assert len(taken) == len(set(taken)) == 6
    same(tmp_path / "alone", out)


def test_a_shard_that_was_stopped_goes_on(saes, tmp_path, monkeypatch):
    out, matched = tmp_path / "run", []
    from saematch.workflows.matcher import Matcher

    match = Matcher.match

    def stops(self, a, b, *rest):
        if len(matched) == 1:
            raise KeyboardInterrupt
        matched.append((a.name, b.name))
        return match(self, a, b, *rest)

    monkeypatch.setattr(Matcher, "match", stops)
    with pytest.raises(KeyboardInterrupt):
        flow(saes, out, shard="1/2")
    monkeypatch.setattr(
        Matcher,
        "match",
        lambda self, a, b, *rest: matched.append((a.name, b.name)) or match(self, a, b, *rest),
    )
    flow(saes, out, shard="1/2")
    assert len(matched) == len(set(matched)) == 3


def test_shards_read_no_text_of_their_own(saes, tmp_path):
    with pytest.raises(MatchError, match="capture activations once"):
        saematch.flow(
            f"{saes}/resid_post_{{0-1}}",
            model="saematch:model",
            out=tmp_path / "run",
            shard="1/2",
        )
    with pytest.raises(RunError, match="give a directory"):
        saematch.flow(f"{saes}/resid_post_{{0-1}}", shard="1/2")

"""Activations captured in shards are those of one capture, file by file."""

import pytest

import saematch
from saematch.activations import merged
from saematch.activations.store import ActivationStore
from saematch.activations.store_manifest import new_store
from saematch.errors import RunError
from support.merged import same, told

pytest.importorskip("transformers")
GIVEN = ["saematch:resid_post_2", "saematch:mlp_out_2"], "saematch:model", "saematch:texts"
HOW = {"examples": 20, "length": 40, "batch_tokens": 16}


@pytest.fixture(autouse=True)
def small_shards(monkeypatch):
    def new(model, texts, saes, options, shard):
        return new_store(model, texts, saes, {**options, "shard_tokens": 200}, shard)

    monkeypatch.setattr("saematch.activations.store.new_store", new)


def test_activations_in_shards_are_those_of_one_capture(tmp_path, monkeypatch):
    alone, out = tmp_path / "alone", tmp_path / "store"
    whole = saematch.capture(*GIVEN, **HOW, out=alone)
    assert len(whole.record.shards) > 2
    tokens = 0
    for k in (3, 1, 2):
        part = saematch.capture(*GIVEN, **HOW, out=out, shard=f"{k}/3")
        tokens += part.n_tokens
        assert 0 < part.n_tokens < whole.n_tokens / 2
        assert part.finished
    assert tokens == whole.n_tokens
    with pytest.raises(RunError, match=r"made otherwise: texts: seed is 0 there, 1 here"):
        saematch.capture(*GIVEN, **HOW, seed=1, out=out, shard="3/3")
    # a merge that was stopped goes on
    taken, take = [], merged.take_over

    def stops(store, given):
        if len(taken) == 1:
            raise KeyboardInterrupt
        taken.append([number for _, number in given])
        take(store, given)

    monkeypatch.setattr(merged, "take_over", stops)
    with pytest.raises(KeyboardInterrupt):
        saematch.merge(out)
    monkeypatch.setattr(merged, "take_over", take)
    made = saematch.merge(out, remove_shards=True)
    assert isinstance(made, ActivationStore)
    same(alone, out)
    assert not (out / "shards").exists()


def test_a_capture_of_a_shard_goes_on_where_it_stopped(tmp_path, monkeypatch):
    out = tmp_path / "store"
    expected = saematch.capture(*GIVEN, **HOW, out=tmp_path / "whole", shard="2/2").path
    add, added = ActivationStore.add, []

    def stops(self, batch):
        if len(added) == 1:
            raise KeyboardInterrupt
        added.append(batch)
        add(self, batch)

    monkeypatch.setattr(ActivationStore, "add", stops)
    with pytest.raises(KeyboardInterrupt):
        saematch.capture(*GIVEN, **HOW, out=out, shard="2/2")
    assert len(ActivationStore.open(out / "shards/capture-2-of-2").record.shards) == 1
    monkeypatch.setattr(ActivationStore, "add", add)
    part = saematch.capture(*GIVEN, **HOW, out=out, shard="2/2")
    same(expected, part.path)
    with pytest.raises(RunError, match="capture 1 is missing: 1; saematch capture with --sh"):
        saematch.merge(out)


def test_a_shard_without_a_batch_says_so(tmp_path, caplog):
    given = GIVEN[0], "saematch:model", "saematch:prose"
    how = {"examples": 2, "length": 20}
    saematch.capture(*given, **how, out=tmp_path / "alone")
    for k in (1, 2):
        saematch.capture(*given, **how, out=tmp_path / "store", shard=f"{k}/2")
    assert "shard 1/2 has nothing to do" in caplog.text
    saematch.merge(tmp_path / "store")
    assert told(tmp_path / "store")["shards"]
    same(tmp_path / "alone", tmp_path / "store")

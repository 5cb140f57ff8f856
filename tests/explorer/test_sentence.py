"""What fires on a sentence, against `SAE.encode` of the model's own hidden states."""

import time
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
import torch

import saematch
from saematch.errors import RunError, SaematchError
from saematch.explorer import export
from saematch.explorer.sentence import (
    OvertimeError,
    SentenceReader,
    recorded,
    shown_name,
    within,
)
from saematch.files.foreign import read_json
from saematch.workflows.explore import sentence_reader
from support.live_world import MODULE, STREAM, TEXT, write_run


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return write_run(tmp_path_factory.mktemp("sentence"))


@pytest.fixture(scope="module")
def reader(run) -> SentenceReader:
    return sentence_reader(run, "saematch:model", device="cpu")


@pytest.fixture(scope="module")
def sentence(reader):
    return reader.read(TEXT)


@pytest.mark.parametrize("name", [*STREAM, MODULE])
def test_features_and_activations_are_those_of_encode(reader, sentence, name):
    model = reader.model
    sae = saematch.load(f"saematch:{name}")
    ids = model.tokenizer(TEXT, add_special_tokens=False)["input_ids"]
    ids = torch.tensor([[model.tokenizer.bos_token_id, *ids]])
    (x,) = model.run(ids, [reader.hooks[name]]).values()
    f = sae.encode(x[0])
    f[0] = 0  # BOS is read and not counted
    start = reader.nodes.starts[name]
    its = sentence.firing.filter(pl.col("node").is_between(start, start + sae.d_sae - 1))
    told = torch.zeros_like(f)
    for token, node, activation in its.iter_rows():
        told[token, node - start] = activation
    place = reader.nodes.layers.names.index(name)
    assert list(sentence.active[place]) == (f > 0).sum(1).tolist()
    kept = f.topk(sentence.most, dim=1)
    wanted = torch.zeros_like(f).scatter(1, kept.indices, kept.values)
    torch.testing.assert_close(told, wanted, rtol=0, atol=0)
    # the strongest first, token by token
    order = its.with_columns(pl.col("activation").diff().over("token").alias("step"))
    assert (order["step"].drop_nulls() <= 0).all()


def test_tokens_are_the_text_as_it_was_read(sentence):
    assert sentence.bos
    assert sentence.tokens[0] == "<|endoftext|>"
    assert "".join(sentence.tokens[1:]) == TEXT


def test_what_is_known_of_features_is_what_the_run_has(run, reader, sentence):
    known = {row["node"]: row for row in sentence.known.to_dicts()}
    assert set(known) == set(sentence.firing["node"])
    tracks = run.table("flow", "tracks").filter(mode=reader.nodes.mode)
    sizes = dict(tracks.group_by("track").len().iter_rows())
    of = {
        (site, feature): track
        for track, site, feature in tracks.select("track", "site", "feature").iter_rows()
    }
    for node, row in known.items():
        name = max(
            (n for n, start in reader.nodes.starts.items() if start <= node),
            key=reader.nodes.starts.__getitem__,
        )
        feature = node - reader.nodes.starts[name]
        its = run.features(name).row(feature, named=True)
        assert row["max_activation"] == pytest.approx(its["max_activation"])
        assert row["frequency"] == pytest.approx(its["frequency"])
        track = of.get((name, feature))
        alone = track is None or sizes[track] == 1
        assert (row["track"], row["length"]) == ((None, None) if alone else (track, sizes[track]))
    assert sentence.known["track"].drop_nulls().len() > 20


def test_no_more_features_are_told_than_asked_for(reader):
    few = reader.read(TEXT, most=3)
    starts = sorted(reader.nodes.starts.values())
    site = np.searchsorted(starts, few.firing["node"], side="right")
    counts = few.firing.with_columns(site=site).group_by("token", "site").len()["len"]
    assert counts.max() == 3
    assert max(max(counts) for counts in few.active) > 3


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "there is no text"),
        ("word " * 100, r"the text has 1\d\d tokens, and 64 are read at most"),
    ],
)
def test_texts_that_are_refused(reader, text, message):
    with pytest.raises(SaematchError, match=message):
        reader.read(text)


def test_halves_of_surrogate_pairs_are_replaced(reader):
    found = reader.read("a\ud800b")
    assert found.text == "a\ufffdb"
    assert "".join(found.tokens[1:]) == "a\ufffdb"


def test_a_model_from_a_folder_is_shown_without_where_it_lies(reader, tmp_path):
    folder = tmp_path / "SmolLM2"
    folder.mkdir()
    assert shown_name(replace(reader.model, name=str(folder))) == "SmolLM2"
    assert shown_name(replace(reader.model, name="org/model@main")) == "org/model@main"


def test_the_model_begins_no_pass_after_its_time(reader):
    with pytest.raises(OvertimeError, match="longer than 0 seconds"):
        reader.read(TEXT, seconds=0)
    ids = torch.tensor([[1, 2]])
    with within(reader.model, 0.05):
        reader.model.run(ids, ["blocks.3.hook_resid_post"])
        time.sleep(0.06)
        with pytest.raises(OvertimeError):
            reader.model.run(ids, ["blocks.3.hook_resid_post"])
    reader.model.run(ids, ["blocks.3.hook_resid_post"])  # the clock is gone with the block


def test_saes_of_another_model_are_refused_before_anything_is_served(run, reader):
    wide = saematch.load("saematch:smollm2/resid_post_10")
    with pytest.raises(SaematchError):
        SentenceReader(run, reader.model, lambda name: wide)


def test_saes_beyond_memory_are_loaded_anew(run, reader, monkeypatch):
    monkeypatch.setattr("saematch.numerics.hardware.available_memory", lambda: 0)
    loads: list[str] = []

    def load(name):
        loads.append(name)
        return saematch.load(f"saematch:{name}")

    poor = SentenceReader(run, reader.model, load)
    assert len(poor.saes) == 0
    found = poor.read(TEXT)
    assert len(loads) == 2 * len(run.names)
    assert found.firing.equals(reader.read(TEXT).firing)


def test_an_export_has_the_sentences_that_it_is_given_and_no_others(run, sentence, tmp_path):
    first = export(run, tmp_path / "one", sentences=[sentence])
    assert "run/explorer/sentences.parquet" in first.sizes
    made = tmp_path / "one" / "run" / "explorer"
    index = read_json(made / "index.json")
    assert index["tables"]["sentences"] == "explorer/sentences.parquet"
    (row,) = pl.read_parquet(made / "sentences.parquet").to_dicts()
    assert (row["text"], row["tokens"]) == (TEXT, list(sentence.tokens))
    fires = pl.read_parquet(made / "sentence_features.parquet")
    assert fires.select(sentence.firing.columns).equals(sentence.firing)
    second = export(run, tmp_path / "two")
    assert not any("sentence" in place for place in second.sizes)
    assert "sentences" not in read_json(tmp_path / "two/run/explorer/index.json")["tables"]
    # an exported run that is exported again keeps them
    third = export(tmp_path / "one" / "run", tmp_path / "three")
    assert "run/explorer/sentence_features.parquet" in third.sizes


def test_sentences_that_cannot_be_written_are_an_error(sentence, tmp_path):
    with pytest.raises(SaematchError), recorded([sentence], tmp_path / "none"):
        pass


def test_an_sae_of_which_the_hook_point_is_not_known_is_an_error(run, reader):
    sae = saematch.load("saematch:resid_post_2")
    lost = replace(sae, conventions=replace(sae.conventions, site=None))
    with pytest.raises((RunError, SaematchError), match=r"site|hook"):
        SentenceReader(run, reader.model, lambda name: lost)

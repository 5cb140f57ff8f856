"""Weights in several files that an index joins."""

import json

import pytest
import torch
from safetensors.torch import save_file

from saematch.checkpoints.shards import INDEX
from saematch.errors import CheckpointError

D_IN, D_SAE = 12, 40
FIRST, SECOND = (f"model-0000{n}-of-00002" for n in (1, 2))


@pytest.fixture
def weights(random):
    return {
        "W_enc": random(D_IN, D_SAE),
        "W_dec": random(D_SAE, D_IN),
        "b_enc": random(D_SAE),
        "b_dec": random(D_IN),
    }


@pytest.fixture
def write(weights, tmp_path):
    """`write(suffix, **map)`: two shards with the encoder and the decoder; returns their index."""

    def make(suffix=".safetensors", folder=tmp_path, **changes):
        folder.mkdir(exist_ok=True)
        placed = {}
        for shard, names in ((FIRST, ("W_enc", "b_enc")), (SECOND, ("W_dec", "b_dec"))):
            part = {name: weights[name] for name in names}
            path = folder / f"{shard}{suffix}"
            save_file(part, path) if suffix == ".safetensors" else torch.save(part, path)
            placed |= dict.fromkeys(names, path.name)
        name = "model.safetensors" if suffix == ".safetensors" else "pytorch_model.bin"
        stem = "pytorch_model" if suffix == ".bin" else "model"
        if suffix == ".bin":
            for shard in (FIRST, SECOND):
                new = shard.replace("model", stem) + suffix
                (folder / f"{shard}{suffix}").rename(folder / new)
            placed = {k: v.replace("model", stem) for k, v in placed.items()}
        index = folder / (name + INDEX)
        # as some editors on Windows write it
        text = json.dumps({"metadata": {}, "weight_map": {**placed, **changes}})
        index.write_text(text, encoding="utf-8-sig")
        return index

    return make


@pytest.mark.parametrize("suffix", [".safetensors", ".bin"])
def test_shards_are_read_through_their_index(load, weights, write, tmp_path, suffix):
    index = write(suffix)
    for name in (tmp_path, index, next(tmp_path.glob(f"*00002{suffix}"))):
        sae = load(name)
        for part, value in weights.items():
            assert torch.equal(getattr(sae, part), value)


def test_a_folder_of_sharded_saes_holds_one_for_each_index(write, tmp_path):
    import saematch

    for layer in (3, 11):
        write(folder=tmp_path / f"layer_{layer}")
    assert saematch.expand(tmp_path) == [str(tmp_path / f"layer_{layer}") for layer in (3, 11)]


def test_a_shard_that_is_missing_is_named(load, write, tmp_path):
    write()
    (tmp_path / f"{SECOND}.safetensors").unlink()
    with pytest.raises(CheckpointError, match=rf"{SECOND}.safetensors, one of its 2 shards"):
        load(tmp_path)


def test_a_shard_without_an_index_is_no_sae(load, write, tmp_path):
    write().unlink()
    with pytest.raises(CheckpointError, match=r"one shard of several, .* model.safetensors.index"):
        load(tmp_path / f"{FIRST}.safetensors")


@pytest.mark.parametrize(
    ("part", "message"),
    [
        ("../elsewhere-00001-of-00002.safetensors", "expected the name of a shard"),
        ("/etc/passwd", "expected the name of a shard"),
        (5, "expected the name of a shard"),
        (f"{FIRST}.safetensors", "has no tensor b_dec"),
    ],
)
def test_an_index_that_lists_what_cannot_be(load, write, tmp_path, part, message):
    write(b_dec=part)
    with pytest.raises(CheckpointError, match=message):
        load(tmp_path)


@pytest.mark.parametrize("content", ["[]", "{}", '{"weight_map": {}}', '{"weight_map": ["x"]}'])
def test_an_index_without_a_map(load, write, tmp_path, content):
    write().write_text(content)
    with pytest.raises(CheckpointError, match="no weight_map"):
        load(tmp_path)

"""A saved matching is the matching; a damaged or foreign file is refused in one line."""

import dataclasses
import json

import pytest
import torch
from polars.testing import assert_frame_equal
from safetensors import safe_open
from safetensors.torch import save_file

import saematch
from saematch import MatchError, match
from saematch.errors import RunError
from saematch.matching import Matching
from saematch.matching.saved import KEY
from support.saes import make_sae, permuted


@pytest.fixture
def pair():
    a = make_sae(seed=1)
    order = torch.randperm(96, generator=torch.Generator().manual_seed(2))
    b = permuted(a, order, noise=0.4)
    W_dec = b.W_dec.clone()
    W_dec[5] = 0
    return a, dataclasses.replace(b, W_dec=W_dec)


def parts(path):
    with safe_open(path, "pt") as file:
        return {name: file.get_tensor(name) for name in file.keys()}, file.metadata()[KEY]  # noqa: SIM118


@pytest.mark.parametrize("method", ["sae-match", "cosine", "feature-flow", "paulo-belrose"])
@pytest.mark.parametrize("null", ["covariance", "none"])
def test_a_saved_matching_is_the_matching(tmp_path, pair, method, null):
    there = match(pair[0], pair[1], method, null=null, candidates=3)
    there.save(tmp_path / "m")
    again = Matching.load(tmp_path / "m", *pair)
    assert_frame_equal(again.to_polars(), there.to_polars())
    assert_frame_equal(again.candidates.to_polars("target"), there.candidates.to_polars("target"))
    assert_frame_equal(again.sources.to_polars("source"), there.sources.to_polars("source"))
    assert_frame_equal(again.null_histogram(), there.null_histogram())
    assert again.summary() == there.summary()
    assert (again.notes, again.method, repr(again)) == (there.notes, there.method, repr(there))
    assert again.excluded[1].keys() == {"zero decoder"}
    assert again.assignment is not None
    assert there.assignment is not None
    assert torch.equal(again.assignment.row_dual, there.assignment.row_dual)


def test_a_loaded_matching_can_be_inverted_and_composed(tmp_path, pair):
    there = match(*pair)
    there.save(tmp_path / "m")
    again = Matching.load(tmp_path / "m", *pair)
    assert again.inverse().target.tolist() == there.inverse().target.tolist()
    both, expected = again.compose(again.inverse()), there.compose(there.inverse())
    assert both.target.tolist() == expected.target.tolist()
    composed = Matching.compose(there, there.inverse())
    composed.save(tmp_path / "composed")
    assert Matching.load(tmp_path / "composed", pair[0], pair[0]).assignment is None


def test_saes_are_loaded_again_by_name(tmp_path):
    a, b = (saematch.load(f"saematch:resid_post_{i}") for i in (4, 5))
    there = match(a, b, "cosine", null="none")
    there.save(tmp_path / "m")
    again = Matching.load(tmp_path / "m")
    assert torch.equal(again.a.W_dec, a.W_dec)
    assert again.b.conventions.site == b.conventions.site
    assert_frame_equal(again.to_polars(), there.to_polars())


def test_other_weights_are_refused(tmp_path, pair):
    match(*pair).save(tmp_path / "m")
    a, b = pair
    with pytest.raises(MatchError, match=r"other weights .*Matching.load\(path, a, b\)"):
        Matching.load(tmp_path / "m", b, b)
    with pytest.raises(MatchError, match=r"other weights .*Matching.load\(path, a, b\)"):
        Matching.load(tmp_path / "m", a, a)


def test_a_matching_by_activations_takes_them_again(tmp_path, pair):
    from support.sparse_case import activations, dense_of

    given = activations(dense_of(400, 96, 0)), activations(dense_of(400, 96, 1))
    there = match(pair[0], pair[1], "pearson", activations=given)
    there.save(tmp_path / "m")
    with pytest.raises(MatchError, match="give the activations"):
        Matching.load(tmp_path / "m", *pair).inverse()
    again = Matching.load(tmp_path / "m", *pair, activations=given)
    assert again.inverse().target.tolist() == there.inverse().target.tolist()


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("pairs.target", torch.full((96,), 96), "pairs.target has 96 to 96, expected -1 to 95"),
        ("pairs.target", torch.zeros(96), "pairs.target is torch.float32"),
        ("pairs.score", torch.zeros(95), r"pairs.score is .* \(95,\), expected .* \(96,\)"),
        ("pairs.matched", None, "no tensor pairs.matched"),
        ("candidates.index", torch.full((96, 5), -2), "candidates.index has -2"),
        ("sources.score", torch.zeros(96, 4), r"sources.score is .* \(96, 4\), expected .*96, 5"),
        ("excluded_b.0", torch.zeros(96), "expected booleans"),
        ("assignment.target", torch.full((96,), 99), "assignment.target has 99"),
    ],
)
def test_damaged_tensors_are_named(tmp_path, pair, name, value, message):
    match(*pair).save(tmp_path / "m")
    tensors, header = parts(tmp_path / "m")
    assert name in tensors
    tensors = (
        {**tensors, name: value}
        if value is not None
        else {key: tensor for key, tensor in tensors.items() if key != name}
    )
    save_file(tensors, tmp_path / "m", {KEY: header})
    with pytest.raises(MatchError, match=message):
        Matching.load(tmp_path / "m", *pair)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": 2}, "format 2, and this version of saematch reads 1"),
        ({"fold": "paper"}, r"header is not that of a matching .*\$.fold"),
        ({"method": {"name": "x", "views": []}}, r"header is not that of a matching .*no views"),
        ({"a": {"source": 3}}, r"header is not that of a matching .*\$.a.source"),
    ],
)
def test_a_damaged_header_is_named(tmp_path, pair, change, message):
    match(*pair).save(tmp_path / "m")
    tensors, header = parts(tmp_path / "m")
    save_file(tensors, tmp_path / "m", {KEY: json.dumps({**json.loads(header), **change})})
    with pytest.raises(MatchError, match=message):
        Matching.load(tmp_path / "m", *pair)


def test_other_files_are_no_matchings(tmp_path, pair):
    with pytest.raises(MatchError, match="no such file"):
        Matching.load(tmp_path / "m")
    (tmp_path / "text").write_text("hello")
    with pytest.raises(MatchError, match="not a safetensors file"):
        Matching.load(tmp_path / "text")
    save_file({"x": torch.zeros(1)}, tmp_path / "weights")
    with pytest.raises(MatchError, match=r"not a matching; Matching.save\(path\) writes one"):
        Matching.load(tmp_path / "weights")


def test_a_save_that_fails_leaves_what_was_there(tmp_path, pair, monkeypatch):
    match(*pair).save(tmp_path / "m")
    before = (tmp_path / "m").read_bytes()

    def full(tensors, path, metadata):
        path.write_bytes(b"half")
        raise OSError("no space left on device")

    monkeypatch.setattr("saematch.matching.saved.save_file", full)
    with pytest.raises(RunError, match="no space"):
        match(pair[0], pair[1], "cosine").save(tmp_path / "m")
    assert (tmp_path / "m").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["m"]

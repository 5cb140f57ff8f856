"""Where the shipped SAEs lie and what they are called, on a stand-in for them."""

import pytest
import torch

import saematch
from saematch import CheckpointError
from saematch.sae import shipped
from saematch.sae.contexts import features_of
from support.stand_in import write_shipped

TOY = ["resid_pre_0", *(f"resid_post_{layer}" for layer in range(6))]
SMOLLM2 = [f"smollm2/resid_post_{layer}" for layer in range(10, 17)]


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return write_shipped(tmp_path_factory.mktemp("data"))


def test_the_residual_stream_comes_first_and_in_order(root):
    assert shipped.residual_path(root) == TOY
    assert shipped.smollm2_path(root) == SMOLLM2
    assert shipped.names(root) == [*TOY, "resid_post_3_seed2", *SMOLLM2]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "resid_post_9",
            "ships no SAE 'resid_post_9'; it ships resid_pre_0, .*smollm2/resid_post_16$",
        ),
        ("resid_post_12", "did you mean smollm2/resid_post_12"),
        ("smollm2/resid_post_3", "did you mean resid_post_3[?]"),
        ("smollm2/resid_post_17", "ships no SAE 'smollm2/resid_post_17'; it ships "),
        ("smollm2", "ships no SAE 'smollm2'; it ships "),
        ("../saes/resid_post_1", r"ships no SAE '\.\./saes/resid_post_1'"),
        ("smollm2/../smollm2/resid_post_10", "ships no SAE"),
    ],
)
def test_a_name_that_does_not_ship_is_refused_with_those_that_do(root, name, message):
    with pytest.raises(CheckpointError, match=message):
        shipped.path(name, root)


def test_a_copy_without_them_says_so(tmp_path, root):
    for path in (shipped.residual_path, shipped.smollm2_path):
        with pytest.raises(CheckpointError, match="install it again"):
            path(tmp_path)


@pytest.mark.parametrize("name", ["resid_post_3_seed2", "smollm2/resid_post_12"])
def test_they_load_by_name_and_the_name_loads_them_again(root, monkeypatch, name):
    monkeypatch.setattr(shipped, "folder", lambda: root)
    model, _, own = name.rpartition("/")
    sae = saematch.load(f"saematch:{name}")
    same = saematch.load(root / model / "saes" / own)
    assert torch.equal(sae.W_dec, same.W_dec)
    assert sae.conventions.source == f"saematch:{name}"
    assert torch.equal(saematch.load(sae.conventions.source).W_enc, same.W_enc)
    assert features_of(sae) is not None


def test_a_brace_pattern_names_a_series_of_them(root, monkeypatch, tmp_path):
    monkeypatch.setattr(shipped, "folder", lambda: root)
    run = saematch.flow("saematch:smollm2/resid_post_{10-12}", out=tmp_path / "run")
    assert run.names == ["resid_post_10", "resid_post_11", "resid_post_12"]


def test_nothing_is_loaded_under_a_part_of_a_name(root, monkeypatch):
    monkeypatch.setattr(shipped, "folder", lambda: root)
    with pytest.raises(CheckpointError, match="ships no SAE 'resid_post'; it ships resid_pre_0"):
        saematch.load("saematch:resid_post")
    with pytest.raises(CheckpointError, match="did you mean saematch:smollm2/resid_post_12"):
        saematch.load("smollm2/resid_post_12")

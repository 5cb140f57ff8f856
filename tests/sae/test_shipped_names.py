"""Where the shipped SAEs lie and what they are called, on a stand-in for them."""

import pytest
import torch

import saematch
from saematch import CheckpointError
from saematch.sae import shipped
from saematch.sae.contexts import features_of
from support.stand_in import write_shipped


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return write_shipped(tmp_path_factory.mktemp("data"))


def test_the_residual_stream_comes_first_and_in_order(root):
    path = ["resid_pre_0", *(f"resid_post_{layer}" for layer in range(6))]
    assert shipped.residual_path(root) == path
    assert shipped.names(root) == [*path, "resid_post_3_seed2"]
    with pytest.raises(
        CheckpointError, match="ships no SAE 'resid_post_9'; it ships resid_pre_0, "
    ):
        shipped.path("resid_post_9", root)
    with pytest.raises(CheckpointError, match=r"ships no SAE '\.\./saes/resid_post_1'"):
        shipped.path("../saes/resid_post_1", root)


def test_a_copy_without_them_says_so(tmp_path):
    with pytest.raises(CheckpointError, match="install it again"):
        shipped.residual_path(tmp_path)


def test_they_load_by_name_and_the_name_loads_them_again(root, monkeypatch):
    monkeypatch.setattr(shipped, "folder", lambda: root)
    sae = saematch.load("saematch:resid_post_3_seed2")
    same = saematch.load(root / "saes" / "resid_post_3_seed2")
    assert torch.equal(sae.W_dec, same.W_dec)
    assert sae.conventions.source == "saematch:resid_post_3_seed2"
    assert torch.equal(saematch.load(sae.conventions.source).W_enc, same.W_enc)
    assert features_of(sae) is not None
    with pytest.raises(CheckpointError, match="ships no SAE 'resid_post'; it ships resid_pre_0"):
        saematch.load("saematch:resid_post")

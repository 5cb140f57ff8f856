import dataclasses

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from saematch import SaematchError, fold, rescale
from support.saes import make_sae

ALL = ("relu", "jumprelu", "topk", "abs_topk", "groupmax", "batchtopk")


@pytest.mark.parametrize("centred", [False, True])
@pytest.mark.parametrize("activation", ALL)
@pytest.mark.parametrize("how", ["threshold", "decoder-norm", "activation"])
def test_reconstruction_does_not_change(activation, how, centred, inputs):
    sae = make_sae(activation=activation, centred=centred)
    if how == "threshold" and activation != "jumprelu":
        with pytest.raises(SaematchError, match="has no thresholds"):
            fold(sae, how)
        return
    typical = torch.rand(96) * 4 + 0.2
    folded = fold(sae, how, activation=typical)
    torch.testing.assert_close(
        folded.reconstruct(inputs), sae.reconstruct(inputs), rtol=1e-4, atol=1e-3
    )
    assert not torch.allclose(folded.W_dec, sae.W_dec)


def test_threshold_folding_is_that_of_sae_match(inputs):
    sae = make_sae()
    folded = fold(sae, "threshold")
    assert sae.threshold is not None
    assert folded.threshold is not None
    assert (folded.threshold == 1).all()
    for i in (0, 17, 95):
        theta = sae.threshold[i]
        torch.testing.assert_close(folded.W_dec[i], theta * sae.W_dec[i])
        torch.testing.assert_close(folded.W_enc[:, i], sae.W_enc[:, i] / theta)
        torch.testing.assert_close(folded.b_enc[i], sae.b_enc[i] / theta)
    torch.testing.assert_close(
        folded.encode(inputs), sae.encode(inputs) / sae.threshold, rtol=1e-4, atol=1e-4
    )


def test_decoder_norm_folding_makes_rows_unit(inputs):
    sae = make_sae(activation="topk")
    norms = sae.W_dec.norm(dim=1)
    folded = fold(sae, "decoder-norm")
    torch.testing.assert_close(folded.W_dec.norm(dim=1), torch.ones(96))
    torch.testing.assert_close(
        folded.encode(inputs), sae.encode(inputs) * norms, rtol=1e-4, atol=1e-4
    )


def test_topk_goes_on_choosing_the_same_features(inputs):
    sae = make_sae(activation="topk")
    scale = torch.logspace(-2, 2, 96)
    assert torch.equal(rescale(sae, scale).encode(inputs) > 0, sae.encode(inputs) > 0)


def test_thresholds_that_cannot_fold_are_excluded_not_zeroed(inputs):
    threshold = torch.rand(96) + 0.1
    threshold[[2, 4]] = 0.0
    sae = dataclasses.replace(make_sae(), threshold=threshold)
    folded = fold(sae, "threshold")
    assert folded.exclusions["threshold <= 0"].nonzero().flatten().tolist() == [2, 4]
    torch.testing.assert_close(folded.W_dec[2], sae.W_dec[2])
    torch.testing.assert_close(
        folded.reconstruct(inputs), sae.reconstruct(inputs), rtol=1e-4, atol=1e-3
    )
    assert not sae.exclusions


@given(st.lists(st.floats(0.01, 100), min_size=96, max_size=96))
def test_rescaling_twice_is_rescaling_by_the_product(scales):
    sae, scale = make_sae(), torch.tensor(scales)
    there_and_back = rescale(rescale(sae, scale), 1 / scale)
    torch.testing.assert_close(there_and_back.W_enc, sae.W_enc, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(there_and_back.W_dec, sae.W_dec, rtol=1e-5, atol=1e-6)


def test_errors_name_what_is_missing():
    with pytest.raises(SaematchError, match=r"scale has shape \(3,\), expected \(96,\)"):
        rescale(make_sae(), torch.ones(3))
    with pytest.raises(SaematchError, match="no folding is called 'thresholds'"):
        fold(make_sae(), "thresholds")  # pyright: ignore[reportArgumentType]
    with pytest.raises(SaematchError, match="needs activation="):
        fold(make_sae(), "activation")

"""Values that no SAE can have are refused where it is made."""

import dataclasses

import pytest
import torch

from saematch import SAE, Conventions, SaematchError, Site
from support.saes import make_sae

NAN, INF = float("nan"), float("inf")


def _changed(values, place, value):
    values = values.clone()
    values[place] = value
    return values


@pytest.mark.parametrize("k", [0, -1, 97, 2.7, NAN, True, "8", 10**400])
def test_k_is_a_whole_number_of_its_features(k):
    with pytest.raises(SaematchError, match=r"k is .* from 1 to its 96|needs k"):
        make_sae(activation="topk", k=k)


def test_groups_divide_the_features():
    assert make_sae(activation="groupmax", k=6).conventions.k == 6
    with pytest.raises(SaematchError, match="k is 7, expected a divisor of its 96 features"):
        make_sae(activation="groupmax", k=7)


@pytest.mark.parametrize("factor", [0.0, -1.0, NAN, INF, -INF])
def test_norm_factors_are_finite_and_above_0(factor):
    with pytest.raises(SaematchError, match=r"norm_factor, is .*above 0"):
        make_sae(norm_factor=factor)


@pytest.mark.parametrize("value", [NAN, -0.1, 1.01, INF])
def test_frequencies_are_shares(value):
    frequency = _changed(torch.rand(96), 7, value)
    with pytest.raises(SaematchError, match="frequency of feature 7 is"):
        dataclasses.replace(make_sae(), frequency=frequency)


@pytest.mark.parametrize("value", [NAN, INF])
def test_what_all_features_share_is_finite(value):
    sae = make_sae()
    with pytest.raises(SaematchError, match="b_dec has NaN or infinite entries"):
        dataclasses.replace(sae, b_dec=_changed(sae.b_dec, 3, value))
    with pytest.raises(SaematchError, match="W_skip has NaN or infinite entries"):
        dataclasses.replace(sae, W_skip=_changed(torch.randn(32, 32), (1, 2), value))


def test_a_feature_without_a_rank_is_excluded():
    scale = _changed(torch.rand(96) + 1, 5, NAN)
    sae = dataclasses.replace(make_sae(activation="topk"), selection_scale=scale)
    assert sae.exclusions["not finite"].nonzero().flatten().tolist() == [5]


@pytest.mark.wrong_arrays
@pytest.mark.parametrize("dtype", [torch.int8, torch.int64, torch.bool, torch.complex64])
@pytest.mark.parametrize("name", ["W_enc", "W_dec", "b_enc", "threshold"])
def test_weights_are_floating_numbers(name, dtype):
    sae = make_sae()
    with pytest.raises(SaematchError, match=f"{name} is of dtype {str(dtype)[6:]}"):
        dataclasses.replace(sae, **{name: getattr(sae, name).abs().to(dtype)})


@pytest.mark.wrong_arrays
@pytest.mark.parametrize(("d_in", "d_sae"), [(4, 0), (0, 4), (0, 0)])
def test_there_is_something_in_it(d_in, d_sae):
    with pytest.raises(SaematchError, match=r"W_enc has shape .*one feature and one dimension"):
        make_sae(d_in=d_in, d_sae=d_sae)
    with pytest.raises(SaematchError, match=r"W_enc has shape \(\)"):
        SAE(torch.tensor(1.0), *torch.zeros(3, 4), conventions=Conventions("relu"))


@pytest.mark.parametrize("word", [5, ["x"], {"x": 1}])
def test_names_are_text(word):
    sae = make_sae()
    for changes, what in (
        ({"model": word}, "the model is"),
        ({"site": Site(word)}, "the site's hook is"),
        ({"site": Site("layers.1", "mlp_in", 1, word)}, "the hook it writes to is"),
    ):
        conventions = dataclasses.replace(sae.conventions, **changes)
        with pytest.raises(SaematchError, match=what):
            dataclasses.replace(sae, conventions=conventions)


def test_one_dimension_has_no_spread():
    with pytest.raises(SaematchError, match="no spread to normalise by"):
        make_sae(d_in=1, d_sae=4, activation="relu", normalisation="layer_norm")

import dataclasses

import pytest
import torch

from saematch import METHODS, MatchError, Method, SaematchError, View
from saematch.matching import match
from saematch.matching.methods import resolve, resolve_fold
from support.saes import make_sae


def test_options_reach_the_method():
    method = resolve("sae-match", terms="decoder", bias=True, decoder_weight=2.0, fold="none")
    assert method.views == (View("decoder", weight=2.0), View("encoder-bias"))
    assert method.distance
    assert resolve("feature-flow", top_k=4).top_k == 4
    assert resolve("paulo-belrose", cutoff=0.5).cutoff == 0.5
    assert resolve(method) is method
    in_words = resolve("weighted", views="unit-decoder:2,encoder")
    assert in_words.views == (View("decoder", normalised=True, weight=2.0), View("encoder"))


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("sae_match", {}, "there are sae-match, cosine, feature-flow"),
        ("cosine", {"top_k": 2}, "'cosine' has no option 'top_k'; it has view"),
        ("sae-match", {"terms": "dec"}, "must be one of encoder, decoder, both"),
        ("sae-match", {"fold": "norm"}, "there are auto, threshold, decoder-norm"),
        ("sae-match", {"encoder_weight": -1.0}, "positive weight"),
        ("feature-flow", {"top_k": 0}, "at least 1"),
        ("weighted", {"views": ()}, "has no views"),
        ("weighted", {}, "needs views, such as 'unit-decoder:1"),
        ("weighted", {"views": ("decoder",)}, "give View objects"),
        ("paulo-belrose", {"cutoff": 5.0}, "it is a cosine, from -1 to 1"),
    ],
)
def test_bad_methods_say_what_would_be_right(name, options, message):
    with pytest.raises(SaematchError, match=message):
        resolve(name, **options)


def test_a_method_object_takes_no_options():
    with pytest.raises(SaematchError, match="go with a method's name"):
        resolve(Method("mine", (View("decoder"),)), fold="none")


def test_auto_folds_by_threshold_only_where_both_have_one_per_feature():
    jumprelu, topk = make_sae(), make_sae(activation="topk")
    scalar = dataclasses.replace(jumprelu, threshold=torch.full((96,), 0.5))
    assert resolve_fold("auto", jumprelu, jumprelu) == "threshold"
    assert resolve_fold("auto", jumprelu, topk) == "decoder-norm"
    assert resolve_fold("auto", scalar, jumprelu) == "decoder-norm"
    assert resolve_fold("none", jumprelu, jumprelu) == "none"


def test_every_named_method_can_be_made():
    made = [METHODS[name]() for name in METHODS if name != "weighted"]
    assert [m.name for m in made] == [name for name in METHODS if name != "weighted"]


def test_names_are_not_saes():
    with pytest.raises(MatchError, match=r"match takes SAEs, not str: saematch.load"):
        match("saematch:resid_post_3", make_sae())  # pyright: ignore[reportArgumentType]


def test_folding_by_activation_needs_the_scales():
    with pytest.raises(SaematchError, match="needs activation="):
        match(make_sae(seed=1), make_sae(seed=2), fold="activation")

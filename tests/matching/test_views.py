import pytest
import torch

from saematch import SaematchError, View, fold
from saematch.matching.views import feature_vectors, parse_views, stack
from support.saes import make_sae


def test_stack_gives_the_weighted_sum_of_inner_products():
    a, b = make_sae(seed=1), make_sae(seed=2)
    views = parse_views("decoder:2,unit-encoder:-0.5,encoder-bias:0.25")
    x, y, widths = stack(a, b, views)
    assert widths == (32, 32, 1)
    expected = (
        2 * a.W_dec @ b.W_dec.T
        - 0.5 * torch.cosine_similarity(a.W_enc.T[:, None], b.W_enc.T[None], dim=2)
        + 0.25 * a.b_enc[:, None] * b.b_enc
    )
    torch.testing.assert_close(x @ y.T, expected, rtol=1e-4, atol=1e-3)


def test_bias_view_does_not_depend_on_how_centring_is_written():
    centred = make_sae(activation="relu", centred=True)
    plain = make_sae(activation="relu")
    plain.b_enc.copy_(centred.b_enc - centred.b_dec @ centred.W_enc)
    x = torch.randn(4, 32)
    torch.testing.assert_close(plain.encode(x), centred.encode(x), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(
        feature_vectors(plain, View("encoder-bias")), feature_vectors(centred, View("encoder-bias"))
    )


def test_unit_views_do_not_change_with_folding():
    sae = make_sae()
    for term in ("decoder", "encoder"):
        view = View(term, normalised=True)
        torch.testing.assert_close(
            feature_vectors(fold(sae), view), feature_vectors(sae, view), rtol=1e-5, atol=1e-6
        )


def test_views_are_written_as_they_are_read():
    text = "unit-decoder,encoder:0.5"
    assert ",".join(map(str, parse_views(text))) == text


@pytest.mark.parametrize(
    ("text", "message"),
    [("decode", "no view is called 'decode'"), ("decoder:much", "'much' of view 'decoder'")],
)
def test_bad_views_are_named(text, message):
    with pytest.raises(SaematchError, match=message):
        parse_views(text)

import dataclasses

import pytest
import torch

from saematch import SAE, Conventions, SaematchError
from support.saes import make_sae

ACTIVATIONS = ("relu", "jumprelu", "topk", "abs_topk", "groupmax", "batchtopk")


def naive(sae: SAE, x: torch.Tensor) -> torch.Tensor:
    """Activations one number at a time, from the definitions."""
    c = sae.conventions
    x = x - sae.b_dec if c.centred else x
    out = torch.zeros(len(x), sae.d_sae)
    pre = torch.stack([row @ sae.W_enc + sae.b_enc for row in x])
    if c.activation == "batchtopk":
        positive = sorted(pre.clamp(min=0).flatten().tolist(), reverse=True)
        cut = positive[(c.k or 0) * len(x) - 1]
        return torch.where(pre.clamp(min=0) >= cut, pre.clamp(min=0), 0.0)
    for t, row in enumerate(pre.tolist()):
        if c.activation == "relu":
            kept = [i for i, v in enumerate(row) if v > 0]
        elif c.activation == "jumprelu":
            assert sae.threshold is not None
            kept = [i for i, v in enumerate(row) if v > sae.threshold[i]]
        elif c.activation == "abs_topk":
            kept = sorted(range(len(row)), key=lambda i: -abs(row[i]))[: c.k]
        elif c.activation == "topk":
            best = sorted(range(len(row)), key=lambda i: -row[i])[: c.k]
            kept = [i for i in best if row[i] > 0]
        else:
            size = len(row) // (c.k or 1)
            groups = [range(s, s + size) for s in range(0, len(row), size)]
            best = [max(group, key=lambda i: row[i]) for group in groups]
            kept = [i for i in best if row[i] > 0]
        out[t, kept] = torch.tensor([row[i] for i in kept])
    return out


@pytest.mark.parametrize("centred", [False, True])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_encode_follows_the_definition(activation, centred, inputs):
    sae = make_sae(activation=activation, centred=centred)
    torch.testing.assert_close(sae.encode(inputs), naive(sae, inputs), rtol=1e-4, atol=1e-4)
    assert sae.encode(inputs).count_nonzero() > 64


def test_threshold_is_strict_and_keeps_the_value():
    sae = SAE(
        torch.eye(2), torch.eye(2), torch.zeros(2), torch.zeros(2),
        Conventions("jumprelu"), threshold=torch.tensor([1.0, 1.0]),
    )  # fmt: skip
    assert sae.encode(torch.tensor([1.0, 1.5])).tolist() == [0.0, 1.5]


def test_decode_adds_the_bias_and_the_skip():
    sae = make_sae()
    f = torch.rand(5, sae.d_sae)
    torch.testing.assert_close(sae.decode(f), f @ sae.W_dec + sae.b_dec)
    skip = dataclasses.replace(sae, W_skip=torch.randn(32, 32))
    x = torch.randn(5, 32)
    assert skip.W_skip is not None
    torch.testing.assert_close(skip.decode(f, like=x), sae.decode(f) + x @ skip.W_skip)
    with pytest.raises(SaematchError, match="like=x"):
        skip.decode(f)


@pytest.mark.parametrize("normalisation", ["layer_norm", "constant_norm"])
def test_normalised_inputs_make_the_output_scale_with_them(normalisation, inputs):
    sae = make_sae(normalisation=normalisation)
    torch.testing.assert_close(sae.encode(3 * inputs), sae.encode(inputs), rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(
        sae.reconstruct(3 * inputs), 3 * sae.reconstruct(inputs), rtol=1e-3, atol=1e-2
    )


def test_unusable_features_are_excluded_with_their_reason():
    sae = make_sae()
    W_dec, W_enc, b_enc = sae.W_dec.clone(), sae.W_enc.clone(), sae.b_enc.clone()
    W_dec[3] = 0
    W_enc[:, 5] = 0
    b_enc[7] = float("nan")
    frequency = torch.rand(sae.d_sae) * 0.9 + 0.1
    frequency[11] = 0
    bad = dataclasses.replace(sae, W_dec=W_dec, W_enc=W_enc, b_enc=b_enc, frequency=frequency)
    where = {reason: mask.nonzero().flatten().tolist() for reason, mask in bad.exclusions.items()}
    assert where == {"zero decoder": [3], "zero encoder": [5], "not finite": [7], "dead": [11]}
    assert bad.excluded.nonzero().flatten().tolist() == [3, 5, 7, 11]
    assert not sae.exclusions


def without(sae: SAE, gone: list[int]) -> SAE:
    """The SAE that is left when features are taken out."""
    kept = torch.tensor([i for i in range(sae.d_sae) if i not in gone])
    scale = sae.selection_scale
    return SAE(
        sae.W_enc[:, kept], sae.W_dec[kept], sae.b_enc[kept], sae.b_dec, sae.conventions,
        threshold=None if sae.threshold is None else sae.threshold[kept],
        selection_scale=None if scale is None else scale[kept],
    )  # fmt: skip


@pytest.mark.parametrize("scaled", [False, True])
@pytest.mark.parametrize("activation", ["relu", "jumprelu", "topk", "abs_topk", "batchtopk"])
def test_features_that_are_not_finite_are_silent(activation, scaled, inputs):
    """The others do what they would do if those were not there at all."""
    sae = make_sae(activation=activation)
    scale = torch.rand(96, generator=torch.Generator().manual_seed(3)) + 0.5 if scaled else None
    W_enc, W_dec, b_enc = sae.W_enc.clone(), sae.W_dec.clone(), sae.b_enc.clone()
    b_enc[3], b_enc[4], W_enc[2, 7], W_dec[11, 5] = torch.nan, torch.inf, -torch.inf, torch.nan
    gone = [3, 4, 7, 11]
    if scale is not None:
        scale[20] = torch.nan
        gone.append(20)
    bad = dataclasses.replace(sae, W_enc=W_enc, W_dec=W_dec, b_enc=b_enc, selection_scale=scale)
    assert bad.excluded.nonzero().flatten().tolist() == gone
    left, f = without(bad, gone), bad.encode(inputs)
    rest = torch.tensor([i for i in range(96) if i not in gone])
    assert f[:, gone].count_nonzero() == 0
    torch.testing.assert_close(f[:, rest], left.encode(inputs))
    torch.testing.assert_close(bad.reconstruct(inputs), left.reconstruct(inputs))
    assert f.count_nonzero() > 64
    # activations of another's making, too
    torch.testing.assert_close(bad.decode(torch.ones(2, 96)), left.decode(torch.ones(2, len(rest))))


def test_a_group_whose_largest_is_not_finite_keeps_another(inputs):
    sae = make_sae(activation="groupmax", k=8)
    b_enc = sae.b_enc.clone()
    b_enc[:11] = torch.nan
    f = dataclasses.replace(sae, b_enc=b_enc).encode(inputs)
    assert f[:, :11].count_nonzero() == 0
    # the first group has one feature left
    alone = torch.relu(inputs @ sae.W_enc[:, 11] + sae.b_enc[11])
    torch.testing.assert_close(f[:, 11], alone)
    torch.testing.assert_close(f[:, 12:], sae.encode(inputs)[:, 12:])


@pytest.mark.wrong_arrays
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"b_enc": torch.zeros(5)}, r"b_enc has shape \(5,\), expected \(96,\)"),
        ({"W_dec": torch.zeros(4, 32)}, r"W_dec has shape \(4, 32\), expected \(96, 32\)"),
        ({"threshold": None}, "needs a threshold"),
    ],
)
def test_parts_that_do_not_fit_are_named(change, message):
    with pytest.raises(SaematchError, match=message):
        dataclasses.replace(make_sae(), **change)


def test_inputs_of_another_width_are_refused():
    with pytest.raises(SaematchError, match=r"reads 32 dimensions; x has shape \(5, 33\)"):
        make_sae().encode(torch.zeros(5, 33))


def test_topk_without_k_is_refused():
    with pytest.raises(SaematchError, match="needs k"):
        make_sae(activation="topk", k=0)


def test_to_moves_every_tensor():
    sae = dataclasses.replace(make_sae(), frequency=torch.rand(96)).to(dtype=torch.bfloat16)
    assert {sae.W_enc.dtype, sae.b_dec.dtype, sae.encode(torch.randn(2, 32)).dtype} == {
        torch.bfloat16
    }
    assert sae.excluded.dtype == torch.bool


@pytest.mark.parametrize(
    ("threshold", "kind"),
    [(torch.full((96,), 0.5), "scalar"), (torch.linspace(0.1, 1, 96), "per feature")],
)
def test_threshold_kind(threshold, kind):
    assert dataclasses.replace(make_sae(), threshold=threshold).threshold_kind == kind
    assert make_sae(activation="relu").threshold_kind == "none"

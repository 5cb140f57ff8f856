"""Each step towards the canonical form leaves the reconstruction as it was."""

import dataclasses

import pytest
import torch
from torch.nn.functional import relu

from saematch import Conventions
from saematch.checkpoints.canonical import Weights, from_gated

D_IN, D_SAE = 12, 40


@pytest.fixture
def weights(random):
    return Weights(
        W_enc=random(D_IN, D_SAE),
        W_dec=random(D_SAE, D_IN),
        b_enc=random(D_SAE),
        b_dec=random(D_IN),
        threshold=random(D_SAE).abs(),
    )


@pytest.fixture(params=[True, False], ids=["centred", "as it is"])
def centred(request):
    return request.param


def _sae(weights, centred):
    return weights.sae(Conventions(activation="jumprelu", centred=centred))


def test_the_scale_of_the_input(weights, inputs, centred):
    before = _sae(dataclasses.replace(weights), centred)
    weights.scale_input(2.5)
    after = _sae(weights, centred)
    torch.testing.assert_close(after.encode(inputs), before.encode(2.5 * inputs))
    expected = before.reconstruct(2.5 * inputs) / 2.5
    torch.testing.assert_close(after.reconstruct(inputs), expected, rtol=1e-4, atol=1e-4)


def test_a_scale_of_the_output_of_its_own(weights, inputs):
    before = _sae(dataclasses.replace(weights), False)
    weights.scale_input(2.5, 0.5)
    expected = before.reconstruct(2.5 * inputs) / 0.5
    found = _sae(weights, False).reconstruct(inputs)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


def test_unit_decoder_rows(weights, inputs, centred):
    weights.W_dec[3] = 0
    before, norm = _sae(dataclasses.replace(weights), centred), weights.W_dec.norm(dim=1)
    weights.unit_decoder()
    after = _sae(weights, centred)
    expected = before.reconstruct(inputs)
    torch.testing.assert_close(after.reconstruct(inputs), expected, rtol=1e-4, atol=1e-4)
    used = norm > 0
    expected = (before.encode(inputs) * norm)[:, used]
    torch.testing.assert_close(after.encode(inputs)[:, used], expected, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(after.W_dec.norm(dim=1), used.float())


def test_whitening(weights, inputs, random, centred):
    mean, matrix = random(D_IN).double(), random(D_IN, D_IN, scale=0.4).double()
    inverse = torch.linalg.inv(matrix)
    before = _sae(dataclasses.replace(weights), centred).to(dtype=torch.float64)
    weights.unwhiten(mean, matrix, inverse, centred)
    after = _sae(weights, centred).to(dtype=torch.float64)
    white = (inputs.double() - mean) @ matrix
    torch.testing.assert_close(after.encode(inputs), before.encode(white), rtol=1e-3, atol=1e-4)
    expected = before.reconstruct(white) @ inverse + mean
    torch.testing.assert_close(after.reconstruct(inputs), expected, rtol=1e-3, atol=1e-3)


def test_a_gated_sae_is_a_jumprelu_one(inputs, random, agree):
    W_enc, W_dec, b_dec = random(D_IN, D_SAE), random(D_SAE, D_IN), random(D_IN)
    b_gate, b_mag, r_mag = random(D_SAE), random(D_SAE), random(D_SAE, scale=0.7)
    sae = _sae(from_gated(W_enc, W_dec, b_dec, b_gate=b_gate, b_mag=b_mag, r_mag=r_mag), True)
    shared = (inputs - b_dec) @ W_enc
    codes = (shared + b_gate > 0) * relu(shared * r_mag.exp() + b_mag)
    agree(sae, inputs, codes, codes @ W_dec + b_dec)
    # both cases occur: the gate decides, and the rectifier does
    assert sae.threshold is not None
    assert bool((sae.threshold == 0).any())
    assert bool((sae.threshold > 0).any())


def test_taking_out_the_mean_is_reading_centred_inputs(weights, inputs, centred):
    def sae():
        conventions = Conventions("jumprelu", centred=centred)
        return weights.sae(conventions)

    before = sae()
    weights.take_out_mean(centred)
    after = sae()
    x = inputs - inputs.mean(dim=-1, keepdim=True)
    torch.testing.assert_close(after.encode(inputs), before.encode(x), rtol=1e-4, atol=1e-5)
    # and what is added to every dimension alike is not seen
    torch.testing.assert_close(after.encode(inputs + 3), after.encode(x), rtol=1e-4, atol=1e-4)

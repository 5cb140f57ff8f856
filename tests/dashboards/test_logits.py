"""What features speak for, against the model's own final norm and head."""

import pytest
import torch

from saematch.checkpoints.sites import parse_hook
from saematch.dashboards import promoted
from saematch.errors import SaematchError
from saematch.models.unembedding import unembedding, writes_to_stream
from saematch.steering import logit_lens

pytest.importorskip("transformers")

from support.small_models import CAUSAL, WIDTH, WORDS, small


@pytest.mark.parametrize("name", CAUSAL)
def test_logits_are_those_of_a_hidden_state_that_is_the_direction(name):
    model = small(name)
    rows = torch.randn(5, WIDTH, generator=torch.Generator().manual_seed(0))
    found = unembedding(model)
    # the norm divides by the size of what it is given, and adds its bias
    centred = rows - rows.mean(1, keepdim=True) if found.centred else rows
    size = centred.square().mean(1, keepdim=True).sqrt()
    large = 100 / size * rows  # beside which epsilon is nothing
    lens = logit_lens(model, torch.cat([large, -large]))
    if name == "gemma2":  # it caps logits softly, which keeps their order
        lens = 30 * torch.atanh((lens - lens.mean(1, keepdim=True)) / 30)
    expected = (lens[:5] - lens[5:]) / 2 * size
    expected = expected - expected.mean(1, keepdim=True)
    tolerance = {"rtol": 0.05, "atol": 0.05} if name == "gemma2" else {"rtol": 1e-3, "atol": 1e-3}
    torch.testing.assert_close(found.logits(rows), expected, **tolerance)
    its = promoted(found, rows, 3)
    order = found.logits(rows).argsort(1)
    assert its.top.equal(order[:, -3:].flip(1))
    assert its.bottom.equal(order[:, :3])
    assert found.vocabulary == WORDS


@pytest.mark.parametrize(
    ("hook", "writes"),
    [
        ("blocks.1.hook_resid_post", True),
        ("blocks.1.hook_mlp_out", True),
        ("layers.1.self_attn", False),  # before the norm that follows it
        ("blocks.1.hook_attn_out", True),
        ("blocks.1.attn.hook_z", False),
        ("blocks.1.mlp.hook_in", False),
        ("blocks.99.hook_resid_post", False),
        ("nowhere", False),
    ],
)
def test_only_what_is_added_to_the_stream_has_logits(hook, writes):
    found = writes_to_stream(small("gemma2"), parse_hook(hook))
    assert found == (hook if writes else None)


def test_a_transcoder_writes_where_its_output_goes():
    site = parse_hook("blocks.0.mlp.hook_in", "blocks.0.hook_mlp_out")
    assert writes_to_stream(small("llama"), site) == "blocks.0.hook_mlp_out"


def test_a_model_without_predictions_has_no_logits():
    with pytest.raises(SaematchError, match="does not predict next tokens"):
        unembedding(small("bert"))

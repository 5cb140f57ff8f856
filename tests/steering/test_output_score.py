"""The output score, held against the definition computed step by step."""

from dataclasses import replace

import pytest
import torch

from saematch import SaematchError
from saematch.steering import logit_lens, output_scores
from support.saes import make_sae
from support.small_models import CAUSAL, LAYERS, WORDS, small


class Letters:
    """A tokenizer whose tokens are the letters of a text."""

    bos_token_id, cls_token_id, eos_token_id = 1, None, 2

    def __call__(self, text: str, add_special_tokens: bool = True) -> dict[str, list[int]]:
        return {"input_ids": [3 + ord(letter) % (WORDS - 3) for letter in text]}

    def decode(self, ids: list[int]) -> str:
        return "".join(f"<{token}>" for token in ids)


def with_tokenizer(name):
    return replace(small(name), tokenizer=Letters())


def head_alone(lm, rows):
    """The final norm and the head, called by the names that they have in each family."""
    trunk = lm.model.base_model
    names = ("ln_f", "norm", "final_layer_norm")
    norm = next(getattr(trunk, name) for name in names if hasattr(trunk, name))
    return lm.model.get_output_embeddings()(norm(rows))


@pytest.mark.parametrize("name", CAUSAL)
def test_the_logit_lens_is_the_final_norm_and_the_head(name):
    lm, rows = with_tokenizer(name), make_sae().W_dec[:5]
    expected = head_alone(lm, rows)
    cap = getattr(lm.model.config, "final_logit_softcapping", None)
    if cap:
        expected = cap * torch.tanh(expected / cap)
    found = logit_lens(lm, rows)
    torch.testing.assert_close(found, expected.log_softmax(-1), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("name", ["gpt2", "llama", "gemma2"])
@pytest.mark.parametrize("activation", ["jumprelu", "topk"])
@torch.no_grad()
def test_the_score_step_by_step(name, activation):
    lm, sae = with_tokenizer(name), make_sae(layer=1, activation=activation)
    features = [3, 17, 40]
    found = output_scores(
        lm, {"a": sae}, [("a", k) for k in features], prompt="we think", top=4, times=2.0
    )
    ids = torch.tensor([[1, *Letters()("we think")["input_ids"]]])
    hook = "blocks.1.hook_resid_post"
    for one, feature in zip(found, features, strict=True):
        promoted = head_alone(lm, sae.W_dec[feature]).topk(4).indices.tolist()
        state = lm.run(ids, [hook])[hook]
        raised = 2.0 * sae.encode(state)[0, -1].max() * sae.W_dec[feature]

        def push(value, _, raised=raised):
            value[:, -1] += raised
            return value

        with lm.changed({hook: push}):
            p = lm.model(ids).logits[0, -1].softmax(-1)
        order = p.argsort(descending=True).tolist()
        rank = min(order.index(token) for token in promoted)
        assert one.rank == rank
        assert one.probability == pytest.approx(float(p[promoted].max()), rel=1e-4)
        assert one.score == pytest.approx(one.probability * (1 - rank / WORDS), rel=1e-6)
        assert one.tokens == tuple(f"<{token}>" for token in promoted)


def test_a_feature_that_writes_a_token_scores_higher_than_one_that_writes_nothing_of_it():
    lm = with_tokenizer("llama")
    sae = make_sae(layer=LAYERS - 1)
    # at the end of the stream, what stands out of the head is said
    head = lm.model.get_output_embeddings().weight.detach()
    sae.W_dec[0] = 30 * head[11] / head[11].norm()
    said = output_scores(lm, {"a": sae}, [("a", 0)], top=1)[0]
    assert said.tokens == ("<11>",)
    assert said.rank == 0
    assert said.score > 20 / WORDS  # twenty times what chance gives
    # the same direction added a hundredth as strongly says nothing
    weak = output_scores(lm, {"a": sae}, [("a", 0)], top=1, times=0.001)[0]
    assert weak.score < said.score / 2


def test_without_a_tokenizer_or_in_another_width_there_is_no_score():
    with pytest.raises(SaematchError, match="tokenizer"):
        output_scores(small("llama"), {"a": make_sae()}, [("a", 0)])
    wide = make_sae(d_in=48, kind="attn_z")
    with pytest.raises(SaematchError, match="no logits can be read off"):
        logit_lens(with_tokenizer("llama"), wide.W_dec[:2], "wide")

"""Features over texts, against SAEs applied by hand to one example at a time."""

import dataclasses

import numpy as np
import pytest
import scipy.sparse as sp
import torch

import saematch
from saematch import SAE, SaematchError, Site
from saematch.activations import capturing
from saematch.activations.capturing import capture, notes
from saematch.activations.table import joined
from saematch.models.opening import open_model
from saematch.models.texts import open_texts, tokenise
from saematch.sae import shipped
from support.saes import make_sae
from support.small_models import WIDTH, small, some_ids

LENGTHS = (9, 2, 13, 1, 13, 5, 30, 4)


def examples() -> list[np.ndarray]:
    return [some_ids(1, n, seed=i)[0].numpy() for i, n in enumerate(LENGTHS)]


def sae_at(hook: str, d_in: int = WIDTH, seed: int = 0, **options) -> SAE:
    sae = make_sae(d_in, 40, seed=seed, **options)
    return dataclasses.replace(
        sae, conventions=dataclasses.replace(sae.conventions, site=Site(hook))
    )


def by_hand(lm, sae: SAE) -> np.ndarray:
    """(tokens, d_sae): example after example, each alone."""
    hook = sae.conventions.site.hook  # pyright: ignore[reportOptionalMemberAccess]
    rows = []
    for ids in examples():
        x = lm.run(torch.from_numpy(ids)[None], [hook])[hook][0]
        rows.append(sae.encode(x[1:]).numpy())
    return np.concatenate(rows)


def gathered(batches, name):
    return sp.vstack([b.saes[name].matrix for b in batches]).toarray()


@pytest.mark.parametrize("batch_tokens", [1, 20, 64, 10_000])
@pytest.mark.parametrize("name", ["gpt2", "gemma2", "bert"])
def test_features_are_those_of_each_example_alone(name, batch_tokens):
    lm = small(name)
    saes = {
        "a": sae_at("blocks.1.hook_resid_post"),
        "b": sae_at("blocks.1.hook_resid_post", seed=1, activation="topk"),
        "c": sae_at("blocks.0.hook_mlp_out", seed=2, activation="relu"),
    }
    batches = list(capture(lm, saes, examples(), batch_tokens))
    for key, sae in saes.items():
        # float32 sums of another order may move a value across a threshold, and none did
        np.testing.assert_allclose(gathered(batches, key), by_hand(lm, sae), atol=2e-4)
    ids = np.concatenate([e[1:] for e in examples()])
    assert np.array_equal(np.concatenate([b.token_id for b in batches]), ids)
    example = np.repeat(np.arange(len(LENGTHS)), np.array(LENGTHS) - 1)
    assert np.array_equal(np.concatenate([b.example for b in batches]), example)
    position = np.concatenate([np.arange(1, n) for n in LENGTHS])
    assert np.array_equal(np.concatenate([b.position for b in batches]), position)
    for batch in batches:
        assert {a.dtype for a in (batch.token_id, batch.example, batch.position)} == {
            np.dtype("int32")
        }
        assert np.array_equal(batch.saes["a"].example, batch.example)
    assert joined([b.saes["a"] for b in batches[:1]]).matrix.dtype == np.float32


def test_long_lists_come_in_batches_and_each_pass_is_bounded(monkeypatch):
    lm, passes = small("gpt2"), []
    run = type(lm).run
    monkeypatch.setattr(
        type(lm), "run", lambda self, ids, *a: (passes.append(ids.shape), run(self, ids, *a))[1]
    )
    many = examples() * 10
    batches = list(capture(lm, {"a": sae_at("h.1")}, many, batch_tokens=40))
    assert len(batches) > 1
    assert all(rows * longest <= 40 for rows, longest in passes)
    # examples of a length go together: little of what is computed is padding
    assert sum(map(len, many)) / sum(r * n for r, n in passes[1:]) > 0.8
    assert np.array_equal(
        np.unique(np.concatenate([b.example for b in batches])),
        [i for i, e in enumerate(many) if len(e) > 1],
    )


def test_every_site_is_read_once_and_wide_dictionaries_in_slices(monkeypatch):
    lm, asked = small("gpt2"), []
    run = type(lm).run
    monkeypatch.setattr(
        type(lm),
        "run",
        lambda self, i, sites, m=None: (asked.append(sites), run(self, i, sites, m))[1],
    )
    saes = {"a": sae_at("h.1"), "b": sae_at("h.1", seed=1), "c": sae_at("h.2")}
    whole = list(capture(lm, saes, examples()))
    assert asked == [["h.1", "h.2"]] * 2  # once for the widths
    monkeypatch.setattr(capturing, "_DENSE", 100)  # two tokens of 40 features at a time
    sliced = list(capture(lm, saes, examples()))
    for name in saes:
        np.testing.assert_allclose(gathered(sliced, name), gathered(whole, name), atol=1e-5)


def test_a_batchtopk_sae_without_a_threshold_shares_k_among_the_tokens_that_count():
    lm, sae = small("gpt2"), sae_at("h.1", activation="batchtopk", k=3)
    (batch,) = capture(lm, {"a": sae}, examples())
    tokens = sum(LENGTHS) - len(LENGTHS)
    assert batch.saes["a"].n_tokens == tokens
    assert batch.saes["a"].matrix.nnz == 3 * tokens
    together = torch.cat(
        [lm.run(torch.from_numpy(e)[None], ["h.1"])["h.1"][0, 1:] for e in examples()]
    )
    np.testing.assert_allclose(gathered([batch], "a"), sae.encode(together).numpy(), atol=2e-4)


def test_a_transcoder_is_read_where_it_reads():
    lm, sae = small("llama"), sae_at("blocks.1.mlp.hook_in", activation="relu")
    site = Site("blocks.1.mlp.hook_in", "mlp_in", 1, "blocks.1.hook_mlp_out")
    skip = torch.randn(WIDTH, WIDTH)
    sae = dataclasses.replace(
        sae, W_skip=skip, conventions=dataclasses.replace(sae.conventions, site=site)
    )
    np.testing.assert_allclose(
        gathered(list(capture(lm, {"a": sae}, examples())), "a"), by_hand(lm, sae), atol=2e-4
    )


def test_errors_come_at_the_call():
    lm = small("gpt2")
    with pytest.raises(SaematchError, match="other reads 33 dimensions"):
        capture(lm, {"other": sae_at("h.1", d_in=33)}, examples())
    with pytest.raises(SaematchError, match="layers 0 to 2"):
        capture(lm, {"other": sae_at("blocks.7.hook_resid_pre")}, examples())
    with pytest.raises(SaematchError, match="batch_tokens=0"):
        capture(lm, {}, examples(), batch_tokens=0)


def test_what_a_reader_should_know_is_noted():
    lm = open_model("saematch:model")
    shipped_sae = saematch.load("saematch:resid_post_3")
    foreign = sae_at("h.1", d_in=128, model="google/gemma-2-2b")
    loose = sae_at("h.1", d_in=128, activation="batchtopk")
    found = notes(lm, {"own": shipped_sae, "foreign": foreign, "loose": loose})
    assert len(found) == 2
    assert "foreign is of a model named google/gemma-2-2b" in found[0]
    assert "loose: batchtopk without a threshold" in found[1]


def test_the_shipped_saes_on_shipped_text_as_by_the_models_own_code():
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = shipped.folder() / "model"
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    words = AutoTokenizer.from_pretrained(folder)
    texts = open_texts("saematch:code", n=2, seed=0)
    lm = open_model("saematch:model")
    saes = {
        n: saematch.load(f"saematch:{n}") for n in ("resid_pre_0", "resid_post_5", "attn_out_2")
    }
    modules = {"resid_pre_0": "drop", "resid_post_5": "h.5", "attn_out_2": "h.2.attn"}
    kept: dict[str, list] = {name: [] for name in saes}
    hooks = [
        model.get_submodule(f"transformer.{modules[name]}").register_forward_hook(
            lambda m, i, out, name=name: kept[name].append(
                next(iter(out)) if isinstance(out, tuple) else out
            )
        )
        for name in saes
    ]
    for text in texts.texts:
        ids = [words.bos_token_id, *words.encode(text.text)][:256]
        with torch.no_grad():
            model(torch.tensor([ids]))
    for hook in hooks:
        hook.remove()
    (batch,) = capture(lm, saes, tokenise(texts, lm.tokenizer, limit=lm.max_tokens))
    for name, sae in saes.items():
        expected = torch.cat([sae.encode(x[0, 1:]) for x in kept[name]]).numpy()
        found = batch.saes[name].matrix.toarray()
        np.testing.assert_allclose(found, expected, atol=1e-4)
        assert (found > 0).sum() > 10 * len(found)

"""How SAEs are trained: what is left out, what is written, and that training can be resumed."""

import json
import math

import numpy as np
import pytest
import torch
from demo import training
from demo.train import train
from demo.trainee import Plan, Trainee, save_sae

import saematch
from saematch.models import open_model

HOOK = "blocks.2.hook_resid_post"
TEXTS = ["saematch:prose", "saematch:code"]


@pytest.fixture(scope="module")
def model():
    return open_model("saematch:model", dtype=torch.float32)


def trainee(activation="jumprelu", steps=30, d=24, d_sae=64):
    """An SAE trained for a moment on sparse sums of directions far from the origin."""
    generator = torch.Generator().manual_seed(3)
    directions = torch.randn(40, d, generator=generator)
    active = torch.rand(6000, 40, generator=generator) * (
        torch.rand(6000, 40, generator=generator) < 0.1
    )
    x = 5 * active @ directions + 7
    t = Trainee(Plan("one", HOOK, d_sae, 6, seed=1, activation=activation), x)
    optimizer = torch.optim.Adam(t.parameters(), lr=1e-3)
    for at in range(steps):
        t.backward(t.prepare(x[at * 200 : (at + 1) * 200]))
        optimizer.step()
        t.after_step()
    return t, x


@pytest.mark.parametrize("activation", ["jumprelu", "topk"])
def test_raw_weights_reconstruct_what_the_trainee_does(activation):
    t, x = trainee(activation)
    raw = t.raw()
    scaled = t.prepare(x)
    assert len(scaled) == len(x)
    pre, raw_pre = scaled @ t.W_enc + t.b_enc, x @ raw["W_enc"] + raw["b_enc"]
    if activation == "topk":
        gates = [
            torch.zeros_like(p).scatter(1, p.topk(6, dim=1).indices, 1.0) for p in (pre, raw_pre)
        ]
        f, raw_f = pre.relu() * gates[0], raw_pre.relu() * gates[1]
    else:
        f, raw_f = pre * (pre > t.threshold), raw_pre * (raw_pre > raw["threshold"])
    assert (f > 0).any()
    mine = (f @ t.W_dec + t.b_dec) / t.scale + t.mean
    theirs = raw_f @ raw["W_dec"] + raw["b_dec"]
    # a feature at its threshold may go either way
    apart = (mine - theirs).norm(dim=1) > 1e-3 * x.norm(dim=1)
    assert apart.float().mean() < 0.01
    assert raw["W_dec"].norm(dim=1).allclose(torch.ones(64))


@pytest.mark.parametrize("activation", ["jumprelu", "topk"])
def test_saelens_and_saematch_read_what_is_written(activation, tmp_path, sae_lens):
    t, x = trainee(activation)
    save_sae(t, tmp_path / "one", "toy", 32)
    ours = saematch.load(tmp_path / "one")
    theirs = sae_lens.SAE.load_from_disk(str(tmp_path / "one"))
    raw = t.raw()
    torch.testing.assert_close(ours.W_dec, raw["W_dec"].half().float())
    with torch.no_grad():
        f = theirs.encode(x)
        torch.testing.assert_close(ours.encode(x), f, rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(ours.decode(f), theirs.decode(f), rtol=1e-4, atol=1e-3)
    assert 1 < (f > 0).sum(1).float().mean() < 30
    assert str(ours.conventions.site) == HOOK
    assert ours.conventions.model == "toy"


def test_massive_tokens_are_left_out_and_change_nothing():
    _, x = trainee(steps=0)
    planted = x.clone()
    planted[[7, 900]] *= 100
    plan = Plan("one", HOOK, 64, 6, seed=1)
    t, clean = Trainee(plan, planted), Trainee(plan, torch.cat([x[:7], x[8:900], x[901:]]))
    assert t.mean.allclose(clean.mean)
    assert t.scale.allclose(clean.scale)
    took = t.prepare(planted[:100])
    assert len(took) == 99
    torch.testing.assert_close(took, (torch.cat([x[:7], x[8:100]]) - t.mean) * t.scale)
    assert t.taken.tolist() == [0, 1]
    t.backward(took)
    assert t.taken.tolist() == [99, 1]


def rows(model):
    return training.windows(model, TEXTS, 32, seed=5)


@pytest.mark.parametrize("stopped_after", [1, 3])
def test_interrupted_training_goes_on_to_the_same_weights(
    model, tmp_path, monkeypatch, stopped_after
):
    monkeypatch.setattr(training, "EVERY", 1)
    plans = [Plan("one", HOOK, 48, 6, seed=1), Plan("two", HOOK, 48, 6, 2, activation="topk")]
    tokens = 4 * 3 * training.BATCH  # three batches of each of four buffers

    def stopping():
        # the first buffer only gives the sample to start from
        for i, row in enumerate(rows(model)):
            if i == (stopped_after + 1) * training.ROWS + 5:
                raise KeyboardInterrupt
            yield row

    whole = training.train_saes(model, rows(model), plans, tokens=tokens)
    state = tmp_path / "state.pt"
    with pytest.raises(KeyboardInterrupt):
        training.train_saes(model, stopping(), plans, tokens=tokens, state=state)
    kept = torch.load(state, weights_only=True)
    assert (kept["buffers"], kept["step"]) == (stopped_after, 3 * stopped_after)
    resumed = training.train_saes(model, rows(model), plans, tokens=tokens, state=state)
    for name, t in whole.items():
        assert int(t.taken.sum()) == tokens
        for key, value in t.raw().items():
            assert torch.equal(value, resumed[name].raw()[key]), (name, key)
        assert t.penalty == resumed[name].penalty
        early = kept["trainees"][name]["W_enc"]
        assert not torch.equal(early, t.W_enc)


def test_windows_take_texts_in_equal_parts_and_begin_with_bos(model):
    some = [row for row, _ in zip(rows(model), range(400), strict=False)]
    bos = model.tokenizer.bos_token_id
    assert all(len(row) == 32 and row[0] == bos for row in some)
    assert len({tuple(row) for row in some}) > 350
    again = [row for row, _ in zip(rows(model), range(400), strict=False)]
    assert all(map(np.array_equal, some, again))


def test_the_command_trains_what_is_missing(tmp_path, capsys):
    options = {"width": 64, "l0": [8.0], "tokens": 12_000, "context": 32, "seed": 3}
    train("saematch:model", ["blocks.{2-3}.hook_resid_post"], TEXTS, tmp_path, **options)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["resid_post_2", "resid_post_3"]
    told = json.loads((tmp_path / "resid_post_3" / "training.json").read_text())
    assert told["tokens"] + told["massive"] == 12_000 // training.BATCH * training.BATCH
    config = json.loads((tmp_path / "resid_post_3" / "cfg.json").read_text())
    assert config["metadata"]["seed"] == 4
    sae = saematch.load(tmp_path / "resid_post_3")
    assert sae.W_dec.shape == (64, 128)
    assert math.isfinite(float(sae.b_enc.sum()))
    before = (tmp_path / "resid_post_2" / "cfg.json").stat().st_mtime_ns
    capsys.readouterr()
    train("saematch:model", ["blocks.{2-3}.hook_resid_post"], TEXTS, tmp_path, **options)
    assert "has them all" in capsys.readouterr().out
    assert (tmp_path / "resid_post_2" / "cfg.json").stat().st_mtime_ns == before

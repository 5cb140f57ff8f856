"""What is written beside SAEs, and their figures, against sums made by hand."""

import dataclasses
import json
import shutil

import polars as pl
import pytest
import torch
from demo import describe as making
from demo.card import table
from demo.describe import describe, draw, kind_of, load_saes, measure
from demo.ship import ship

import saematch
from saematch.models import LanguageModel, open_model
from saematch.sae import shipped
from saematch.sae.contexts import read_features

NAMES = ("resid_post_2", "mlp_out_3")
TEXTS = ["saematch:prose", "saematch:code"]


class Planted(LanguageModel):
    """A model with massive activations at two tokens of every window."""

    def run(self, ids, sites, mask=None):
        found = super().run(ids, sites, mask)
        for value in found.values():
            value[:, [1, 9]] *= 100
        return found


@pytest.fixture(scope="module")
def model():
    return open_model("saematch:model", dtype=torch.float32)


@pytest.fixture(scope="module")
def planted(model):
    return Planted(model.model, model.tokenizer, model.name)


@pytest.fixture(scope="module")
def saes():
    return {name: saematch.load(f"saematch:{name}") for name in NAMES}


@pytest.fixture(scope="module")
def texts(model):
    return draw(model, TEXTS, 11, 48, seed=2)


def body(model, saes, texts, name):
    """Activations `(windows, tokens, d)` at an SAE's site, without BOS."""
    hook = str(saes[name].conventions.site)
    return LanguageModel.run(model, torch.cat(list(texts.values())), [hook])[hook][:, 1:]


def test_windows_are_whole_apart_and_of_their_kind(model, texts):
    assert list(texts) == ["prose", "code"]
    for rows in texts.values():
        assert rows.shape == (11, 48)
        assert (rows[:, 0] == model.tokenizer.bos_token_id).all()
        assert len({tuple(row) for row in rows.tolist()}) == 11
    assert kind_of("corpus/prose.train.jsonl") == kind_of("saematch:prose") == "prose"


@pytest.mark.parametrize("name", NAMES)
def test_features_are_those_of_all_tokens_but_bos_and_massive_ones(planted, saes, texts, name):
    frame = describe(planted, saes, texts)[name]
    x = body(planted, saes, texts, name)
    x[:, [0, 8]] = 0.0  # the planted ones, at 1 and 9 with BOS
    f = saes[name].encode(x)
    f[:, [0, 8]] = 0.0
    tokens = len(x) * (x.shape[1] - 2)
    count = (f > 0).sum((0, 1))
    torch.testing.assert_close(frame["frequency"].to_torch(), count / tokens)
    torch.testing.assert_close(frame["max_activation"].to_torch(), f.amax((0, 1)))
    mean = f.sum((0, 1)) / count.clamp(min=1)
    torch.testing.assert_close(frame["mean_activation"].to_torch(), mean, rtol=1e-4, atol=1e-5)
    ids = torch.cat(list(texts.values()))
    for feature in count.topk(5).indices.tolist():
        contexts = frame["contexts"][feature].to_list()
        peaks, places = f[:, :, feature].max(1)
        assert 1 < len(contexts) <= 10
        window = int(peaks.argmax())
        assert contexts[0]["activation"] == pytest.approx(float(peaks.max()))
        assert contexts[0]["source"] == ("prose" if window < 11 else "code")
        at = 1 + int(places[window])
        shown = contexts[0]["before"] + contexts[0]["token"] + contexts[0]["after"]
        around = ids[window, max(1, at - 12) : at + 7]
        assert shown == planted.tokenizer.decode(around, clean_up_tokenization_spaces=False)
        assert contexts[0]["token"] == planted.tokenizer.decode(ids[window, at])
        values = [context["activation"] for context in contexts]
        assert values == sorted(values, reverse=True)
        assert set(values) <= set(peaks.tolist())


def test_the_same_text_twice_is_one_context(model, saes, texts):
    twice = {"one": texts["prose"], "two": texts["prose"]}
    frame = describe(model, {NAMES[0]: saes[NAMES[0]]}, twice)[NAMES[0]]
    shown = frame["contexts"].list.len()
    assert shown.max() == 10
    for contexts in frame["contexts"].to_list()[:200]:
        assert len({(c["before"], c["token"]) for c in contexts}) == len(contexts)


def perfect(sae):
    """An SAE that reconstructs every input: each dimension, and its negative."""
    eye = torch.eye(sae.d_in)
    both = torch.cat([eye, -eye])
    return dataclasses.replace(
        sae, W_enc=both.T.contiguous(), W_dec=both, b_enc=torch.zeros(2 * sae.d_in),
        b_dec=torch.zeros(sae.d_in), threshold=torch.zeros(2 * sae.d_in), exclusions={},
        frequency=None,
    )  # fmt: skip


def test_figures_are_those_of_all_tokens_but_bos_and_massive_ones(model, planted, saes, texts):
    own, figures = measure(planted, saes | {"perfect": perfect(saes["resid_post_2"])}, texts)
    for name, sae in saes.items():
        x = body(planted, saes, texts, name)
        usual = torch.ones(x.shape[:2], dtype=torch.bool)
        usual[:, [0, 8]] = False
        x = x[usual]
        f = sae.encode(x)
        explained = 1 - (sae.decode(f) - x).pow(2).sum() / (x - x.mean(0)).pow(2).sum()
        found = figures[name]
        assert found["variance_explained"] == pytest.approx(float(explained), abs=1e-5)
        assert found["l0"] == pytest.approx(float((f > 0).sum(1).float().mean()))
        assert (found["tokens"], found["massive"]) == (22 * 45, 22 * 2)
    assert figures["perfect"]["variance_explained"] == pytest.approx(1, abs=1e-6)
    assert figures["perfect"]["delta_loss_code"] == pytest.approx(0, abs=1e-5)
    for kind, rows in texts.items():
        assert own[kind] == pytest.approx(float(model.losses(rows).mean()), rel=1e-5)

        def splice(x, _):
            return torch.cat([x[:, :1], saes["resid_post_2"].reconstruct(x[:, 1:])], dim=1)

        spliced = model.losses(rows, replace={"blocks.2.hook_resid_post": splice}).mean()
        delta = figures["resid_post_2"][f"delta_loss_{kind}"]
        assert delta == pytest.approx(float(spliced) - own[kind], abs=1e-4)
        assert delta > 0.01


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two SAEs as training leaves them, described and measured by the command."""
    there = tmp_path_factory.mktemp("saes")
    for name in NAMES:
        (there / name).mkdir()
        for file in ("cfg.json", "sae_weights.safetensors"):
            shutil.copy(shipped.path(name) / file, there / name / file)
        told = {"tokens": 1000, "massive": 3, "texts": [str(there / "prose.jsonl")]}
        (there / name / "training.json").write_text(json.dumps(told))
    options = {"windows": 6, "measured": 4, "context": 48}
    making.main(there, "saematch:model", TEXTS, TEXTS, **options)
    return there


def test_the_command_writes_what_the_package_reads(folder, capsys, monkeypatch):
    report = json.loads((folder / "figures.json").read_text())
    assert list(report["saes"]) == ["mlp_out_3", "resid_post_2"]
    assert list(load_saes(folder)) == list(report["saes"])
    for name in NAMES:
        sae = saematch.load(folder / name)
        frame = read_features(folder / name, sae.d_sae)
        assert frame is not None
        assert int(sae.excluded.sum()) == (frame["frequency"] == 0).sum()
        assert report["saes"][name]["dead"] == pytest.approx((frame["frequency"] == 0).mean())
    assert report["described"] == 2 * 6 * 47
    # a second call makes nothing again, and prints the same table
    monkeypatch.setattr(making, "open_model", None)
    making.main(folder, "saematch:model", TEXTS, TEXTS)
    assert capsys.readouterr().out.strip() == table(report)


def test_what_ships_is_whole_and_names_no_place_of_the_maker(folder, tmp_path):
    ship(folder, tmp_path)
    for name in NAMES:
        sae = saematch.load(tmp_path / "saes" / name)
        assert torch.equal(sae.W_dec, saematch.load(folder / name).W_dec)
        assert read_features(tmp_path / "saes" / name) is not None
    card = (tmp_path / "README.md").read_text()
    report = json.loads((tmp_path / "figures.json").read_text())
    assert f"{report['saes']['mlp_out_3']['variance_explained']:.3f}" in card
    assert "1,000 (3)" in card
    for file in (p for p in tmp_path.rglob("*") if p.is_file()):
        assert str(folder.parent).encode() not in file.read_bytes()
    assert not pl.read_parquet(tmp_path / "saes" / NAMES[0] / "features.parquet").is_empty()

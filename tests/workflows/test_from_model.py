"""Matching with nothing but the model: its Jacobians, and text that it generates."""

import dataclasses

import numpy as np
import pytest
from polars.testing import assert_frame_equal
from typer.testing import CliRunner

import saematch
from saematch import MatchError, Run, Site
from saematch.activations import ActivationStore
from saematch.cli import app
from saematch.models import open_model
from saematch.models.jacobian import Jacobian, mean_jacobians
from saematch.workflows import from_model, jacobians
from saematch.workflows.capture import capture_into
from saematch.workflows.jacobians import steps

pytest.importorskip("transformers")
EMBEDDED, AFTER = "saematch:resid_pre_0", "saematch:resid_post_0"
PATH = "saematch:resid_post_{2-4}"
MODEL = "saematch:model"


@pytest.fixture(scope="module")
def model():
    return open_model(MODEL)


@pytest.fixture(scope="module")
def across(model, tmp_path_factory):
    """A run across the embedding, from the model alone."""
    out = tmp_path_factory.mktemp("runs") / "run"
    saematch.match(EMBEDDED, AFTER, model=model, tokens=1500, out=out)
    return Run.open(out)


def never(*args, **more):
    raise AssertionError("made again")


def test_one_call_matches_across_the_embedding_where_weights_find_nothing(across):
    (pair,) = across.pairs
    found = across.matching(*pair)
    assert found.method.name == "fused"
    assert found.n_matched > 300
    assert saematch.match(EMBEDDED, AFTER, "cosine").n_matched < 10
    assert any("weights carried by the model" in note for note in found.notes)
    assert across.record.options["jacobians"]["of"] == "random tokens"
    assert across.record.options["text"] == ["generated"]
    store = ActivationStore.open(across.path / "evidence" / "activations")
    assert 1500 <= store.n_tokens < 1500 + 255


def test_the_same_call_again_makes_nothing(across, model, monkeypatch):
    monkeypatch.setattr(from_model, "capture_into", never)
    monkeypatch.setattr(jacobians, "mean_jacobians", never)
    before = across.pair(*across.pairs[0])
    saematch.match(EMBEDDED, AFTER, model=model, tokens=1500, out=across.path)
    assert_frame_equal(Run.open(across.path).pair(*across.pairs[0]), before)
    # a pair whose table is gone is made of the evidence that is kept
    (across.path / "pairs" / f"{'--'.join(across.pairs[0])}.parquet").unlink()
    saematch.match(EMBEDDED, AFTER, model=model, tokens=1500, out=across.path)
    assert_frame_equal(Run.open(across.path).pair(*across.pairs[0]), before)


def test_evidence_of_another_kind_is_not_taken_for_it(across, model, monkeypatch, tmp_path):
    saematch.match(EMBEDDED, AFTER, "carried", model=model, out=tmp_path / "run")
    path = next((tmp_path / "run" / "evidence" / "jacobians").iterdir())
    kept = Jacobian.load(path)
    assert (kept.source, kept.target) == ("blocks.0.hook_resid_pre", "blocks.0.hook_resid_post")

    other = dataclasses.replace(
        kept, made_of={**kept.made_of, "sequences": 3}, matrix=kept.matrix * 0
    )
    other.save(path)
    found = saematch.match(
        EMBEDDED, AFTER, "carried", model=model, out=tmp_path / "run", overwrite=True
    )
    assert found.score.nanmean() > 0.1


def test_a_longer_reach_needs_no_more_jacobians(model, monkeypatch, tmp_path):
    made = []

    def counted(model, source, targets, examples):
        made.append((source, *targets))
        return mean_jacobians(model, source, targets, examples)

    monkeypatch.setattr(jacobians, "mean_jacobians", counted)
    out = tmp_path / "run"
    run = saematch.flow(PATH, "carried", model=model, out=out)
    assert len(run.pairs) == 2 == len(made)
    assert not (out / "evidence" / "activations").exists()
    run = saematch.flow(PATH, "carried", model=model, out=out, reach=2)
    assert len(run.pairs) == 3
    assert len(made) == 2
    # the pair two apart is that of the product
    names = [f"saematch:{name}" for name in ("resid_post_2", "resid_post_4")]
    assert np.mean(run.pair("resid_post_2", "resid_post_4")["score"].to_numpy()) == pytest.approx(
        float(saematch.match(*names, "carried", model=model).score.nanmean()), abs=1e-6
    )


def test_a_store_in_place_of_generated_text(model, monkeypatch):
    names = [EMBEDDED, AFTER]
    store = saematch.capture(names, model, "saematch:prose", examples=8, length=200)
    monkeypatch.setattr(from_model, "capture_into", never)
    found = saematch.match(*names, activations=store, model=model)
    assert any("weights carried by the model" in note for note in found.notes)
    plain = saematch.match(*names, activations=store)
    assert not any("carried" in note for note in plain.notes)


def test_given_text_comes_in_place_of_what_the_model_generates(model, tmp_path):
    out = tmp_path / "run"
    texts = ["saematch:code", "saematch:prose"]
    saematch.match(*PAIR, model=model, text=texts, tokens=600, out=out)
    store = ActivationStore.open(out / "evidence" / "activations")
    assert store.record.texts["from"] == texts
    assert store.n_tokens > 900


PAIR = ("saematch:resid_post_3", "saematch:resid_post_4")


def test_the_command_does_as_the_function(tmp_path):
    arguments = ["match", *PAIR, "--method", "carried", "--model", MODEL, "-q"]
    done = CliRunner().invoke(app, [*arguments, "-o", str(tmp_path / "run")])
    assert done.exit_code == 0, done.output
    run = Run.open(tmp_path / "run")
    found = saematch.match(*PAIR, "carried", model=MODEL)
    assert_frame_equal(run.pair(*run.pairs[0]), found.to_polars())


def test_what_a_model_is_of_no_use_for_is_said(model):
    with pytest.raises(MatchError, match=r"'cosine' compares weights as they are: omit the model"):
        saematch.match(*PAIR, "cosine", model=model)
    with pytest.raises(MatchError, match=r"text \(--text\) is read by a model"):
        saematch.match(*PAIR, text="saematch:prose")
    with pytest.raises(MatchError, match="but carried reads no text"):
        saematch.match(*PAIR, "carried", model=model, text="saematch:prose")
    with pytest.raises(MatchError, match=r"through the model: give it \(--model\)"):
        saematch.match(*PAIR, "carried")


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        (("resid_pre", 0), ("resid_post", 0), ["pre 0", "post 0"]),
        (("resid_pre", 0), ("resid_post", 2), ["pre 0", "post 0", "post 1", "post 2"]),
        (("resid_post", 3), ("resid_post", 1), ["post 1", "post 2", "post 3"]),
        (("resid_mid", 1), ("resid_mid", 3), ["mid 1", "post 1", "post 2", "mid 3"]),
        (("resid_post", 1), ("resid_pre", 4), ["post 1", "post 2", "pre 4"]),
        (("mlp_out", 1), ("resid_post", 4), ["mlp_out 1", "post 4"]),
        (("resid_post", 1), ("resid_post", 1), []),
    ],
)
def test_the_way_goes_block_by_block(one, other, expected):
    def site(kind, layer):
        return Site(f"blocks.{layer}.hook_{kind}", kind, layer)

    def short(hook):
        _, layer, name = hook.split(".")
        return f"{name.removeprefix('hook_').removeprefix('resid_')} {layer}"

    found = steps(site(*one), site(*other))
    stops = [short(first) for first, _ in found] + [short(last) for _, last in found[-1:]]
    assert stops == expected


def test_what_an_interrupted_call_for_other_text_left_is_no_obstacle(model, tmp_path):
    saematch.match(*PAIR, "carried", model=model, out=tmp_path / "run")
    left = tmp_path / "run" / "evidence" / "activations"
    names = [saematch.load(name) for name in PAIR]

    def stop(step):
        if step.stage == "reading texts" and step.done:
            raise KeyboardInterrupt

    few = {"examples": 3, "length": 50, "batch_tokens": 50}
    with pytest.raises(KeyboardInterrupt):
        saematch.capture(names, model, "saematch:prose", **few, out=left, progress=stop)
    assert ActivationStore.open(left).finished is None
    saematch.match(*PAIR, model=model, tokens=600, out=tmp_path / "run", overwrite=True)
    assert ActivationStore.open(left).record.texts["from"] == ["generated"]


def test_a_store_of_a_runs_own_is_kept_where_it_is_of_the_same_and_replaced_otherwise(tmp_path):
    given = ("saematch:resid_post_0", "saematch:model", "saematch:prose")
    asked = {"examples": 2, "length": 32}
    place = tmp_path / "acts"
    capture_into(place, *given, **asked)
    first = (place / "tokens" / "00000.parquet").stat()
    again = capture_into(place, *given, **asked)
    assert (place / "tokens" / "00000.parquet").stat() == first
    other = capture_into(place, *given, **{**asked, "length": 48})
    assert other.n_tokens > again.n_tokens

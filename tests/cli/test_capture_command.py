"""saematch capture and relate, and matching with what they give, on the shipped model."""

import json
import os

import numpy as np
import polars as pl
import pytest
from typer.testing import CliRunner

import saematch
from saematch.activations.store import ActivationStore
from saematch.activations.subsample import STRETCH, spread
from saematch.cli import app
from saematch.errors import RunError, SaematchError
from saematch.runs.run import Run

PAIR = ("saematch:resid_post_3", "saematch:resid_post_4")
TOKENS = 12 * 99


def call(*arguments: object):
    result = CliRunner().invoke(app, [*map(str, arguments)])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def capture(out, *more: object):
    texts = ["--text", "saematch:prose", "--text", "saematch:code", "--examples", 6]
    given = ["--model", "saematch:model", *texts, "--length", 100, "-o", out, *more]
    return call("capture", *PAIR, *given)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    path = tmp_path_factory.mktemp("heard") / "acts"
    shown = capture(path).output
    assert "12 examples" in shown
    assert f"{TOKENS:,} tokens" in shown
    return path


def test_writes_what_the_features_do(store):
    found = ActivationStore.open(store)
    assert found.finished
    assert (found.names, found.n_tokens) == (["resid_post_3", "resid_post_4"], TOKENS)
    tokens = pl.concat(found.token_shards())
    # the pieces are the text: of each example its head
    head = "".join(tokens.filter(example=0)["piece"])
    texts = (saematch.sae.shipped.folder() / "texts" / "prose.jsonl").read_text().splitlines()
    assert any(json.loads(line)["text"].startswith(head) for line in texts)


def test_the_model_may_write_the_text(tmp_path):
    given = (*PAIR, "--model", "saematch:model", "--text", "saematch:code", "--text", "generated")
    shown = call("capture", *given, "--examples", 3, "--length", 40, "-o", tmp_path / "acts")
    assert "6 examples" in shown.output
    store = ActivationStore.open(tmp_path / "acts")
    tokens = pl.concat(store.token_shards())
    assert tokens.group_by("example").len().sort("example")["len"].to_list() == [39] * 6
    texts = (saematch.sae.shipped.folder() / "texts" / "code.jsonl").read_text()
    heads = ["".join(tokens.filter(example=place)["piece"][:12]) for place in range(6)]
    known = [json.dumps(head)[1:-1] in texts for head in heads]
    assert known == [True] * 3 + [False] * 3
    with pytest.raises(SaematchError, match="say how many the model is to generate"):
        call("capture", *given, "--examples", 0, "-o", tmp_path / "other")


def test_takes_up_where_it_stopped_and_keeps_other_activations(store):
    before = os.stat(store / "resid_post_3" / "00000.parquet").st_mtime_ns
    capture(store)
    assert os.stat(store / "resid_post_3" / "00000.parquet").st_mtime_ns == before
    with pytest.raises(RunError, match="seed is 0 there, 1 here"):
        capture(store, "--seed", 1)


def test_match_is_fused_where_there_are_activations(store, tmp_path):
    shown = call("match", *PAIR, "--activations", store, "-o", tmp_path / "run").output
    assert "matched by fused" in shown
    assert "expected correlation" in " ".join(shown.split())
    run = Run.open(tmp_path / "run")
    heard = run.record.options["activations"]
    assert heard["texts"].pop("digest").startswith("sha256:")
    assert heard == {
        "model": "saematch:model",
        "dtype": None,
        "massive": 4.0,
        "texts": {
            "from": ["saematch:prose", "saematch:code"],
            "examples": 6,
            "length": 100,
            "seed": 0,
        },
        "tokens": TOKENS,
    }
    a, b = map(saematch.load, PAIR)
    kept = ActivationStore.open(store)
    both = kept.activations("resid_post_3"), kept.activations("resid_post_4")
    expected = saematch.match(a, b, "fused", activations=both)
    table = run.pair("resid_post_3", "resid_post_4")
    np.testing.assert_array_equal(table["target"].fill_null(-1), expected.target)
    # fewer tokens are another run
    fewer = ("--activations", store, "--tokens", 500)
    told = "activations: of is not set there, 1188 here; activations: stretch is not set there, "
    told += f"{STRETCH} here; activations: tokens is 1188 there, 500 here"
    with pytest.raises(RunError, match=told):
        call("match", *PAIR, *fewer, "-o", tmp_path / "run")


def test_some_tokens_are_of_every_text_and_the_run_tells_which(store, tmp_path):
    out = tmp_path / "run"
    call("match", *PAIR, "--activations", store, "--tokens", 500, "-o", out, "-q")
    heard = Run.open(out).record.options["activations"]
    assert (heard["tokens"], heard["of"], heard["stretch"]) == (500, TOKENS, STRETCH)
    kept = ActivationStore.open(store)
    some = kept.activations("resid_post_3", heard["tokens"])
    # six texts of prose, then six of code, of one length
    np.testing.assert_allclose(np.bincount(some.example // 6), [250, 250], atol=STRETCH)
    np.testing.assert_array_equal(
        some.matrix.toarray(),
        kept.activations("resid_post_3").matrix.toarray()[spread(TOKENS, 500)],
    )
    changed = json.loads((out / "run.json").read_text())
    del changed["options"]["activations"]["stretch"]
    (out / "run.json").write_text(json.dumps(changed))
    with pytest.raises(RunError, match="activations: stretch is not set there, 64 here"):
        call("match", *PAIR, "--activations", store, "--tokens", 500, "-o", out)


def test_relate_writes_partners_shares_and_gates_beside_the_matches(store, tmp_path):
    out = tmp_path / "run"
    call("flow", *PAIR, "--method", "feature-flow", "-o", out, "-q")
    shown = call("relate", out, "--activations", store).output
    assert "best r" in shown
    assert "the feature of B most like it" in " ".join(shown.split())
    assert "few tokens" in shown
    run = Run.open(out)
    assert run.finished
    assert set(run.tables("relations")) == {"targets", "sources", "passing", "gates"}
    targets = run.table("relations", "targets").filter(statistic="pearson", rank=1)
    kept = ActivationStore.open(store)
    x, y = (kept.activations(name).deviations(unit=True) for name in kept.names)
    best = (x @ y.T).numpy().max(1)
    fired = targets["feature"].to_numpy()
    np.testing.assert_allclose(targets["value"], best[fired], atol=1e-4)
    np.testing.assert_array_equal(targets["a"].unique(), ["resid_post_3"])


def test_relate_goes_on_where_it_stopped(store, tmp_path, monkeypatch):
    from saematch.layers import coactivation as module
    from saematch.layers.saved_coactivation import Relating

    def stopped(*given, **options):
        raise KeyboardInterrupt

    out = tmp_path / "run"
    call("flow", *PAIR, "--method", "feature-flow", "-o", out, "-q")
    with monkeypatch.context() as patch:
        patch.setattr(Relating, "finish", stopped)
        assert call("relate", out, "--activations", store, "-q").exit_code != 0
    assert Run.open(out).section("relations") is None
    # the pair is there: it is not related again
    monkeypatch.setattr(module, "relate", stopped)
    assert call("relate", out, "--activations", store, "-q").exit_code == 0
    assert Run.open(out).table("relations", "passing").height > 0


def test_relations_on_other_text_are_kept_unless_asked(store, tmp_path):
    out, fewer = tmp_path / "run", tmp_path / "fewer"
    call("flow", *PAIR, "--method", "feature-flow", "-o", out, "-q")
    capture(fewer, "--seed", 3)
    call("relate", out, "--activations", store, "-q")
    with pytest.raises(RunError, match="holds relations with other texts"):
        call("relate", out, "--activations", fewer)
    call("relate", out, "--activations", fewer, "--overwrite", "-q")


def test_a_text_that_changed_is_other_text(tmp_path):
    text, out = tmp_path / "notes.txt", tmp_path / "acts"
    given = (PAIR[0], "--model", "saematch:model", "--text", text, "-o", out, "-q")
    text.write_text("The quick brown fox jumps over the lazy dog.\n" * 3)
    call("capture", *given)
    text.write_text("import numpy as np\n" * 5)
    with pytest.raises(RunError, match="the texts have other tokens there"):
        call("capture", *given)


def test_a_wrong_model_leaves_the_folder_alone(store, tmp_path):
    before = sorted(p.name for p in store.rglob("*"))
    texts = ("--text", "saematch:prose", "--examples", 2, "--overwrite", "-o", store)
    with pytest.raises(SaematchError, match="cannot be opened"):
        call("capture", PAIR[0], "--model", tmp_path, *texts)
    assert sorted(p.name for p in store.rglob("*")) == before
    with pytest.raises(SaematchError, match="resid_post_3 is given twice"):
        call("capture", PAIR[0], PAIR[0], "--model", "saematch:model", *texts)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--method", "pearson"], "give the activations"),
        (["--tokens", "5"], "give activations"),
        (["--method", "cosine", "--activations", "{}"], "uses weights only"),
        (["--activations", "{}", "--tokens", "9999999"], "1,188 tokens, fewer"),
        (["--activations", "nowhere"], "no store of activations"),
    ],
)
def test_errors(store, tmp_path, arguments, message):
    given = [word.format(store) for word in arguments]
    with pytest.raises(SaematchError, match=message):
        call("match", *PAIR, *given, "-o", tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_activations_of_another_sae_are_missed(store, tmp_path):
    with pytest.raises(RunError, match="no activations of an SAE of these weights"):
        call("match", PAIR[0], "saematch:resid_post_5", "--activations", store, "-o", tmp_path)


def test_wrong_dtype_is_named(tmp_path):
    done = capture(tmp_path / "acts", "--dtype", "float7")
    assert done.exit_code == 2
    assert "'float7' is not one of 'float32'" in done.output

"""Contexts of SAEs that came without any: from a store of activations, into runs."""

import shutil

import polars as pl
import pytest
from test_capture_command import call

import saematch
from saematch.activations.store import ActivationStore
from saematch.runs.run import Run

SITES = ("resid_post_2", "resid_post_3")


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    """Two shipped SAEs without the table beside them, and their activations on some text."""
    folder = tmp_path_factory.mktemp("own")
    for site in SITES:
        shutil.copytree(saematch.sae.shipped.path(site), folder / site)
        for told in ("features.parquet", "sparsity.safetensors"):
            (folder / site / told).unlink()
    saes = [str(folder / site) for site in SITES]
    text = ("--text", "saematch:prose", "--examples", 8, "--length", 64)
    call("capture", *saes, "--model", "saematch:model", *text, "-o", folder / "acts")
    return folder, saes


def counted(store, name, feature):
    """How often a feature fired, and the token of its strongest firing, told by hand."""
    found = pl.concat([pl.read_parquet(p) for p in (store.path / name).glob("[0-9]*.parquet")])
    tokens = pl.concat([pl.read_parquet(p) for p in (store.path / "tokens").glob("*.parquet")])
    rows = found.filter(feature=feature).sort("value", descending=True)
    return rows.height / store.n_tokens, tokens.filter(token=rows["token"][0])["piece"].item()


def test_a_store_describes_its_features_and_leaves_the_saes_alone(own):
    folder, _ = own
    store = ActivationStore.open(folder / "acts")
    for site in SITES:
        table = pl.read_parquet(store.path / site / "features.parquet")
        best = table.sort("max_activation", descending=True).row(0, named=True)
        share, piece = counted(store, site, best["feature"])
        assert best["frequency"] == pytest.approx(share)
        assert best["contexts"][0]["token"] == piece
        assert not (folder / site / "features.parquet").exists()


def test_runs_take_contexts_from_a_store_at_once_or_later(own, tmp_path):
    folder, saes = own
    acts = ("--activations", folder / "acts")
    call("flow", *saes, "--method", "fused", *acts, "-o", tmp_path / "heard")
    call("flow", *saes, "--method", "feature-flow", "-o", tmp_path / "later")
    before = Run.open(tmp_path / "later")
    assert before.contexts(SITES[0]) is None
    # an older store, which did not keep them
    shutil.copytree(folder / "acts", tmp_path / "old")
    for site in SITES:
        (tmp_path / "old" / site / "features.parquet").unlink()
    call("relate", tmp_path / "later", "--activations", tmp_path / "old")
    table = pl.DataFrame()
    for name in ("heard", "later"):
        run = Run.open(tmp_path / name)
        assert run.finished
        assert run.section("flow") is not None
        for site in SITES:
            table = pl.read_parquet(folder / "acts" / site / "features.parquet")
            found = run.contexts(site)
            assert found is not None
            assert found.equals(table)
            assert run.features(site)["frequency"].equals(table["frequency"])
    feature = table.sort("max_activation", descending=True).row(0, named=True)
    shown = call("trace", tmp_path / "later", SITES[1], feature["feature"]).output
    assert feature["contexts"][0]["token"].strip() in shown
    assert "without contexts" not in shown


def test_contexts_that_came_with_an_sae_stay(own, tmp_path):
    folder, saes = own
    shutil.copytree(saes[0], tmp_path / SITES[0])
    beside = saematch.sae.shipped.path(SITES[0]) / "features.parquet"
    shutil.copy(beside, tmp_path / SITES[0])
    out = tmp_path / "run"
    call(
        "match",
        tmp_path / SITES[0],
        saes[1],
        "--method",
        "fused",
        "-o",
        out,
        "--activations",
        folder / "acts",
    )
    found = Run.open(out).contexts(SITES[0])
    assert found is not None
    assert found["contexts"].to_list() == pl.read_parquet(beside)["contexts"].to_list()

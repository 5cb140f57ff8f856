"""The store: what comes back, what survives an interruption, what is never overwritten."""

import json

import numpy as np
import polars as pl
import pytest

from saematch.activations.batch import Batch
from saematch.activations.forecast import check_room, forecast
from saematch.activations.partners import partners
from saematch.activations.store import ActivationStore
from saematch.activations.subsample import spread
from saematch.errors import RunError, SaematchError
from support.saes import make_sae
from support.sparse_case import activations, dense_of

WIDTHS = {"early": 24, "late": 12}
LENGTH, EXAMPLES = 10, 12


@pytest.fixture(scope="module")
def saes():
    return {
        name: make_sae(d_in=8, d_sae=width, seed=i, layer=i)
        for i, (name, width) in enumerate(WIDTHS.items())
    }


@pytest.fixture(scope="module")
def dense():
    tokens = LENGTH * EXAMPLES
    return {name: dense_of(tokens, width, width) for name, width in WIDTHS.items()}


def batch(dense, first: int, last: int) -> Batch:
    """Examples `first` to `last`, the last one left out."""
    rows = slice(first * LENGTH, last * LENGTH)
    found = {name: activations(x[rows], LENGTH, first) for name, x in dense.items()}
    place = np.arange(rows.start, rows.stop)
    example = (place // LENGTH).astype(np.int32)
    position = (1 + place % LENGTH).astype(np.int32)
    return Batch(found, (place % 7).astype(np.int32), example, position)


def new(path, saes, **changed) -> ActivationStore:
    asked = {"model": "tiny", "texts": {"name": "prose", "n": 12, "seed": 0}, "saes": saes}
    return ActivationStore.create(path, **{**asked, "shard_tokens": 30, **changed})


def filled(path, saes, dense, **changed) -> ActivationStore:
    store = new(path, saes, **changed)
    for first in range(0, EXAMPLES, 2):
        store.add(batch(dense, first, first + 2))
    store.finish()
    return store


def snapshot(path):
    return {str(p): p.stat().st_mtime_ns for p in path.rglob("*") if p.is_file()}


def test_activations_come_back_as_they_went_in(tmp_path, saes, dense):
    filled(tmp_path / "store", saes, dense, pieces=lambda ids: ["abcdefg"[i] for i in ids])
    store = ActivationStore.open(tmp_path / "store")
    assert store.finished
    assert (store.n_tokens, store.next_example, store.names) == (120, 12, ["early", "late"])
    for name, x in dense.items():
        found = store.activations(name)
        np.testing.assert_array_equal(found.matrix.toarray(), x)
        np.testing.assert_array_equal(found.example, np.arange(120) // LENGTH)
        assert len(list(store.shards(name))) == 3  # of 40 tokens: two batches reach 30
    # without saematch
    frame = pl.read_parquet(tmp_path / "store/late/*.parquet")
    token, feature = dense["late"].nonzero()
    assert frame["token"].to_list() == token.tolist()
    assert frame["feature"].to_list() == feature.tolist()
    assert frame["value"].to_list() == dense["late"][token, feature].tolist()
    tokens = pl.read_parquet(tmp_path / "store/tokens/*.parquet")
    assert tokens["token"].to_list() == list(range(120))
    assert tokens.row(17) == (17, 1, 8, 3, "d")


def test_some_tokens_are_the_same_ones_of_every_sae_with_their_examples(tmp_path, saes, dense):
    store = filled(tmp_path / "store", saes, dense)
    places = spread(120, 55)
    for name, x in dense.items():
        found = store.activations(name, tokens=55)
        np.testing.assert_array_equal(found.matrix.toarray(), x[places])
        np.testing.assert_array_equal(found.example, places // LENGTH)
    assert store.activations("late", tokens=0).shape == (0, 12)
    assert store.activations("late", tokens=120).n_tokens == 120
    with pytest.raises(SaematchError, match="121 tokens of 120: give 0 to 120"):
        store.activations("late", tokens=121)


def test_shards_without_a_wanted_token_are_not_read(tmp_path, saes, dense):
    path = tmp_path / "store"
    store = filled(path, saes, dense)
    # one stretch, in the first of three shards
    assert spread(120, 5).max() < 40
    for gone in ("00001", "00002"):
        (path / "early" / f"{gone}.parquet").unlink()
    assert store.activations("early", tokens=5).n_tokens == 5
    with pytest.raises(RunError, match=r"early/00001\.parquet: no such file"):
        store.activations("early", tokens=60)


def test_statistics_are_the_same_from_disk(tmp_path, saes, dense):
    store = filled(tmp_path / "store", saes, dense)
    streamed = partners(store.stream("early"), store.stream("late"), activity=0.2)
    held = partners(*(activations(dense[name]) for name in WIDTHS), activity=0.2)
    for name in held.statistics:
        np.testing.assert_allclose(streamed.best(name), held.best(name), rtol=1e-12)


def test_a_stopped_capture_goes_on_with_the_next_example(tmp_path, saes, dense):
    path = tmp_path / "store"
    store = new(path, saes)
    for first in (0, 2, 4):
        store.add(batch(dense, first, first + 2))
    assert store.next_example == 6
    # the last batch was only in memory; a shard that is not listed is as good as none
    (path / "late" / "00001.parquet").write_bytes(b"half a shard")
    (path / "tokens" / ".00001.parquet.abc.partial").write_bytes(b"")
    store = new(path, saes)
    assert (store.n_tokens, store.next_example, store.finished) == (40, 4, None)
    before = snapshot(path / "early")
    for first in range(4, EXAMPLES, 2):
        store.add(batch(dense, first, first + 2))
    store.finish()
    assert before.items() <= snapshot(path / "early").items()
    for name, x in dense.items():
        np.testing.assert_array_equal(store.activations(name).matrix.toarray(), x)


def test_a_shard_that_is_gone_is_made_again_with_those_after_it(tmp_path, saes, dense):
    path = tmp_path / "store"
    filled(path, saes, dense)
    (path / "early" / "00001.parquet").unlink()
    store = new(path, saes)
    assert (store.next_example, store.finished) == (4, None)


def test_the_same_again_changes_nothing(tmp_path, saes, dense):
    path = tmp_path / "store"
    filled(path, saes, dense)
    before = snapshot(path)
    store = new(path, saes)
    store.finish()
    assert snapshot(path) == before
    with pytest.raises(RunError, match="finished"):
        store.add(batch(dense, 0, 1))


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"model": "gpt2"}, "model is tiny there, gpt2 here"),
        ({"texts": {"name": "code", "n": 12, "seed": 0}}, "texts: name is prose there, code here"),
        ({"options": {"length": 64}}, "length is not set there, 64 here"),
    ],
)
def test_what_was_made_otherwise_is_kept(tmp_path, saes, dense, changed, said):
    path = tmp_path / "store"
    filled(path, saes, dense)
    before = snapshot(path)
    with pytest.raises(RunError, match=said):
        new(path, saes, **changed)
    assert snapshot(path) == before
    store = new(path, saes, **changed, overwrite=True)
    assert store.n_tokens == 0
    assert not list((path / "early").iterdir())


def test_other_weights_are_another_store(tmp_path, saes, dense):
    filled(tmp_path / "store", saes, dense)
    other = {**saes, "late": make_sae(d_in=8, d_sae=12, seed=9, layer=1)}
    with pytest.raises(RunError, match="late has other weights there"):
        new(tmp_path / "store", other)


def test_a_folder_of_other_things_is_never_written_to(tmp_path, saes):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(RunError, match=r"not empty \(notes.txt\)"):
        new(tmp_path, saes, overwrite=True)
    with pytest.raises(RunError, match="no store"):
        ActivationStore.open(tmp_path)


def test_damage_is_told(tmp_path, saes, dense):
    path = tmp_path / "store"
    store = filled(path, saes, dense)
    (path / "late" / "00002.parquet").write_bytes(b"not parquet")
    with pytest.raises(RunError, match=r"late/00002\.parquet: truncated"):
        store.activations("late")
    content = json.loads((path / "cache.json").read_text())
    content["saes"][0]["name"] = "../elsewhere"
    (path / "cache.json").write_text(json.dumps(content))
    with pytest.raises(RunError, match="elsewhere"):
        ActivationStore.open(path)


def test_a_shard_of_other_tokens_is_told(tmp_path, saes, dense):
    path = tmp_path / "store"
    store = filled(path, saes, dense)
    place = path / "late" / "00001.parquet"
    frame = pl.read_parquet(place)
    value, feature = pl.col("value"), pl.col("feature")
    for changed, told in (
        (frame[1:], "not what cache.json tells"),
        (frame.reverse(), "tokens are not"),
        (frame.with_columns(pl.col("token") + 40), "tokens are not"),
        (frame.with_columns(feature + 10**9 - 10**9 + 12), "features .*, but its SAE has 12"),
        (frame.with_columns(feature - 1000), "features -"),
        (frame.with_columns(value * float("inf")), "NaN or infinite"),
        (frame.with_columns(value.cast(pl.String)), "column value holds"),
        (frame.drop("feature"), "no column feature"),
        (pl.concat([frame] * 3), "rows, expected"),
    ):
        changed.write_parquet(place)
        with pytest.raises(RunError, match=rf"late/00001\.parquet: .*{told}"):
            store.activations("late")


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("saes", 0, "d_sae"), True),
        (("saes", 0, "d_sae"), 0),
        (("shards", 0, "tokens"), 10**18),
        (("shards", 0, "tokens"), -1),
        (("shards", 0, "bytes"), {"tokens": "many"}),
        (("shards", 0, "nonzeros"), {}),
        (("options", "shard_tokens"), "all"),
    ],
)
def test_figures_of_a_store_that_cannot_be_are_damage(tmp_path, saes, dense, place, value):
    path = tmp_path / "store"
    filled(path, saes, dense)
    content = json.loads((path / "cache.json").read_text())
    at = content
    for key in place[:-1]:
        at = at[key]
    at[place[-1]] = value
    (path / "cache.json").write_text(json.dumps(content))
    with pytest.raises(RunError, match=r"cache\.json is damaged"):
        ActivationStore.open(path)


@pytest.mark.parametrize("overwrite", [True, False])
def test_a_store_neither_writes_nor_removes_through_a_link(tmp_path, saes, dense, overwrite):
    path, victim = tmp_path / "store", tmp_path / "elsewhere"
    filled(path, saes, dense)
    victim.mkdir()
    (victim / "00000.parquet").write_text("mine")
    (path / "late").rename(path / "old")
    (path / "late").symlink_to(victim)
    with pytest.raises(RunError, match="late is a link"):
        new(path, saes, overwrite=overwrite)
    assert (victim / "00000.parquet").read_text() == "mine"


def test_an_sae_is_found_by_its_weights_and_where_it_is_read(tmp_path, saes, dense):
    store = filled(tmp_path / "store", saes, dense)
    entry = store.sae("late")
    assert store.named(entry.checksum) == "late"
    assert store.named(entry.checksum, entry.hook) == "late"
    told = rf"no activations of late at elsewhere; it has those at {entry.hook}"
    with pytest.raises(RunError, match=told):
        store.named(entry.checksum, "elsewhere")
    with pytest.raises(RunError, match="an SAE of these weights; it has those of early, late"):
        store.named("sha256:0")


def test_batches_that_do_not_fit_are_refused(tmp_path, saes, dense):
    store = new(tmp_path / "store", saes)
    store.add(batch(dense, 0, 2))
    with pytest.raises(RunError, match="example 1 was added before"):
        store.add(batch(dense, 1, 3))
    with pytest.raises(RunError, match="none features of late; the store is of 12"):
        store.add(batch({"early": dense["early"]}, 2, 3))
    good = batch(dense, 2, 3)
    with pytest.raises(SaematchError, match="early is not of the batch's 10 tokens"):
        Batch(batch(dense, 3, 4).saes, good.token_id, good.example, good.position)
    with pytest.raises(RunError, match="'tokens' cannot name"):
        new(tmp_path / "other", {"tokens": saes["early"]})


def test_the_forecast_says_what_it_rests_on(tmp_path, saes, dense):
    from saematch import load

    known = {**saes, "topk": make_sae(activation="topk"), "shipped": load("saematch:resid_post_3")}
    found = forecast(known, 1000)
    assert found.grounds["early"] == "L0 100, assumed: nothing tells it"
    assert found.grounds["topk"] == "L0 8, its k"
    assert found.grounds["shipped"].startswith("L0 2")  # about 21 to 22
    assert found.sizes["topk"] == 6 * 8 * 1000
    assert found.bytes == sum(found.sizes.values())
    store = filled(tmp_path / "store", saes, dense)
    files = sum(p.stat().st_size for p in store.path.rglob("*.parquet"))
    assert store.bytes == files


def test_a_full_disk_is_told_before(tmp_path):
    check_room(tmp_path / "not" / "yet", 1)
    with pytest.raises(RunError, match="are needed and"):
        check_room(tmp_path / "not" / "yet", 10**18)

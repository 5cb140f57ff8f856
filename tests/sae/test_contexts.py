import os

import polars as pl
import pytest

import saematch
from saematch import CheckpointError
from saematch.sae import shipped
from saematch.sae.contexts import features_of, read_features, top_contexts
from support.stand_in import sidecar, write_shipped


def test_contexts_come_best_first_and_only_for_features_that_have_them(tmp_path):
    sidecar([4, 5, 6]).with_columns(
        contexts=pl.when(pl.col("feature") != 1).then("contexts")
    ).write_parquet(tmp_path / "features.parquet")
    frame = read_features(tmp_path)
    assert frame is not None
    found = top_contexts(frame, 0, 2)
    assert [c.activation for c in found] == [9.0, 8.0]
    assert found[0].token == " return"
    assert top_contexts(frame, 1) == []
    assert top_contexts(frame, 77) == []


def test_a_folder_without_the_table_has_none(tmp_path):
    assert read_features(tmp_path) is None


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda f: f.drop("frequency"), "no column frequency; it has feature, "),
        (
            lambda f: f.with_columns(frequency=pl.lit("often")),
            "frequency holds String, expected num",
        ),
        (lambda f: f.with_columns(feature=pl.col("feature") * 0), "repeats a feature"),
        (
            lambda f: f.with_columns(contexts=pl.lit("text")),
            "contexts holds String, expected lists",
        ),
        (
            lambda f: f.with_columns(contexts=pl.col("contexts").list.eval(pl.element().struct[0])),
            "contexts holds List",
        ),
    ],
)
def test_a_table_of_another_form_is_named_with_what_is_wrong(tmp_path, change, words):
    change(sidecar([1, 2])).write_parquet(tmp_path / "features.parquet")
    with pytest.raises(CheckpointError) as refused:
        read_features(tmp_path)
    assert words in str(refused.value)
    assert "features.parquet" in str(refused.value)


def test_a_damaged_table_is_an_error_of_one_line(tmp_path):
    (tmp_path / "features.parquet").write_bytes(b"PAR1 not at all")
    with pytest.raises(
        CheckpointError, match=r"features\.parquet: truncated, corrupt or not a Parquet"
    ):
        read_features(tmp_path)


def test_a_table_of_more_features_than_the_sae_has_is_refused(tmp_path):
    root = write_shipped(tmp_path, d_sae=20)
    folder = shipped.path("resid_post_1", root)
    assert features_of(saematch.load(folder)).height == 20  # pyright: ignore[reportOptionalMemberAccess]
    sidecar(list(range(21))).write_parquet(folder / "features.parquet")
    with pytest.raises(CheckpointError, match="21 rows, expected 20 at most"):
        features_of(saematch.load(folder))
    sidecar(list(range(21)))[15:].write_parquet(folder / "features.parquet")
    with pytest.raises(CheckpointError, match="features 15 to 20, but the SAE has 20"):
        features_of(saematch.load(folder))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"mean_activation": float("nan")}, "mean_activation has NaN"),
        ({"max_activation": float("inf")}, "max_activation has NaN or infinite"),
        ({"frequency": 1.5}, "no shares, 0 to 1"),
        ({"frequency": -0.1}, "no shares, 0 to 1"),
    ],
)
def test_numbers_that_no_statistic_can_be_are_refused(tmp_path, change, words):
    table = sidecar([1, 2, 3])
    first = pl.col("feature") == 0
    changed = [pl.when(first).then(v).otherwise(name).alias(name) for name, v in change.items()]
    table.with_columns(changed).write_parquet(tmp_path / "features.parquet")
    with pytest.raises(CheckpointError, match=words):
        read_features(tmp_path)
    unknown = [pl.when(first).then(None).otherwise(name).alias(name) for name in change]
    table.with_columns(unknown).write_parquet(tmp_path / "features.parquet")
    frame = read_features(tmp_path)
    assert frame is not None
    assert frame[next(iter(change))].null_count() == 1


def test_activations_of_contexts_are_finite(tmp_path):
    table = sidecar([1, 2])
    struct = pl.element().struct.with_fields(activation=pl.lit(float("nan")))
    table = table.with_columns(pl.col("contexts").list.eval(struct))
    table.write_parquet(tmp_path / "features.parquet")
    with pytest.raises(CheckpointError, match="contexts has NaN"):
        read_features(tmp_path)


def test_only_a_regular_file_is_a_table(tmp_path):
    os.mkfifo(tmp_path / "features.parquet")
    with pytest.raises(CheckpointError, match=r"features\.parquet: a pipe"):
        read_features(tmp_path)

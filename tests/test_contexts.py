import polars as pl
import pytest

import saematch
from saematch import CheckpointError, shipped
from saematch.contexts import features_of, read_features, top_contexts
from stand_in import sidecar, write_shipped


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

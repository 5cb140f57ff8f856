"""Labels by tokens keep case and the space before them, where the feature does."""

import polars as pl
import pytest

from saematch.labels.top_tokens import feature_labels, feature_tokens, folded, merged


def label(*tokens: str) -> str:
    """The label of a feature whose top contexts are of these tokens."""
    empty = {"before": "", "after": "", "source": "", "activation": 1.0}
    contexts = [{**empty, "token": token} for token in tokens]
    known = feature_tokens(pl.DataFrame({"feature": [7], "contexts": [contexts]}))
    assert known["weight"].sum() == pytest.approx(1)
    found = feature_labels(known.with_columns(pl.lit("a").alias("site")))
    return found.row(0, named=True)["label"]


@pytest.mark.parametrize(
    ("tokens", "said"),
    [
        ([" P"] * 10, "␣P"),
        ([" d"] * 10, "␣d"),
        (["d"] * 10, "d"),
        (["She", " she"] * 5, "she"),
        ([" she"] * 9 + [" She"], "␣she"),
        ([" She"] * 8 + [" she"] * 2, "␣she"),
        ([" She"] * 9 + ["she"], "␣She"),
        ([" self"] * 8 + ["self"] * 2, "self"),
        (["self"] * 9 + [" self"], "self"),
        (["\tif", "\n  if"] * 3, "␣if"),
        (["if "] * 3, "if"),
        ([" "] * 6 + ["\n  "] * 4, "␣, ↵␣"),
        ([" I"] * 6 + [" i"] * 2 + [" my"] * 2, "␣i, ␣my"),
        ([" ␣x"] * 3, "␣␣x"),
        # rules of signs are one, however long each is
        (["-" * 48] * 3 + ["-" * 60] * 2 + ["burnt"], f"{'-' * 23}…, burnt"),
    ],
)
def test_what_most_contexts_share_is_kept(tokens, said):
    assert label(*tokens) == said


def test_what_is_searched_for_has_neither():
    frame = pl.DataFrame({"token": ["␣She", "SHE", "␣", "↵␣", "␣↵", "ß"]})
    assert frame.select(folded("token"))["token"].to_list() == ["she", "she", "␣", "↵␣", "↵", "ß"]


def test_merging_keeps_the_weight_of_each():
    frame = pl.DataFrame(
        {"by": [0, 0, 0, 1], "token": ["␣She", "she", "he", "she"], "weight": [3.0, 1.0, 2.0, 5.0]}
    )
    found = merged(frame, "by").sort("by", "token")
    assert found.rows() == [(0, "he", 2.0), (0, "she", 4.0), (1, "she", 5.0)]

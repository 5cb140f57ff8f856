"""Labels from files: the same from every format, and clear about what is wrong."""

import csv
import gzip
import json
import logging

import polars as pl
import pytest

from saematch.errors import SaematchError
from saematch.labels.local_files import file_labels

WIDTHS = {"a": 12, "b": 4}
ROWS = [
    {"site": "b", "feature": 3, "label": ' "Rivers", lakes ', "source": "me"},
    {"site": "a", "feature": 11, "label": "code\nover lines", "source": None},
    {"site": "a", "feature": 2, "label": "digits", "source": "me"},
    {"site": "a", "feature": 2, "label": "", "source": "me"},
    {"site": "a", "feature": 2, "label": "Numbers", "source": "me"},
    {"site": "a", "feature": 2, "label": "digits", "source": "me"},
]


def write(path, rows):
    if path.suffix == ".parquet":
        pl.DataFrame(rows).write_parquet(path)
    elif path.suffix == ".csv":
        with path.open("w", newline="", encoding="utf-8-sig") as file:
            writer = csv.DictWriter(file, [*rows[0]])
            writer.writeheader()
            writer.writerows(rows)
    else:
        text = "\n".join(json.dumps(row) for row in rows).encode()
        path.write_bytes(gzip.compress(text) if path.suffix == ".gz" else text)
    return path


@pytest.mark.parametrize("name", ["x.jsonl", "x.jsonl.gz", "x.csv", "x.parquet"])
def test_every_format_says_the_same(tmp_path, name):
    found = file_labels(write(tmp_path / name, ROWS), WIDTHS, None)
    assert {site: table.rows() for site, table in found.items()} == {
        "b": [(3, '"Rivers", lakes', "me")],
        "a": [(2, "digits", "me"), (2, "Numbers", "me"), (11, "code\nover lines", name)],
    }
    only = file_labels(tmp_path / name, WIDTHS, "b")
    assert [*only] == ["b"]


@pytest.mark.parametrize("name", ["x.jsonl", "x.csv", "x.parquet"])
def test_neuronpedias_own_names_of_columns_and_an_sae_that_is_named(tmp_path, name):
    rows = [{"index": "3", "description": "rivers", "more": 1}]
    found = file_labels(write(tmp_path / name, rows), WIDTHS, "b")
    assert found["b"].rows() == [(3, "rivers", name)]
    with pytest.raises(SaematchError, match=rf"{name}, .*: no site.*--sae.*of a, b"):
        file_labels(tmp_path / name, WIDTHS, None)


def test_saes_that_the_run_does_not_have_are_left_out_unless_all_are(tmp_path, caplog):
    rows = [{**ROWS[0], "site": "c"}, ROWS[2]]
    with caplog.at_level(logging.WARNING, "saematch"):
        found = file_labels(write(tmp_path / "x.jsonl", rows), WIDTHS, None)
    assert [*found] == ["a"]
    assert "left out what is of no SAE of the run" in caplog.text
    assert "line 1: site is 'c'; it has a, b" in caplog.text
    with pytest.raises(SaematchError, match=r"x\.jsonl, line 1: site is 'c'; it has a, b"):
        file_labels(write(tmp_path / "x.jsonl", rows[:1]), WIDTHS, None)
    with pytest.raises(SaematchError, match=r"x\.jsonl: no labels of b"):
        file_labels(write(tmp_path / "x.jsonl", rows), WIDTHS, "b")


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("x.jsonl", b'{"feature": 1}', r"x\.jsonl, line 1: no column label or description; it has"),
        ("x.jsonl", b'{"label": "a"}', r"line 1: no column feature or index; it has label"),
        ("x.jsonl", b'{"feature": 1, "label": "a"}\n\n{"fea', r"line 3: not JSON"),
        ("x.jsonl", b"[1]", r"line 1: expected an object with feature and label"),
        ("x.jsonl", b'{"feature": 4, "label": "a"}', r"line 1: feature 4, but the SAE has 0 to 3"),
        ("x.jsonl", b'{"feature": 1.5, "label": "a"}', r"line 1: feature 1\.5, expected a whole"),
        ("x.jsonl", b'{"feature": null, "label": "a"}', r"line 1: feature None, expected a whole"),
        ("x.jsonl", b'{"feature": 1, "label": 2}', r"line 1: the label is 2, expected text"),
        ("x.jsonl", b'{"feature": 1, "label": "a", "source": 2}', r"1: source: the label is 2"),
        ("x.jsonl", b"\xff", r"x\.jsonl: not text in UTF-8"),
        ("x.jsonl", b"", r"x\.jsonl: no labels of b"),
        ("x.jsonl.gz", b"\x1f\x8b", r"x\.jsonl\.gz: truncated, corrupt or not a gzip file"),
        ("x.csv", b"feature;label\n1;a\n", r"no column feature or index; it has feature;label"),
        ("x.csv", b"", r"x\.csv: no column feature or index; it has none"),
        ("x.csv", b"feature,label\n1,a, b\n", r"line 2: more cells than the 2 columns; put labels"),
        ("x.csv", b"feature,label\nx,a\n", r"line 2: feature 'x', expected a whole number"),
        ("x.csv", b'feature,label\n1,"a\n', r"line 2: truncated, corrupt or not a row of CSV"),
        ("x.parquet", b"PAR1", r"x\.parquet: truncated, corrupt or not a Parquet table"),
        ("x.txt", b"", r"x\.txt: expected neuronpedia, neuronpedia:MODEL/SOURCE, or a file"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_with_its_place(tmp_path, name, content, said):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(SaematchError, match=said):
        file_labels(tmp_path / name, WIDTHS, "b")


def test_a_table_without_the_columns_and_a_file_that_is_not_there(tmp_path):
    write(tmp_path / "x.parquet", [{"feature": 1, "text": "a"}])
    with pytest.raises(SaematchError, match=r"x\.parquet: no column label or description; it has"):
        file_labels(tmp_path / "x.parquet", WIDTHS, "b")
    with pytest.raises(SaematchError, match=r"y\.csv: no such file"):
        file_labels(tmp_path / "y.csv", WIDTHS, "b")


def test_a_packed_file_has_its_bound(tmp_path, monkeypatch):
    monkeypatch.setattr("saematch.labels.bulk.MOST_TEXT", 1000)
    (tmp_path / "x.jsonl.gz").write_bytes(gzip.compress(bytes(1 << 16)))
    with pytest.raises(SaematchError, match=r"x\.jsonl\.gz: over 1,000 bytes unpacked"):
        file_labels(tmp_path / "x.jsonl.gz", WIDTHS, "b")

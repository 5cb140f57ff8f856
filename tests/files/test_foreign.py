"""Whatever a parser of others raises is one line; what is no file is not opened."""

import json
import os

import polars as pl
import pytest

from saematch.errors import CheckpointError, RunError, SaematchError
from saematch.files.foreign import parsing, plain_text, read_json, read_parquet, read_text, regular


class PanicException(BaseException):
    """What a library in Rust raises."""


@pytest.mark.parametrize(
    ("raised", "told"),
    [
        (ValueError("two\nlines of it"), "two"),
        (KeyError("W_enc"), "KeyError 'W_enc'"),
        (AssertionError(), "AssertionError"),
        (RecursionError("maximum recursion depth exceeded"), "nested too deeply"),
        (MemoryError(), "more memory than there is"),
        (PanicException("index out of bounds: the len is 0"), "index out of bounds"),
        (UnicodeEncodeError("utf-8", "\ud800", 0, 1, "surrogates"), "surrogates"),
    ],
)
def test_whatever_is_raised_becomes_one_line(raised, told):
    with (
        pytest.raises(CheckpointError, match=r"a\.pt: truncated, corrupt or not a torch") as error,
        parsing("a.pt", "a torch file", CheckpointError),
    ):
        raise raised
    assert told in str(error.value)
    assert "\n" not in str(error.value)
    assert error.value.__cause__ is raised


@pytest.mark.parametrize("stop", [KeyboardInterrupt, SystemExit, GeneratorExit])
def test_what_stops_a_program_passes(stop):
    with pytest.raises(stop), parsing("a.pt", "a torch file"):
        raise stop


def test_own_errors_pass_as_they_are():
    own = RunError("said already")
    with pytest.raises(RunError) as error, parsing("a.pt", "a torch file", CheckpointError):
        raise own
    assert error.value is own


def test_only_regular_files_are_opened(tmp_path):
    pipe = tmp_path / "cfg.json"
    os.mkfifo(pipe)
    for path, told in ((pipe, "pipe"), (tmp_path, "folder"), (tmp_path / "no", "no such file")):
        with pytest.raises(SaematchError, match=told):
            regular(path)
    link = tmp_path / "zero.json"
    link.symlink_to("/dev/zero")
    with pytest.raises(SaematchError, match="device"):
        read_json(link)
    loop = tmp_path / "loop.json"
    loop.symlink_to(loop)
    with pytest.raises(SaematchError, match="loop"):
        read_json(loop)


def test_a_pointer_of_git_lfs_is_told(tmp_path):
    path = tmp_path / "sae_weights.safetensors"
    path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 302054760\n")
    with pytest.raises(CheckpointError, match="git lfs pull"):
        regular(path, error=CheckpointError)


def test_json_with_a_byte_order_mark_and_half_surrogates(tmp_path):
    path = tmp_path / "cfg.json"
    path.write_bytes(b"\xef\xbb\xbf" + rb'{"a\ud800": ["b\udfff", {"c": "\ud83d\ude00"}]}')
    found = read_json(path)
    assert found == {"a�": ["b�", {"c": "\U0001f600"}]}
    json.dumps(found, ensure_ascii=False).encode()  # what a run writes


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a": ' + "9" * 6000 + "}", "{", "", "\x00"])
def test_json_that_no_parser_takes(tmp_path, text):
    path = tmp_path / "cfg.json"
    path.write_text(text)
    with pytest.raises(CheckpointError, match=r"cfg\.json: not valid JSON"):
        read_json(path, error=CheckpointError)


def test_json_not_in_utf8(tmp_path):
    (tmp_path / "a.json").write_bytes(b"\xff\xfe")
    with pytest.raises(SaematchError, match="not text in UTF-8"):
        read_text(tmp_path / "a.json")


def test_rows_are_counted_before_they_are_read(tmp_path):
    path = tmp_path / "t.parquet"
    pl.DataFrame({"a": range(100)}).write_parquet(path)
    assert read_parquet(path, ["a"], most_rows=100).height == 100
    with pytest.raises(RunError, match="100 rows, expected 99 at most"):
        read_parquet(path, most_rows=99, error=RunError)
    with pytest.raises(RunError, match="no column b; it has a"):
        read_parquet(path, ["b"], error=RunError)


def test_damaged_tables_are_refused_in_silence(tmp_path, capfd):
    """Polars itself prints a panic for some of these, and ends the process for others."""
    path = tmp_path / "t.parquet"
    rows = {"a": range(300), "texts": [[{"before": f"é{i}", "token": "x"}] for i in range(300)]}
    pl.DataFrame(rows).write_parquet(path)
    whole = path.read_bytes()
    refused = []
    for place in range(0, len(whole), 5):
        path.write_bytes(whole[:place] + b"\xff" + whole[place + 1 :])
        try:
            read_parquet(path).rows()
        except SaematchError as error:
            refused.append(str(error))
    assert len(refused) > len(whole) / 50
    assert not any("\n" in line for line in refused)
    assert capfd.readouterr() == ("", "")


def test_text_that_can_be_written():
    assert plain_text("a\ud83d b") == "a� b"


def test_every_error_of_ours_is_one_line():
    assert str(RunError("no column a\nb\u2028c; it has\r\nd")) == "no column a b c; it has d"

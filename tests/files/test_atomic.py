"""Files that appear whole or not at all."""

import os
import time

import pytest

from saematch.files.atomic import STALE, sweep, whole


def fail_half_way(file):
    with whole(file) as partial:
        partial.write_text("half")
        raise ZeroDivisionError


def test_a_failed_write_leaves_the_old_file_or_none(tmp_path):
    file = tmp_path / "deep" / "x.txt"
    for before in (None, "old"):
        if before:
            file.write_text(before)
        with pytest.raises(ZeroDivisionError):
            fail_half_way(file)
        assert [p.name for p in file.parent.iterdir()] == (["x.txt"] if before else [])
        assert not before or file.read_text() == before


def test_partial_files_are_swept_once_they_have_no_writer(tmp_path):
    mine = (2 * STALE, ".notes.partial")  # not of a writer of ours: those have a number
    for age, name in ((0, ".new.0123abcd.partial"), (2 * STALE, ".old.0123abcd.partial"), mine):
        file = tmp_path / name
        file.write_text("")
        os.utime(file, (time.time() - age, time.time() - age))
    sweep(tmp_path)
    assert {p.name for p in tmp_path.iterdir()} == {".new.0123abcd.partial", ".notes.partial"}

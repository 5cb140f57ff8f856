"""Matrices larger than memory: the same numbers, in files that leave nothing behind."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pytest
import torch

import saematch
from saematch.errors import SaematchError
from saematch.numerics import hardware, scratch
from saematch.runs.matched import MatchedPair


@pytest.fixture
def small_memory(monkeypatch, tmp_path):
    """A machine on which a matrix of 4 KB is large, with its scratch files in `tmp_path`."""
    monkeypatch.setattr(scratch, "total_memory", lambda: 16 * 4096)
    monkeypatch.setattr(scratch, "SLICE", 700)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def test_large_matrix_is_a_file_without_a_name(small_memory):
    made = scratch.empty((64, 32), torch.float32, torch.device("cpu"))
    made.fill_(2)
    assert made.is_shared()
    assert float(made.sum()) == 64 * 32 * 2
    assert not list(small_memory.iterdir())
    assert not scratch.empty((8, 8), torch.float32, torch.device("cpu")).is_shared()


def test_disk_without_room(small_memory, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(scratch.os, "posix_fallocate", full)
    with pytest.raises(SaematchError, match=r"has no room for 0.0 GB .* set TMPDIR to a folder"):
        scratch.empty((64, 32), torch.float32, torch.device("cpu"))
    assert not list(small_memory.iterdir())


def test_a_folder_in_memory_is_not_taken(small_memory, monkeypatch):
    there = small_memory / "there"
    there.mkdir()
    mounts = {"/": "ext4", str(small_memory): "tmpfs"}

    class Mount:
        def __init__(self, place):
            self.mountpoint, self.fstype = place, mounts[place]

    monkeypatch.setattr(scratch.psutil, "disk_partitions", lambda all: [*map(Mount, mounts)])
    monkeypatch.setattr(scratch, "ON_DISK", str(there))
    with pytest.raises(SaematchError, match=r"lies in memory \(tmpfs\), .* set TMPDIR to a folder"):
        scratch.empty((64, 32), torch.float32, torch.device("cpu"))
    mounts[str(there)] = "xfs"
    assert scratch.folder() == str(there)
    assert scratch.empty((64, 32), torch.float32, torch.device("cpu")).is_shared()
    del mounts[str(small_memory)]
    assert scratch.folder() == str(small_memory)


@pytest.mark.skipif(not Path("/proc/mounts").is_file(), reason="Linux alone tells it there")
def test_what_lies_in_memory_here():
    kinds = dict(line.split()[1:3] for line in Path("/proc/mounts").read_text().splitlines())
    for place in ("/dev/shm", "/proc"):
        assert scratch.in_memory(f"{place}/.") == (kinds[place] == "tmpfs")


def test_by_rows_is_the_whole_at_once(small_memory):
    x, y = torch.randn(100, 30), torch.randn(100)
    made = scratch.by_rows(lambda a, b: torch.cat([a * b[:, None], a], 1), x, y)
    assert made.is_shared()
    assert torch.equal(made, torch.cat([x * y[:, None], x], 1))
    sums = scratch.per_row(lambda a: a.sum(1), x, width=30)
    assert torch.allclose(sums, x.sum(1))


@pytest.mark.parametrize(
    ("method", "options"),
    [
        ("sae-match", {}),
        ("sae-match", {"partial": True}),
        ("cosine", {"null": "rotation"}),
        ("paulo-belrose", {}),
        ("feature-flow", {}),
    ],
)
def test_pair_beyond_memory_has_the_tables_of_one_within(monkeypatch, request, method, options):
    names = ["saematch:resid_post_0", "saematch:resid_post_1"]

    def tables():
        a, b = map(saematch.load, names)
        return MatchedPair.of(saematch.match(a, b, method, **options)).tables

    expected = tables()
    request.getfixturevalue("small_memory")
    monkeypatch.setattr(scratch, "SLICE", 2**16)
    found = tables()
    for kind, table in expected.items():
        for name in table.columns:
            one, other = table[name].to_numpy(), found[kind][name].to_numpy()
            if one.dtype.kind == "f":
                np.testing.assert_allclose(other, one, rtol=2e-5, atol=2e-6, err_msg=name)
            else:
                assert (one == other).all(), (kind, name)


def test_what_a_batch_job_may_take(monkeypatch, tmp_path):
    whole = hardware.total_memory()
    files = {
        tmp_path / "memory/job/memory.limit_in_bytes": "1000000",
        tmp_path / "memory/job/memory.usage_in_bytes": "400000",
        tmp_path / "memory/job/memory.stat": ("cache 1\ntotal_cache 150000\ntotal_shmem 50000"),
        tmp_path / "memory/memory.limit_in_bytes": "9223372036854771712",
        tmp_path / "memory/memory.usage_in_bytes": "500000",
        Path("/proc/self/cgroup"): "9:cpu:/\n8:memory:/job/step",
    }
    monkeypatch.setattr(hardware, "_CGROUPS", tmp_path)
    monkeypatch.setattr(hardware, "_lines", lambda file: files.get(file, "").splitlines())
    assert hardware.total_memory() == 1_000_000
    assert hardware.available_memory() == 700_000
    files[Path("/proc/self/cgroup")] = "0::/job"
    files[tmp_path / "job/memory.max"] = "max"
    files[tmp_path / "job/memory.current"] = "5"
    assert hardware.total_memory() == whole
    files[tmp_path / "job/memory.max"] = "2000"
    assert hardware.total_memory() == 2000
    assert hardware.available_memory() == 1995

"""Which features are the same, of vectors that are read from a file."""

import numpy as np
import torch

from saematch.assignment import assign, ties
from saematch.assignment.auction import plan


def test_classes_of_rows_in_a_file(tmp_path):
    draw = np.random.default_rng(0)
    x = draw.standard_normal((50, 20)).astype(np.float32)
    x[7], x[30], x[:, 0] = x[3], x[3], 0.0
    x[3, 0] = -0.0  # the same number as 0.0
    x[40, :19] = x[11, :19]  # all but the last
    x[45] = x[20]
    offset = np.zeros(50)
    offset[45] = 1.0
    np.save(tmp_path / "x.npy", x)
    found = ties.classes(np.load(tmp_path / "x.npy", mmap_mode="r"), offset)
    expected = np.arange(50)
    expected[[7, 30]] = 3
    assert found.tolist() == expected.tolist()


def test_a_file_is_not_copied(tmp_path, monkeypatch):
    x = torch.randn(600, 8, generator=torch.manual_seed(0)).numpy()
    np.save(tmp_path / "x.npy", x)
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    places, original = [], plan.new_state
    monkeypatch.setattr(
        plan,
        "new_state",
        lambda x, y, *rest: places.append(x.data_ptr()) or original(x, y, *rest),
    )
    result = assign(mapped, x[::-1].copy())
    assert places == [mapped.ctypes.data]
    assert result.target.tolist() == list(range(599, -1, -1))

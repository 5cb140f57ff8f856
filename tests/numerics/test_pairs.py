import numpy as np
import pytest
import torch

from saematch.numerics import pairs
from saematch.numerics.pairs import moments, products


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_against_whole_matrices(dtype, turned, monkeypatch):
    monkeypatch.setattr(pairs, "STRIP", 4)  # so that 11 dimensions are three strips
    generator = torch.Generator().manual_seed(0)

    def rows(n):
        shape = (11, n) if turned else (n, 11)
        values = torch.randn(*shape, generator=generator).to(dtype)
        return values.T if turned else values

    x, y = rows(7), rows(9)
    s, t = (torch.rand(n, generator=generator) + 0.5 for n in (7, 9))
    row, column = torch.tensor([0, 6, 2, 2]), torch.tensor([8, 1, 1, 3])
    u, v = x.double().numpy()[row], y.double().numpy()[column]
    scaled = s.double().numpy()[row, None] * u - t.double().numpy()[column, None] * v
    expected = np.stack([u * v, u * u, v * v, (u - v) ** 2, scaled**2], -1).sum(1)
    np.testing.assert_allclose(products(x, y, row, column), expected[:, 0], rtol=1e-13)
    np.testing.assert_allclose(moments(x, y, row, column, s, t), expected, rtol=1e-13)


def test_no_pairs():
    none, x = torch.zeros(0, dtype=torch.int64), torch.ones(3, 2)
    assert products(x, x, none, none).shape == (0,)
    assert moments(x, x, none, none, x[:, 0], x[:, 0]).shape == (0, 5)
